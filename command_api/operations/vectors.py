"""Vectors in the encoding that the caller asked for, whichever the provider gave.

OpenAI's own clients ask for base64 and decode it, and the npm one does not expect anything else;
many providers answer with numbers all the same. Base64 holds little-endian 32-bit floats (OpenAI,
"Create embeddings").
"""

from __future__ import annotations

import base64
import re
import struct
from typing import Any

import msgspec

from edge.body import decode_members

BASE64 = "base64"
_TEXT = re.compile(rb'"embedding"\s*:\s*"')
_NUMBERS = re.compile(rb'"embedding"\s*:\s*\[')
_encode = msgspec.json.encode


class _List(msgspec.Struct):
    data: list[dict[str, Any]]


_decode = msgspec.json.Decoder(_List).decode


def in_encoding(raw: bytes, encoding: str) -> bytes:
    """The reply with its vectors so encoded; raises msgspec.DecodeError for another shape."""
    found = _NUMBERS if encoding == BASE64 else _TEXT
    if not found.search(raw):
        return raw
    turn = _to_base64 if encoding == BASE64 else _to_numbers
    data = _decode(raw).data
    for item in data:
        item["embedding"] = turn(item.get("embedding"))
    members = decode_members(raw)
    members["data"] = msgspec.Raw(_encode(data))
    return _encode(members)


def _to_base64(vector: Any) -> Any:
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (TypeError, struct.error, OverflowError):
        return vector  # No vector of numbers: the caller gets what there is.


def _to_numbers(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        packed = base64.b64decode(text, validate=True)
        return list(struct.unpack(f"<{len(packed) // 4}f", packed))
    except (ValueError, struct.error):
        return text
