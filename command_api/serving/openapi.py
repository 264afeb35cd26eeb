"""What /openapi.json says beyond what the framework knows.

Of the inference routes all of it. Bodies are described as far as the gateway reads them; whatever
else OpenAI's API has is passed on (OpenAI's own OpenAPI document, version 2.3.0). Of the other
routes the bodies that they read, and with which statuses they answer: both follow from what a route
is made of, so that nobody writes them down beside it. What does not follow stands in `OWN`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, get_args

import msgspec
from fastapi.routing import APIRoute

from command_api.kept_replies.idempotency import KEY_CHARACTERS_MAX
from command_api.operations.table import ROUTES
from edge.access import Needs
from providers.inference.port import Operation
from query_api.parts import SeesAll

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fastapi import APIRouter
    from fastapi.dependencies.models import Dependant

TEXT = {"type": "string"}
MODEL = {**TEXT, "description": "A model's id, `provider/id` or one of GET /v1/models."}
COUNT = {"type": "integer", "minimum": 1}
ROUTING = {
    "provider": {"description": "A provider's name, or OpenRouter's object of wishes."},
    "models": {"type": "array", "items": TEXT, "description": "Tried after `model`, in order."},
}
USAGE = {"type": "object", "additionalProperties": True}
ABOUT: dict[Operation, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    Operation.CHAT: (
        "Create a chat completion, whole or as a stream of server-sent events.",
        {
            "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            "stream": {"type": "boolean", "default": False},
            "stream_options": {"type": "object"},
            "max_completion_tokens": COUNT,
            "max_tokens": COUNT,
            "n": {**COUNT, "default": 1},
            "tools": {"type": "array", "items": {"type": "object"}},
            "response_format": {"type": "object"},
        },
        ("messages",),
    ),
    Operation.EMBEDDINGS: (
        "Create embeddings.",
        {
            "input": {"description": "A text, a list of texts, tokens, or a list of tokens."},
            "dimensions": COUNT,
            "encoding_format": {**TEXT, "enum": ["float", "base64"]},
        },
        ("input",),
    ),
    Operation.IMAGES: (
        "Create images from a text.",
        {"prompt": TEXT, "n": COUNT, "size": TEXT},
        ("prompt",),
    ),
}
"""What each operation is: its summary, its members, those of them that are required."""
ERRORS = {
    400: "the request cannot be used",
    401: "the API key, or the session, is not known or good no more",
    402: "the credits are not there",
    403: "the caller may not do this",
    404: "there is no such thing, or it is another's",
    408: "the request did not arrive in time",
    409: "what it is about is in a state that does not allow it, or a request before it still runs",
    413: "the body is too large",
    422: "a parameter is of the wrong form, or this Idempotency-Key came with another body",
    429: "more than is allowed in a time; Retry-After says when to try again",
    500: "a defect",
    501: "whoever runs the gateway has not set this up",
    502: "the provider failed",
    503: "what is needed is away or busy; Retry-After says when to try again",
    504: "the provider took too long",
}
"""What each status of a refusal says."""
OF_CALLS = (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 502, 503, 504)
ORGANISATION = "/organisations/{organisation_id}"
OWN: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(
        (
            *(f"{method} {ORGANISATION}" for method in ("PUT", "DELETE")),
            *(f"POST {ORGANISATION}{below}" for below in ("/transfer", "/invitations")),
            *(f"{method} {ORGANISATION}/members/{{user_id}}" for method in ("PUT", "DELETE")),
            f"DELETE {ORGANISATION}/invitations/{{invitation_id}}",
            *(f"{method} {ORGANISATION}/projects/{{project_id}}" for method in ("PUT", "DELETE")),
            f"DELETE {ORGANISATION}/api-keys/{{key_id}}",
            *(f"POST /user/invitations/{{invitation_id}}/{how}" for how in ("accept", "decline")),
            "DELETE /user/account",
        ),
        (409,),
    ),
    f"POST {ORGANISATION}/projects": (409,),
    "GET /v1/models": (304,),
    "PUT /user/api-keys/{key_id}": (409,),
    "DELETE /user/api-keys/{key_id}": (409,),
    "POST /admin/limit": (404,),
    "POST /admin/coupons": (409,),
    "PATCH /admin/coupons/{coupon_id}": (409,),
    "DELETE /admin/coupons/{coupon_id}": (409,),
    "GET /user/plan": (404,),
    "POST /admin/assign-plan": (404,),
    "POST /admin/roles/update": (404,),
    "POST /auth": (401, 403, 409, 429, 501),
    "POST /auth/login/exchange": (401, 429),
    "POST /auth/login/second-step": (401, 429),
    "GET /auth/oidc/{provider}/start": (303, 404, 429, 501),
    "GET /auth/oidc/{provider}/callback": (303, 401, 403, 404, 409, 429, 501),
    **dict.fromkeys(
        (
            *("POST /auth/totp", "DELETE /auth/totp", "POST /auth/totp/confirm"),
            *("POST /auth/totp/recovery-codes", "DELETE /auth/identities/{provider}"),
            "DELETE /auth/passkeys/{passkey_id}",
        ),
        (409, 429),
    ),
    **dict.fromkeys(
        (f"POST /auth/passkeys/{each}" for each in ("register", "register/options")), (429, 501)
    ),
    "POST /auth/passkeys/login": (401, 429, 501),
    "POST /auth/passkeys/login/options": (429, 501),
    "POST /auth/register": (429,),
    "POST /create": (429,),
    "POST /auth/login": (401, 429),
    "POST /auth/refresh": (401, 429),
    "POST /auth/verify-email": (429,),
    "POST /auth/password-reset": (429,),
    "POST /auth/reset-password": (429,),
}
"""What a route answers with beside what follows from what it is made of."""
HEADERS = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "schema": {**TEXT, "maxLength": KEY_CHARACTERS_MAX},
        "description": "A request repeated with it is charged and answered once.",
    },
    {
        "name": "X-Request-Id",
        "in": "header",
        "required": False,
        "schema": TEXT,
        "description": "Comes back with the reply.",
    },
]
SECURITY = {"api_key": {"type": "http", "scheme": "bearer"}}
OPENAI_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code"],
            "properties": {"message": TEXT, "type": TEXT, "param": {}, "code": {}},
        }
    },
}
PLAIN_ERROR = {
    "type": "object",
    "required": ["detail", "code"],
    "properties": {"detail": TEXT, "code": TEXT},
}
NAMING = {"gateway", "gateways", "api_key"}
"""Parameters that name a thing, beside those that end in `_id`."""
SEES_ALL = {each.dependency for each in get_args(SeesAll)[1:]}
"""What looks at a key where there is one."""
SCHEMAS = "#/components/schemas/"


def completed(document: dict[str, Any], routers: Iterable[APIRouter]) -> dict[str, Any]:
    """The framework's document, with all that it does not know put into it."""
    components = document.setdefault("components", {})
    components["securitySchemes"] = SECURITY
    reading: list[tuple[dict[str, Any], type]] = []
    for route in (route for router in routers for route in router.routes):
        if isinstance(route, APIRoute):
            for method in route.methods or ():
                asked = document["paths"][route.path_format][method.lower()]
                _complete(asked, method, route)
                reading += [(asked, kind) for kind in _bodies(route.endpoint)]
    # All together, so that two of one name get two names.
    kinds = [kind for _, kind in reading]
    found, schemas = msgspec.json.schema_components(kinds, ref_template=SCHEMAS + "{name}")
    for (asked, _), schema in zip(reading, found, strict=True):
        content = {"application/json": {"schema": schema}}
        asked["requestBody"] = {"required": True, "content": content}
    components["schemas"] = {**schemas, "OpenAIError": OPENAI_ERROR, "Error": PLAIN_ERROR}
    for operation in ROUTES:
        document["paths"][operation.path] = {"post": _operation(operation.operation)}
    return document


