"""What an upstream says in an error: its message, its status, its details.

Errors come as an object, inside an object's `error`, as a bare text, or any of these as the first
item of a list (Google).
"""

from __future__ import annotations

from typing import Any

TEXT_CODES: dict[str, int] = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 402,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "model_not_found": 404,
    "overloaded_error": 503,
    "authentication_error": 401,
    "permission_error": 403,
    "billing_error": 402,
    "not_found_error": 404,
    "request_too_large": 413,
    "timeout_error": 504,
    "api_error": 500,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "INVALID_ARGUMENT": 400,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "NOT_FOUND": 404,
    "DEADLINE_EXCEEDED": 504,
    "content_filter": 400,
}
"""Named codes and types inside an error object, for errors that came without a status."""
MESSAGE_NAMES = ("message", "msg", "error", "detail")
ERRORS = range(400, 600)
NUMBER_CHARACTERS_MAX = 9
"""A code of more digits is no status."""


def error_of(body: Any) -> dict[str, Any]:
    """The error object of a body; empty when there is none."""
    body = _unlisted(body)
    found = body.get("error", body) if isinstance(body, dict) else None
    return found if isinstance(found, dict) else {}


def details_of(body: Any) -> list[dict[str, Any]]:
    """The `details` of a body's error object, which are Google's; those that are objects."""
    details = error_of(body).get("details")
    return [each for each in details if isinstance(each, dict)] if isinstance(details, list) else []


def message_of(body: Any) -> str | None:
    """The message in any of the error shapes seen on the wire."""
    found = _unlisted(body)
    while isinstance(found, dict):
        found = _unlisted(next((found[name] for name in MESSAGE_NAMES if found.get(name)), None))
    return found if isinstance(found, str) else None


def status_of(error: Any) -> int | None:
    """The status an error object names by number, by numeric text, or by a known word."""
    error = _unlisted(error)
    if not isinstance(error, dict):
        return None
    for name in ("code", "status", "type"):
        value = error.get(name)
        if isinstance(value, int) and value in ERRORS:
            return value
        if isinstance(value, str) and value in TEXT_CODES:
            return TEXT_CODES[value]
        if isinstance(value, str) and value.isdecimal() and len(value) <= NUMBER_CHARACTERS_MAX:
            return int(value)
    return None


def _unlisted(value: Any) -> Any:
    while isinstance(value, list) and value:
        value = value[0]
    return value
