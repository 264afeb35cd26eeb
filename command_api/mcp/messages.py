"""What of a body is believed before the protocol's library sees it: one JSON-RPC 2.0 message.

The library reads a body a second time, so it is given what was read here, written anew: a member
that stands twice cannot mean one thing to the check and another to who serves it.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from edge.body import decode_body
from edge.envelopes import BAD_MESSAGE
from edge.errors import ApiError

BODY_BYTES_MAX = 65_536
"""Largest message: a call's arguments are a few names and numbers."""
DEPTH_MAX = 32
"""Deepest nesting of objects and lists; no revision of the protocol sends half as deep."""
ID_CHARACTERS_MAX = 256
METHOD_CHARACTERS_MAX = 256
ID_MAX = 2**53 - 1
"""Integers beyond it are not the same number to every client (RFC 8259, section 6)."""
VERSION = "2.0"
_decode = msgspec.json.Decoder().decode


def read_message(raw: bytes) -> bytes:
    """One request or notification, as the library may have it.

    Raises ApiError 400: `invalid_json` and `invalid_text` are JSON-RPC's -32700, and
    `invalid_message` its -32600 (JSON-RPC 2.0, sections 4 and 5.1; batches left the protocol with
    its revision 2025-06-18).
    """
    given: Any = decode_body(_decode, raw)
    if isinstance(given, list):
        raise _invalid("A body holds one message: batches are not served.")
    if not isinstance(given, dict):
        raise _invalid("A message is a JSON object.")
    message_id = given.get("id")
    if "id" in given and not _is_id(message_id):
        message = (
            f"id must be a text of at most {ID_CHARACTERS_MAX} characters or an integer of at "
            f"most {ID_MAX}; a notification has none."
        )
        raise _invalid(message)
    if given.get("jsonrpc") != VERSION:
        raise _invalid('jsonrpc must be "2.0".', message_id)
    if "result" in given or "error" in given:
        message = "This server asks nothing of its clients, so there is nothing to answer."
        raise _invalid(message, message_id)
    method = given.get("method")
    if not isinstance(method, str) or not 0 < len(method) <= METHOD_CHARACTERS_MAX:
        message = f"method must be a text of 1 to {METHOD_CHARACTERS_MAX} characters."
        raise _invalid(message, message_id)
    if not isinstance(given.get("params", {}), dict):
        raise _invalid("params must be an object.", message_id)
    if _is_deep(given):
        message = f"The message nests deeper than {DEPTH_MAX}."
        raise _invalid(message, message_id)
    known = ("jsonrpc", "id", "method", "params")
    return json.dumps({name: given[name] for name in known if name in given}).encode()


def _is_id(given: Any) -> bool:
    if isinstance(given, str):
        return len(given) <= ID_CHARACTERS_MAX
    return isinstance(given, int) and not isinstance(given, bool) and abs(given) <= ID_MAX


def _is_deep(given: Any) -> bool:
    """Level by level, so that no depth is one of ours."""
    level = [given]
    for _ in range(DEPTH_MAX):
        below: list[Any] = []
        for each in level:
            inside = each.values() if isinstance(each, dict) else each
            below += [one for one in inside if isinstance(one, (dict, list))]
        if not below:
            return False
        level = below
    return True


def _invalid(message: str, message_id: str | int | None = None) -> ApiError:
    return ApiError(400, "invalid_message", message, extra={BAD_MESSAGE: message_id})
