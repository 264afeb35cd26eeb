"""A cache of bytes with a time to live: Redis where there is one, else this process's memory.

Whatever is cached can be had again without it. Redis away is a slower answer, never an error
(P12): the memory of the process takes its place until it is back.
"""

from __future__ import annotations

import logging
import re
import time
from collections import OrderedDict
from typing import NamedTuple, Protocol

import redis.asyncio
from redis import RedisError

logger = logging.getLogger("gatewayz.cache")

PREFIX = "gatewayz:cache:"
TIMEOUT_S = 0.25
AWAY_S = 5.0
"""How long Redis is left alone after it failed."""


FORGOTTEN_AT_ONCE = 500
BYTES_MAX = 128 * 2**20
"""Most bytes of values in a process's memory, where nobody says another maximum."""


class CacheState(NamedTuple):
    """Values in this process's memory; those that went for want of room; whether Redis answers."""

    entries: int
    evicted: int
    redis: bool | None
    """None where there is none."""


class Cache(Protocol):
    """Values by name, forgotten after a while."""

    async def get(self, name: str) -> bytes | None:
        """A value that has not expired."""
        ...

    async def put(self, name: str, value: bytes, *, ttl_s: float) -> None:
        """Keep a value for a time, if there is room."""
        ...

    async def forget(self, prefix: str) -> int:
        """Forget all values whose names begin so; how many they were."""
        ...

    def state(self) -> CacheState:
        """What is known of it without asking anybody."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...


class MemoryCache:
    """The least recently used go first."""

    def __init__(self, entries_max: int, bytes_max: int = BYTES_MAX) -> None:
        """Room for so many values, and so many bytes of them."""
        self._entries_max, self._bytes_max, self._bytes = entries_max, bytes_max, 0
        self._values: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._evicted = 0

    async def get(self, name: str) -> bytes | None:
        """A value that has not expired."""
        found = self._values.get(name)
        if found is None:
            return None
        if found[0] < time.monotonic():
            self._drop(name)
            return None
        self._values.move_to_end(name)
        return found[1]

    async def put(self, name: str, value: bytes, *, ttl_s: float) -> None:
        """Keep a value for a time; one that is larger than all the room is not kept."""
        if name in self._values:
            self._drop(name)
        self._values[name] = (time.monotonic() + ttl_s, value)
        self._bytes += len(value)
        while len(self._values) > self._entries_max or self._bytes > self._bytes_max:
            self._drop(next(iter(self._values)))
            self._evicted += 1

    async def forget(self, prefix: str) -> int:
        """Forget all values whose names begin so."""
        names = [name for name in self._values if name.startswith(prefix)]
        for name in names:
            self._drop(name)
        return len(names)

    def _drop(self, name: str) -> None:
        self._bytes -= len(self._values.pop(name)[1])

    def state(self) -> CacheState:
        """The memory's."""
        return CacheState(len(self._values), self._evicted, None)

    async def close(self) -> None:
        """Forget all."""
        self._values.clear()
        self._bytes = 0


class RedisCache:
    """Values shared by all gateways; those of this process while Redis is away."""

    def __init__(self, url: str, entries_max: int, bytes_max: int = BYTES_MAX) -> None:
        """Nothing is connected before the first use."""
        self._redis = redis.asyncio.Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        )
        self._memory = MemoryCache(entries_max, bytes_max)
        self._away_until = 0.0

    async def get(self, name: str) -> bytes | None:
        """A value that has not expired."""
        if time.monotonic() >= self._away_until:
            try:
                found = await self._redis.get(PREFIX + name)
            except (RedisError, OSError) as error:
                self._failed(error)
            else:
                return found if isinstance(found, bytes) else None
        return await self._memory.get(name)

    async def put(self, name: str, value: bytes, *, ttl_s: float) -> None:
        """Keep a value for a time."""
        if time.monotonic() >= self._away_until:
            try:
                await self._redis.set(PREFIX + name, value, px=max(1, int(ttl_s * 1_000)))
            except (RedisError, OSError) as error:
                self._failed(error)
            else:
                return
        await self._memory.put(name, value, ttl_s=ttl_s)

    async def forget(self, prefix: str) -> int:
        """Forget all values whose names begin so, of all gateways; found by passing over all."""
        forgotten = await self._memory.forget(prefix)
        if time.monotonic() < self._away_until:
            return forgotten
        pattern = PREFIX + re.sub(r"([\\\[\]*?])", r"\\\1", prefix) + "*"
        try:
            names: list[bytes] = []
            async for name in self._redis.scan_iter(match=pattern, count=FORGOTTEN_AT_ONCE):
                names.append(name)
                if len(names) >= FORGOTTEN_AT_ONCE:
                    forgotten += await self._redis.unlink(*names)
                    names.clear()
            if names:
                forgotten += await self._redis.unlink(*names)
        except (RedisError, OSError) as error:
            self._failed(error)
        return forgotten

    def state(self) -> CacheState:
        """The memory's, and whether Redis answered when it was asked last."""
        return self._memory.state()._replace(redis=time.monotonic() >= self._away_until)

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()

    def _failed(self, error: Exception) -> None:
        self._away_until = time.monotonic() + AWAY_S
        logger.warning("the cache does without Redis for a while: %s", error)


def make_cache(redis_url: str | None, entries_max: int, bytes_max: int = BYTES_MAX) -> Cache:
    """The cache for a configuration."""
    if redis_url:
        return RedisCache(redis_url, entries_max, bytes_max)
    return MemoryCache(entries_max, bytes_max)
