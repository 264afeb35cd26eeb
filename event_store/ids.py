"""Identifiers and instants, the only places where the store meets randomness and the clock."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from uuid import UUID

_VERSION_7 = 0x7000
_VARIANT = 0x8000_0000_0000_0000
_MASK_12 = 0x0FFF
_MASK_62 = 0x3FFF_FFFF_FFFF_FFFF


def new_uuid7() -> UUID:
    """A UUIDv7 (RFC 9562, 5.7): milliseconds of Unix time, then 74 random bits."""
    random = int.from_bytes(os.urandom(10), "big")
    high = (time.time_ns() // 1_000_000) << 16 | _VERSION_7 | (random >> 62 & _MASK_12)
    return UUID(int=high << 64 | _VARIANT | (random & _MASK_62))


def now_iso() -> str:
    """The present instant, ISO 8601 in UTC with microseconds and a Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def to_iso(instant: datetime) -> str:
    """An aware instant in the same form as now_iso."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
