"""The cache: values with a time to live, shared where there is Redis, never in the way (P12)."""

from __future__ import annotations

import asyncio

from providers.redis.cache import MemoryCache, RedisCache, make_cache
from tests.servers.local import free_port


def test_memory_forgets_what_is_old_and_what_is_least_used() -> None:
    """A named number of entries, and a time to live (rule: bounded)."""

    async def run() -> None:
        cache = MemoryCache(2)
        await cache.put("a", b"1", ttl_s=60)
        await cache.put("b", b"2", ttl_s=60)
        assert await cache.get("a") == b"1"
        await cache.put("c", b"3", ttl_s=60)
        assert await cache.get("b") is None
        assert await cache.get("a") == b"1"
        await cache.put("d", b"4", ttl_s=0)
        await asyncio.sleep(0.01)
        assert await cache.get("d") is None

    asyncio.run(run())


def test_redis_shares_values_between_processes(empty_redis: str) -> None:
    """What one put, another gets, until it expires (rule: calls first)."""

    async def run() -> None:
        one, other = make_cache(empty_redis, 9), make_cache(empty_redis, 9)
        assert isinstance(one, RedisCache)
        await one.put("a", b"1", ttl_s=60)
        assert await other.get("a") == b"1"
        await one.put("b", b"2", ttl_s=0.05)
        await asyncio.sleep(0.1)
        assert await other.get("b") is None
        await one.close()
        await other.close()

    asyncio.run(run())


def test_without_redis_the_memory_of_the_process_serves() -> None:
    """Redis away: no error, and values of this process still found (P12)."""

    async def run() -> None:
        cache = RedisCache(f"redis://127.0.0.1:{free_port()}/0", 9)
        assert await cache.get("a") is None
        await cache.put("a", b"1", ttl_s=60)
        assert await cache.get("a") == b"1"
        await cache.close()

    asyncio.run(run())


def test_what_begins_alike_is_forgotten_together(empty_redis: str) -> None:
    """Of all gateways, and nothing else, whatever stands in the names (rule: bounded)."""

    async def run() -> None:
        shared, other = make_cache(empty_redis, 9_999), make_cache(empty_redis, 9)
        for cache in (shared, MemoryCache(9_999)):
            for number in range(1_200):
                await cache.put(f"a*:{number}", b"1", ttl_s=60)
            await cache.put("ab:1", b"2", ttl_s=60)
            assert await cache.forget("a*:") == 1_200
            assert await cache.get("a*:7") is None
            assert await cache.get("ab:1") == b"2"
            assert await cache.forget("a*:") == 0
        assert await other.get("ab:1") == b"2"
        assert shared.state().redis is True
        assert other.state().entries == 0
        await shared.close()
        await other.close()

    asyncio.run(run())


def test_the_state_says_what_went_and_that_redis_is_away() -> None:
    """Without asking anybody (rule: observable)."""

    async def run() -> None:
        cache = RedisCache(f"redis://127.0.0.1:{free_port()}/0", 2)
        for name in "abc":
            await cache.put(name, b"1", ttl_s=60)
        assert cache.state() == (2, 1, False)
        assert await cache.forget("") == 2
        assert MemoryCache(1).state() == (0, 0, None)
        await cache.close()

    asyncio.run(run())
