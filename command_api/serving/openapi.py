"""What /openapi.json says beyond what the framework knows.

Of the inference routes all of it (`document/calls`). Of the other routes the bodies that they read,
and with which statuses they answer: both follow from what a route is made of, so that nobody writes
them down beside it. What does not follow stands in `OWN`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import msgspec
from fastapi.routing import APIRoute

from command_api.operations.table import ROUTES
from command_api.serving.document.calls import described
from command_api.serving.document.refusals import ERROR_SCHEMAS, SCHEMAS, refusal
from command_api.token_counts.route import PATH as COUNT_TOKENS
from edge.access import Needs
from providers.inference.port import Operation
from query_api.parts import SeesAll

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fastapi import APIRouter
    from fastapi.dependencies.models import Dependant

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
    "POST /admin/coupons": (409,),
    "PATCH /admin/coupons/{coupon_id}": (409,),
    "DELETE /admin/coupons/{coupon_id}": (409,),
    "GET /user/plan": (404,),
    "POST /mcp": (202, 404, 406, 408, 413, 415),
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
SECURITY = {
    "api_key": {"type": "http", "scheme": "bearer"},
    "x_api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
NAMING = {"gateway", "gateways", "api_key"}
"""Parameters and fields that name a thing, beside those that end in `_id`."""
SEES_ALL = {each.dependency for each in get_args(SeesAll)[1:]}
"""What looks at a key where there is one."""


def completed(document: dict[str, Any], routers: Iterable[APIRouter]) -> dict[str, Any]:
    """The framework's document, with all that it does not know put into it."""
    components = document.setdefault("components", {})
    components["securitySchemes"] = SECURITY
    reading: list[tuple[dict[str, Any], type]] = []
    for route in (route for router in routers for route in router.routes):
        if isinstance(route, APIRoute) and route.include_in_schema:
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
    components["schemas"] = {**schemas, **ERROR_SCHEMAS}
    for operation in ROUTES:
        document["paths"][operation.path] = {"post": described(operation.operation)}
    count = described(Operation.COUNT_TOKENS)
    document["paths"][COUNT_TOKENS] = {"post": count}
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
        statuses |= {404, 414, 422}
    named = {each.alias for each in route.dependant.query_params}
    if named:
        statuses |= {414, 422}
    bodies = list(_bodies(route.endpoint))
    named.update(name for body in bodies for name in _fields(body))
    if any(each.endswith("_id") for each in named) or named & NAMING:
        statuses.add(404)
    if bodies:
        statuses |= {408, 413}
    good = asked["responses"]["200"]
    told = {str(status): refusal(status, route.path) for status in sorted(statuses)}
    asked["responses"] = {"200": good, **told}


def _calls(dependant: Dependant) -> Iterator[object]:
    """All that must agree before a route is served."""
    for each in dependant.dependencies:
        yield each.call
        yield from _calls(each)


def _fields(body: type) -> tuple[str, ...]:
    """The names of a body's fields, as callers write them."""
    return getattr(body, "__struct_encode_fields__", ())


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
