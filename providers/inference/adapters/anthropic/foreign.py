"""Thoughts in a Messages body that Anthropic did not write, and would refuse the call for.

A conversation may have begun at another model: its thoughts are unsigned there, or hold what that
model's provider wants back (`details`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from providers.inference.adapters.details import MARK

_MARK = MARK.encode()
_UNSIGNED = (b'"signature":""', b'"signature": ""')
_decode = msgspec.json.Decoder(list[dict[str, Any]]).decode


def has_foreign(raw: bytes) -> bool:
    """Whether a body may hold any: a quick look, so that most pass as they are."""
    return _MARK in raw or any(each in raw for each in _UNSIGNED)


def without_foreign(messages: bytes) -> list[dict[str, Any]] | None:
    """The messages without them, of which one that was nothing else is gone; None without any."""
    made, found = [], False
    for message in _decode(messages):
        content = message.get("content")
        if isinstance(content, list):
            kept = [block for block in content if not _is_foreign(block)]
            found = found or len(kept) < len(content)
            if not kept and content:
                continue
            message["content"] = kept
        made.append(message)
    return made if found else None


def _is_foreign(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    if block.get("type") == "thinking":
        return block.get("signature") == ""
    data = block.get("data")
    return block.get("type") == "redacted_thinking" and str(data).startswith(MARK)
