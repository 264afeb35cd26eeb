"""Model lists of built-in providers that publish prices: OpenRouter's now.

Fetched at start and then regularly; kept when the provider is down, and dropped when older
than a limit, for a stale price is no price (P10). Prices are USD per token as decimal strings
(OpenRouter, "List available models"); "-1" marks a price that depends on the request.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from domain.pricing import PriceTerms
from providers.inference.registry import MODELS_MAX, Model, Registry, price_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.cache import Cache
    from providers.inference.registry import Provider

logger = logging.getLogger("gatewayz.models")

FETCH_TIMEOUT_S = 30.0
LIST_BYTES_MAX = 64 * 1024 * 1024
TOKENS_PER_MILLION = 1_000_000
SOURCE = "provider_list"

TERMS = {
    "prompt": "input_per_million",
    "completion": "output_per_million",
    "input_cache_read": "cached_input_per_million",
    "input_cache_write": "cache_write_per_million",
    "internal_reasoning": "reasoning_per_million",
}
"""OpenRouter's price names, USD per token, and ours."""


def _per_million(text: Any) -> Decimal | None:
    try:
        value = Decimal(str(text))
    except InvalidOperation:
        return None
    return value * TOKENS_PER_MILLION if value.is_finite() and value >= 0 else None


def _model(provider: str, item: dict[str, Any], effective_at: str) -> Model | None:
    """One model of the list; None when it has no fixed price for input and output."""
    pricing = item.get("pricing")
    if not isinstance(pricing, dict) or not isinstance(item.get("id"), str):
        return None
    terms: dict[str, str] = {}
    for theirs, ours in TERMS.items():
        price = _per_million(pricing[theirs]) if theirs in pricing else None
        optional = theirs not in ("prompt", "completion")
        # A listed zero for reasoning or caching means "as the base term", not free.
        if price is not None and not (optional and price == 0):
            terms[ours] = format(price.normalize(), "f")
    request = _per_million(pricing.get("request", "0"))
    if request:
        terms["per_request"] = format(request / TOKENS_PER_MILLION, "f")
    if "input_per_million" not in terms or "output_per_million" not in terms:
        return None
    top = item.get("top_provider")
    most = top.get("max_completion_tokens") if isinstance(top, dict) else None
    length = item.get("context_length")
    created = item.get("created")
    version = price_version(
        provider,
        item["id"],
        PriceTerms.parse(terms),
        source=SOURCE,
        effective_at=effective_at,
    )
    extra = {"created": created} if isinstance(created, int) else {}
    return Model(
        id=item["id"],
        provider=provider,
        price=version,
        context_length=length if isinstance(length, int) else None,
        max_output_tokens=most if isinstance(most, int) and most > 0 else None,
        **extra,
    )


def parse_openrouter(provider: str, raw: bytes, effective_at: str) -> dict[str, Model]:
    """The priced models of a list, by id; raises msgspec.DecodeError for another shape."""
    body = msgspec.json.decode(raw, type=dict[str, Any])
    items = body.get("data")
    if not isinstance(items, list):
        message = "the model list has no `data`"
        raise msgspec.DecodeError(message)
    found = [_model(provider, item, effective_at) for item in items[:MODELS_MAX]]
    return {model.id: model for model in found if model is not None}


LISTERS: dict[str, Callable[[str, bytes, str], dict[str, Model]]] = {"openrouter": parse_openrouter}


class FetchedList(msgspec.Struct, frozen=True):
    """A list as the provider gave it, and when: Unix time, seconds."""

    fetched_at: int
    body: bytes


class ModelLists:
    """Keeps the lists of those providers that have one."""

    def __init__(
        self, registry: Registry, cache: Cache, *, interval_s: float, stale_s: float
    ) -> None:
        """Nothing is fetched before `start`; `cache` shares what any gateway fetched."""
        self._cache = cache
        self._registry, self._interval_s, self._stale_s = registry, interval_s, stale_s
        self._fetched_at: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Fetch in the background, now and then regularly."""
        if any(name in LISTERS for name in self._registry.providers):
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop fetching."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            for name, provider in self._registry.providers.items():
                if name in LISTERS:
                    await self.refresh(provider)
            await asyncio.sleep(self._interval_s)

    async def refresh(self, provider: Provider) -> None:
        """Have one provider's list anew; a failure keeps the old one until it is stale.

        A list that another gateway fetched within the interval is as good as one of our own.
        """
        name = f"models:{provider.name}:{provider.base_url}"
        try:
            fetched = _cached(await self._cache.get(name), self._interval_s)
            if fetched is None:
                fetched = await self._fetch(provider)
                await self._cache.put(name, msgspec.msgpack.encode(fetched), ttl_s=self._interval_s)
            effective_at = time.strftime(
                "%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(fetched.fetched_at)
            )
            provider.listed = LISTERS[provider.name](provider.name, fetched.body, effective_at)
            age_s = max(0.0, time.time() - fetched.fetched_at)
            self._fetched_at[provider.name] = time.monotonic() - age_s
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            logger.warning("the model list of %s could not be fetched: %s", provider.name, error)
            fetched_at = self._fetched_at.get(provider.name)
            if fetched_at is not None and time.monotonic() - fetched_at > self._stale_s:
                provider.listed = {}

    async def _fetch(self, provider: Provider) -> FetchedList:
        async with httpx.AsyncClient(timeout=FETCH_TIMEOUT_S) as client:
            reply = await client.get(f"{provider.base_url}/models")
            reply.raise_for_status()
        if len(reply.content) > LIST_BYTES_MAX:
            message = f"the list is larger than {LIST_BYTES_MAX} bytes"
            raise msgspec.DecodeError(message)
        LISTERS[provider.name](provider.name, reply.content, "")  # Only what can be read is kept.
        return FetchedList(int(time.time()), reply.content)


def _cached(value: bytes | None, interval_s: float) -> FetchedList | None:
    if value is None:
        return None
    fetched = msgspec.msgpack.decode(value, type=FetchedList)
    return fetched if time.time() - fetched.fetched_at < interval_s else None
