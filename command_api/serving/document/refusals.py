"""How /openapi.json describes what a route answers instead of what was asked for."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from edge.envelopes import ANTHROPIC, MCP, OPENAI, envelope_of

TEXT = {"type": "string"}
ERRORS = {
    400: "the request cannot be used",
    401: "the API key, or the session, is not known or good no more",
    402: "the credits are not there",
    403: "the caller may not do this",
    404: "there is no such thing, or it is another's",
    405: "the path has no such method",
    406: "the caller takes no form that the answer has",
    408: "the request did not arrive in time",
    409: "what it is about is in a state that does not allow it, or a request before it still runs",
    413: "the body is too large",
    414: "the URL is too long",
    415: "the body is of another kind than the route reads",
    422: "a parameter is of the wrong form, or this Idempotency-Key came with another body",
    429: "more than is allowed in a time; Retry-After says when to try again",
    500: "a defect",
    501: "whoever runs the gateway has not set this up",
    502: "the provider failed",
    503: "what is needed is away or busy; Retry-After says when to try again",
    504: "the provider took too long",
    529: "the provider is overloaded; Retry-After says when to try again",
}
"""What each status of a refusal says."""
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
ANTHROPIC_ERROR = {
    "type": "object",
    "required": ["type", "error", "request_id"],
    "properties": {
        "type": {**TEXT, "enum": ["error"]},
        "error": {
            "type": "object",
            "required": ["type", "message", "code"],
            "properties": {"type": TEXT, "message": TEXT, "code": TEXT},
        },
        "request_id": TEXT,
    },
}
JSON_RPC_ERROR = {
    "type": "object",
    "required": ["jsonrpc", "error"],
    "properties": {
        "jsonrpc": {**TEXT, "enum": ["2.0"]},
        "id": {"type": ["string", "integer", "null"]},
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"type": "integer"}, "message": TEXT, "data": {}},
        },
    },
}
PLAIN_ERROR = {
    "type": "object",
    "required": ["detail", "code"],
    "properties": {"detail": TEXT, "code": TEXT},
}
ERROR_SCHEMAS = {
    "OpenAIError": OPENAI_ERROR,
    "AnthropicError": ANTHROPIC_ERROR,
    "JsonRpcError": JSON_RPC_ERROR,
    "Error": PLAIN_ERROR,
}
SCHEMAS = "#/components/schemas/"


def refusal(status: int, path: str) -> dict[str, Any]:
    """A refusal with this status, in the envelope of the path."""
    if status not in ERRORS:
        return {"description": HTTPStatus(status).phrase}
    names = {OPENAI: "OpenAIError", ANTHROPIC: "AnthropicError", MCP: "JsonRpcError"}
    name = names.get(envelope_of(path), "Error")
    content = {"application/json": {"schema": {"$ref": SCHEMAS + name}}}
    return {"description": ERRORS[status], "content": content}
