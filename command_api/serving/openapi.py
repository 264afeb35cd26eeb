"""What /openapi.json says of the inference routes, which the framework does not know.

Bodies are described as far as the gateway reads them; whatever else OpenAI's API has is passed on
(OpenAI's own OpenAPI document, version 2.3.0).
"""

from __future__ import annotations

from typing import Any

from command_api.kept_replies.idempotency import KEY_CHARACTERS_MAX
from command_api.operations.table import ROUTES
from providers.inference.port import Operation

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
    "400": "the request cannot be used",
    "401": "the API key is not known",
    "402": "the credits are not there",
    "409": "the first request with this Idempotency-Key still runs, or its reply is gone",
    "422": "this Idempotency-Key came with another body",
    "429": "the provider's limit",
    "502": "the provider failed",
    "503": "the ledger or the model is away; Retry-After says when to try again",
}
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
ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"message": TEXT, "type": TEXT, "param": {}, "code": {}},
        }
    },
}


def with_inference(document: dict[str, Any]) -> dict[str, Any]:
    """The framework's document with the inference routes put into it."""
    for route in ROUTES:
        document["paths"][route.path] = {"post": _operation(route.operation)}
    components = document.setdefault("components", {})
    components["securitySchemes"] = SECURITY
    components.setdefault("schemas", {})["OpenAIError"] = ERROR
    return document


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
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/OpenAIError"}}}
    return {
        "summary": summary,
        "operationId": f"create_{operation.name.lower()}",
        "tags": ["inference"],
        "security": [{"api_key": []}],
        "parameters": HEADERS,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "the provider's answer", "content": answer},
            **{status: {"description": text, "content": error} for status, text in ERRORS.items()},
        },
    }
