"""What a void keeps of the attempts that failed: it is free, so it must be small."""

from __future__ import annotations

from typing import Any

import msgspec

VOID_BYTES_MAX = 1_000
"""Of a void in the log, whose hold lay on one lot; each further lot adds some 80."""
FIGURES_BYTES_MAX = 260
"""What the append writes behind it."""
ERROR_CHARACTERS = (120, 40, 0)
REASON_CHARACTERS_MAX = 80

_encode = msgspec.json.encode


def void_members(envelope_bytes: int, attempts: list[dict[str, Any]], reason: str) -> bytes:
    """The members `attempts` and `reason` of a void whose envelope has so many bytes.

    Errors are shortened first; then the earliest attempts are left out, and the reason says how
    many.
    """
    reason = reason[:REASON_CHARACTERS_MAX]
    room = VOID_BYTES_MAX - FIGURES_BYTES_MAX - envelope_bytes
    members = b""
    for left_out in range(len(attempts) + 1):
        told = f"{reason}; {left_out} earlier attempts left out" if left_out else reason
        for characters in ERROR_CHARACTERS:
            kept = [_shortened(each, characters) for each in attempts[left_out:]]
            members = b'"attempts":%b,"reason":%b' % (_encode(kept), _encode(told))
            if len(members) <= room:
                return members
    return members


def _shortened(attempt: dict[str, Any], characters: int) -> dict[str, Any]:
    error = attempt.get("error")
    if not error or len(error) <= characters:
        return attempt
    shortened = {name: value for name, value in attempt.items() if name != "error"}
    return {**shortened, "error": error[:characters]} if characters else shortened