def _complete(asked: dict[str, Any], method: str, route: APIRoute) -> None:
    """What a route needs, and answers with."""
    statuses = {400, 503, *OWN.get(f"{method} {route.path_format}", ())}
    calls = set(_calls(route.dependant))
    if any(isinstance(getattr(each, "__self__", None), Needs) for each in calls):
        asked["security"] = [{"api_key": []}]
        statuses |= {401, 403, 429}
    elif calls & SEES_ALL:
        asked["security"] = [{}, {"api_key": []}]
        statuses |= {401, 403, 429}
    if route.dependant.path_params:
        statuses |= {404, 422}
    named = {each.alias for each in route.dependant.query_params}
    if named:
        statuses.add(422)
    if any(each.endswith("_id") for each in named) or named & NAMING:
        statuses.add(404)
    if any(_bodies(route.endpoint)):
        statuses |= {408, 413}
    good = asked["responses"]["200"]
    told = {str(status): _refusal(status, route.path) for status in sorted(statuses)}
    asked["responses"] = {"200": good, **told}


def _calls(dependant: Dependant) -> Iterator[object]:
    """All that must agree before a route is served."""
    for each in dependant.dependencies:
        yield each.call
        yield from _calls(each)


def _bodies(endpoint: Any) -> Iterator[type]:
    """What a route's function decodes, itself or by its slice's schemas."""
    for name in endpoint.__code__.co_names:
        found = endpoint.__globals__.get(name)
        decoder = getattr(found, "__self__", None)
        if isinstance(decoder, msgspec.json.Decoder):
            yield decoder.type
        elif str(getattr(found, "__module__", "")).endswith(".schemas") and hasattr(
            found, "__code__"
        ):
            yield from _bodies(found)


def _refusal(status: int, path: str) -> dict[str, Any]:
    if status not in ERRORS:
        return {"description": HTTPStatus(status).phrase}
    name = "OpenAIError" if path.startswith("/v1/") else "Error"
    content = {"application/json": {"schema": {"$ref": SCHEMAS + name}}}
    return {"description": ERRORS[status], "content": content}


def _operation(operation: Operation) -> dict[str, Any]:
    summary, members, required = ABOUT[operation]
    body = {
        "type": "object",
        "properties": {"model": MODEL, **members, **ROUTING},
        "required": ["model", *required],
        "additionalProperties": True,
    }
    answer: dict[str, Any] = {
        "application/json": {"schema": {"type": "object", "properties": {"usage": USAGE}}}
    }
    if operation is Operation.CHAT:
        answer["text/event-stream"] = {"schema": TEXT}
    return {
        "summary": summary,
        "operationId": f"create_{operation.name.lower()}",
        "tags": ["inference"],
        "security": [{"api_key": []}],
        "parameters": HEADERS,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "the provider's answer", "content": answer},
            **{str(status): _refusal(status, "/v1/") for status in OF_CALLS},
        },
    }
