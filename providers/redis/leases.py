"""Leases in Redis: who does something for all gateways, until it says that it is done, or dies.

Redis away: nobody knows, and whoever asks goes on as if there were no others (P12).
"""

from __future__ import annotations

import logging
import time
from typing import Any

import redis.asyncio
from redis import RedisError

from providers.redis.cache import AWAY_S, TIMEOUT_S

logger = logging.getLogger("gatewayz.cache")

PREFIX = "gatewayz:lease:"
_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_LEAVE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""


class LeasesAwayError(Exception):
    """Redis does not answer now, so nobody knows who has a lease."""


class RedisLeases:
    """Leases by name; an owner is any text that no other one has."""

    def __init__(self, url: str) -> None:
        """Nothing is connected before the first use."""
        self._redis = redis.asyncio.Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        )
        self._execute: Any = self._redis.execute_command  # It has no types.
        self._away_until = 0.0

    async def take(self, name: str, owner: bytes, life_s: float) -> bool:
        """Whether the lease is the owner's from now on, for so long; raises LeasesAwayError."""
        key, life_ms = PREFIX + name, int(life_s * 1_000)
        return bool(await self._asked("SET", key, owner, "NX", "PX", life_ms))

    async def renew(self, name: str, owner: bytes, life_s: float) -> bool:
        """Whether it is still the owner's, and so for so long again; raises LeasesAwayError."""
        life_ms = int(life_s * 1_000)
        return bool(await self._asked("EVAL", _RENEW, 1, PREFIX + name, owner, life_ms))

    async def leave(self, name: str, owner: bytes, note: bytes = b"", note_s: float = 1.0) -> None:
        """Give back what is the owner's; a note stands in its place for a while.

        Raises LeasesAwayError: then it ends by itself.
        """
        note_ms = int(note_s * 1_000)
        await self._asked("EVAL", _LEAVE, 1, PREFIX + name, owner, note, note_ms)

    async def holder(self, name: str) -> bytes | None:
        """Its owner, or the note in its place; None for nobody. Raises LeasesAwayError."""
        found = await self._asked("GET", PREFIX + name)
        return found if isinstance(found, bytes) else None

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()

    async def _asked(self, *command: str | bytes | int) -> Any:
        """Its answer. Raises LeasesAwayError, at once while Redis failed a moment ago."""
        if time.monotonic() < self._away_until:
            raise LeasesAwayError
        try:
            return await self._execute(*command)
        except (RedisError, OSError) as error:
            self._away_until = time.monotonic() + AWAY_S
            logger.warning("calls of other gateways are not waited for for a while: %s", error)
            raise LeasesAwayError from None
