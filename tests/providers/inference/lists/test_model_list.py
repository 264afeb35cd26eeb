"""The schedule of lists: kept, shared, dropped when too old."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from providers.inference.lists.model_list import ModelLists
from providers.redis.cache import MemoryCache, RedisCache
from tests.providers.inference.asking import load
from tests.providers.inference.lists.examples import LIST
from tests.support.harness import reply

if TYPE_CHECKING:
    from providers.inference.registry.registry import Registry
    from tests.support.harness import ScriptedUpstream


def test_a_list_is_kept_while_the_provider_is_down_and_dropped_when_stale(
    upstream: ScriptedUpstream,
) -> None:
    """A price past its limit is no price (P10)."""
    registry = load(None, OPENROUTER_API_KEY="k", OPENROUTER_BASE_URL=upstream.base_url)
    provider = registry.providers["openrouter"]
    kept = ModelLists(registry, MemoryCache(9), interval_s=0, stale_s=60)
    stale = ModelLists(registry, MemoryCache(9), interval_s=0, stale_s=0)
    upstream.answer = lambda connection, _: reply(connection, json.dumps(LIST).encode())
    asyncio.run(kept.refresh(provider))
    assert registry.resolve("openrouter/org/model") is not None
    upstream.answer = lambda connection, _: reply(connection, b"oops", status=500)
    asyncio.run(kept.refresh(provider))
    assert registry.resolve("openrouter/org/model") is not None
    upstream.answer = lambda connection, _: reply(connection, json.dumps(LIST).encode())
    asyncio.run(stale.refresh(provider))
    upstream.answer = lambda connection, _: reply(connection, b"not json")
    asyncio.run(stale.refresh(provider))
    assert registry.resolve("openrouter/org/model") is None


def test_gateways_share_a_fetched_list(upstream: ScriptedUpstream, empty_redis: str) -> None:
    """Within the interval the second gateway asks Redis, not the provider; prices agree
    (rule: calls first).
    """
    asked = []

    def answer(connection: Any, request: Any) -> None:
        asked.append(request.path)
        reply(connection, json.dumps(LIST).encode())

    upstream.answer = answer
    versions = set()
    for _ in range(2):
        registry = load(None, OPENROUTER_API_KEY="k", OPENROUTER_BASE_URL=upstream.base_url)

        async def refresh(registry: Registry = registry) -> None:
            cache = RedisCache(empty_redis, 9)
            lists = ModelLists(registry, cache, interval_s=60, stale_s=60)
            await lists.refresh(registry.providers["openrouter"])
            await cache.close()

        asyncio.run(refresh())
        model = registry.resolve("openrouter/org/model")
        assert model is not None
        versions.add(model.price.version)
    assert asked == ["/v1/models"]
    assert len(versions) == 1
