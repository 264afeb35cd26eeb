"""The envelopes that errors come in, by the path that was asked for, whole and inside a stream.

OpenAI's below /v1, Anthropic's on /v1/messages and below it, JSON-RPC's on /mcp,
`{"detail", "code"}` elsewhere.
Anthropic's statuses and types are those of its documentation ("Errors"): what is away for a moment
is `overloaded_error`, and with a provider that is overloaded the status is its 529.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.errors import ApiError

OVERLOADED = 529
"""Anthropic's own status."""
UPSTREAM_UNAVAILABLE = "upstream_unavailable"
API_ERROR = "api_error"
TYPES: dict[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    OVERLOADED: "overloaded_error",
}
"""Other statuses below 500 are the request's fault, the rest are `api_error`."""
SERVER_ERRORS = 500
BAD_MESSAGE = "gatewayz.message_id"
"""In an error's `extra`: the id of the JSON-RPC message that it is about."""
PARSE_ERROR, INVALID_MESSAGE = -32_700, -32_600
JSON_RPC_CODES = {
    "invalid_json": PARSE_ERROR,
    "invalid_text": PARSE_ERROR,
    "invalid_message": INVALID_MESSAGE,
}

_encode = msgspec.json.encode


class Envelope(NamedTuple):
    """How one API writes its errors."""

    status: Callable[[ApiError], int]
    body: Callable[[ApiError, str], bytes]
    """Of an error, and the id of its request."""
    last_events: Callable[[ApiError, str], bytes]
    """What ends a stream that has begun."""
    id_headers: tuple[bytes, ...] = (b"x-request-id",)
    """The headers in which a reply says the id of its request."""


def _own_status(error: ApiError) -> int:
    return error.status


def _openai_events(error: ApiError, _: str) -> bytes:
    return b"data: %b\n\ndata: [DONE]\n\n" % error.openai()


def anthropic_status(error: ApiError) -> int:
    """The status that Anthropic's clients know the error by."""
    return OVERLOADED if error.code == UPSTREAM_UNAVAILABLE else error.status


def anthropic_body(error: ApiError, request_id: str) -> bytes:
    """Anthropic's envelope; our own code and amounts stand beside its type and message."""
    status = anthropic_status(error)
    kind = API_ERROR if status >= SERVER_ERRORS else TYPES[400]
    told = {"type": TYPES.get(status, kind), "message": error.message, "code": error.code}
    if error.param is not None:
        told["param"] = error.param
    return _encode({"type": "error", "error": told | error.extra, "request_id": request_id})


def _anthropic_events(error: ApiError, request_id: str) -> bytes:
    return b"event: error\ndata: %b\n\n" % anthropic_body(error, request_id)


OPENAI = Envelope(_own_status, lambda error, _: error.openai(), _openai_events)
ANTHROPIC = Envelope(
    anthropic_status, anthropic_body, _anthropic_events, (b"x-request-id", b"request-id")
)


def json_rpc_body(error: ApiError, _: str) -> bytes:
    """JSON-RPC's envelope (2.0, section 5.1): its own codes for messages that are none, else the
    HTTP status, for codes outside the reserved range are the application's. Ours is in `data`.
    """
    more = {name: value for name, value in error.extra.items() if name != BAD_MESSAGE}
    param = {} if error.param is None else {"param": error.param}
    told = {
        "code": JSON_RPC_CODES.get(error.code, error.status),
        "message": error.message,
        "data": {"code": error.code, **param, **more},
    }
    return _encode({"jsonrpc": "2.0", "id": error.extra.get(BAD_MESSAGE), "error": told})


MCP = Envelope(_own_status, json_rpc_body, _openai_events)
PLAIN = Envelope(_own_status, lambda error, _: error.plain(), _openai_events)
MESSAGES = "/v1/messages"
MCP_PATH = "/mcp"


def envelope_of(path: str) -> Envelope:
    """The envelope of whatever is answered to a path."""
    if path == MCP_PATH:
        return MCP
    if not path.startswith("/v1/"):
        return PLAIN
    if path == MESSAGES or path.startswith(f"{MESSAGES}/"):
        return ANTHROPIC
    return OPENAI
