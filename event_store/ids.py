"""Identifiers and instants, the only places where the store meets randomness and the clock."""

from __future__ import annotations

import os
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from domain.events.base import Stamp

RANDOM_BYTES = 10
POOL_DRAWS = 400
"""Randomness is drawn from the system for so many ids at once; most calls need three."""
VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
NS_PER_S = 1_000_000_000

_pool: deque[str] = deque()


def _random_hex() -> str:
    """Ten random bytes in hex, from the pool; threads may ask at once."""
    while True:
        try:
            return _pool.popleft()  # One step, so that no two threads draw the same.
        except IndexError:
            drawn, digits = os.urandom(POOL_DRAWS * RANDOM_BYTES).hex(), 2 * RANDOM_BYTES
            _pool.extend(drawn[n : n + digits] for n in range(0, len(drawn), digits))


def _forget_pool() -> None:
    """A forked child must not draw what its parent draws."""
    _pool.clear()


os.register_at_fork(after_in_child=_forget_pool)


def new_uuid7_text() -> str:
    """A UUIDv7 (RFC 9562, 5.7) in text: milliseconds of Unix time, then 74 random bits."""
    stamp = f"{time.time_ns() // 1_000_000:012x}"
    random = _random_hex()
    return (
        f"{stamp[:8]}-{stamp[8:]}-7{random[:3]}-{VARIANTS[random[3]]}{random[4:7]}-{random[7:19]}"
    )


def id_bytes(event_id: str) -> bytes:
    """An id's 16 bytes, of its text."""
    return bytes.fromhex(event_id.replace("-", ""))


def new_uuid7() -> UUID:
    """A UUIDv7 as an object."""
    return UUID(new_uuid7_text())


_second = (0, "")


def now_iso() -> str:
    """The present instant, ISO 8601 in UTC with microseconds and a Z."""
    global _second  # noqa: PLW0603  most instants fall in the second of the one before
    now, rest = divmod(time.time_ns(), NS_PER_S)
    second, text = _second
    if now != second:
        text = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        _second = (now, text)
    return f"{text}{rest // 1_000:06d}Z"


def to_iso(instant: datetime) -> str:
    """An aware instant in the same form as now_iso."""
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def new_envelope(actor: str) -> Stamp:
    """The members that every event of an action by `actor` carries, with ids of its own."""
    return {
        "id": str(new_uuid7()),
        "effective_at": now_iso(),
        "actor": actor,
        "correlation_id": str(new_uuid7()),
    }
