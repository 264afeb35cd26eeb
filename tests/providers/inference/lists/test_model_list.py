"""The schedule of lists: kept, shared, dropped when too old."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from providers.inference.lists.model_list import ModelLists
from providers.redis.cache import MemoryCache, RedisCache
from tests.providers.inference.asking import load
from tests.providers.inference.lists.examples import LIST
from tests.support.harness import ScriptedUpstream, reply

if TYPE_CHECKING:
    from providers.inference.registry.registry import Registry


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


def test_a_long_list_is_read_beside_the_calls_and_offered_at_once(
    upstream: ScriptedUpstream,
) -> None:
    """No turn of the event loop has more than a tenth of the work, and at each of them the whole
    old list stands or the whole new one (P12, rule: calls first).
    """
    count = 2_000

    def data(price: str) -> bytes:
        pricing = {"prompt": price, "completion": price}
        items = [{"id": f"org/m-{each}", "pricing": pricing} for each in range(count)]
        return json.dumps({"data": items}).encode()

    registry = load(None, OPENROUTER_API_KEY="k", OPENROUTER_BASE_URL=upstream.base_url)
    provider = registry.providers["openrouter"]
    states: set[tuple[int, int, str]] = set()

    def state() -> tuple[int, int, str]:
        found = provider.find("org/m-7")
        price = str(found.price.terms.input_per_million) if found else ""
        return len(provider.listed), len(provider.cheapest), price

    async def run() -> None:
        lists = ModelLists(registry, MemoryCache(9), interval_s=0, stale_s=60)
        for price in ("0.000001", "0.000002"):
            upstream.answer = lambda connection, _, price=price: reply(connection, data(price))
            refreshing = asyncio.create_task(lists.refresh(provider))
            longest, began, turned = 0.0, time.process_time(), time.thread_time()
            while not refreshing.done():
                await asyncio.sleep(0.001)
                now = time.thread_time()
                longest, turned = max(longest, now - turned), now
                states.add(state())
            await refreshing
            assert longest < (time.process_time() - began) / 10
        await lists.stop()

    asyncio.run(run())
    assert states == {(0, 0, ""), (count, count, "1"), (count, count, "2")}


def test_a_list_is_followed_nowhere_inside(upstream: ScriptedUpstream) -> None:
    """A provider that redirects the fetch into our own network is not followed there, and keeps
    what it offered (rule: access, P12).
    """
    inner = ScriptedUpstream(lambda connection, _: reply(connection, json.dumps(LIST).encode()))
    registry = load(None, OPENROUTER_API_KEY="k", OPENROUTER_BASE_URL=upstream.base_url)
    provider = registry.providers["openrouter"]
    lists = ModelLists(registry, MemoryCache(9), interval_s=0, stale_s=60)
    upstream.answer = lambda connection, _: reply(connection, json.dumps(LIST).encode())
    asyncio.run(lists.refresh(provider))
    where = {"location": inner.base_url + "/models"}
    upstream.answer = lambda connection, _: reply(connection, b"", status=302, headers=where)
    asyncio.run(lists.refresh(provider))
    assert inner.connections == 0
    assert registry.resolve("openrouter/org/model") is not None
    assert provider.name in lists.failed
    inner.close()
