"""Keeps the model lists of providers: fetched on a schedule, shared, dropped when too old.

A list is kept while its provider is down, and its offers end when it is older than a limit, for
a stale price is no price (P10). What a list has no price for is looked up in the price table.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar

import httpx
import msgspec

from domain.catalog import ModelFacts
from providers.fetching.fetch import Rules, fetch
from providers.fetching.tls import authorities
from providers.inference.lists.forms import FORMS
from providers.inference.lists.listings import read_list
from providers.inference.lists.price_table import (
    SOURCE,
    table_context_length,
    table_models,
    table_terms,
)
from providers.inference.registry.built_in import BY_NAME
from providers.inference.registry.built_in import Protocol as WireProtocol
from providers.inference.registry.offers import Listed
from providers.inference.registry.paced import paced
from providers.inference.registry.trouble import trouble_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.inference.registry.built_in import BuiltIn
    from providers.inference.registry.offers import Offered, Provider
    from providers.inference.registry.registry import Registry
    from providers.inference.registry.trouble import Trouble
    from providers.redis.cache import Cache

logger = logging.getLogger("gatewayz.models")
P = ParamSpec("P")
T = TypeVar("T")

FETCH_TIMEOUT_S, FETCH_TOTAL_S = 30.0, 300.0
"""Longest wait for any of it, and for all of it."""
LIST_BYTES_MAX = 64 * 1024 * 1024
RETRY_S = 60.0
"""A list that could not be fetched is asked for again so soon."""
FETCHES_MAX = 8
"""Lists that are fetched at the same time."""


class FetchedList(msgspec.Struct, frozen=True):
    """A list as the provider gave it, and when: Unix time, seconds."""

    fetched_at: int
    body: bytes


def iso_of(unix_s: float) -> str:
    """An instant of Unix time as events write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(unix_s))


class ListLogUnavailableError(RuntimeError):
    """The log of lists cannot be read now."""


class ListLog(Protocol):
    """Where lists are told once they are taken, and read from after a restart."""

    async def read(self, provider: Provider) -> tuple[list[Listed], str] | None:
        """What a provider listed, and when that was last confirmed (ISO 8601, UTC).

        None before the first list. Raises ListLogUnavailableError.
        """
        ...

    async def publish(self, provider: Provider, *, confirmed: bool = True) -> None:
        """Tell what a provider offers now; `confirmed` when its own list was fetched."""
        ...


def has_list(provider: Provider) -> bool:
    """Whether the provider has a list of models, of its own or in the price table."""
    return provider.name in BY_NAME


class ModelLists:
    """Keeps the lists of those providers that have one."""

    def __init__(
        self,
        registry: Registry,
        cache: Cache,
        *,
        interval_s: float,
        stale_s: float,
        log: ListLog | None = None,
    ) -> None:
        """Nothing is fetched before `start`; `cache` shares what any gateway fetched."""
        self._cache, self._log = cache, log
        self._registry, self._stale_s = registry, stale_s
        self.interval_s = interval_s
        self.fetched_at: dict[str, float] = {}
        """When each list was fetched, Unix time."""
        self.failed: set[str] = set()
        """Providers whose lists could not be fetched when they were asked for last."""
        self._task: asyncio.Task[None] | None = None
        # Lists are read one by one, and never on the threads that bring the ledger back.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lists")

    async def restore(self) -> None:
        """Offer what the log says that providers listed, until their lists are here.

        What the operator's file offers is told to the log. Raises ListLogUnavailableError.
        """
        if self._log is None:
            return
        providers = list(self._registry.providers.values())
        for provider in filter(has_list, providers):
            found = await self._log.read(provider)
            if found is None:
                continue
            items, confirmed_at = found
            provider.take(await self._work(provider.offered, items, confirmed_at))
            self._registry.reindex()
            # The list is as old as its last confirmation.
            self.fetched_at[provider.name] = datetime.fromisoformat(confirmed_at).timestamp()
            self._drop_when_stale(provider)
        for provider in providers:
            if not has_list(provider):
                await self._log.publish(provider, confirmed=False)

    def start(self) -> None:
        """Fetch in the background, now and then regularly."""
        if any(has_list(each) for each in self._registry.providers.values()):
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Stop fetching."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _work(self, work: Callable[P, T], *values: P.args, **named: P.kwargs) -> T:
        """What long work gives, done beside the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, partial(work, *values, **named))

    async def _run(self) -> None:
        while True:
            due = time.monotonic() + self.interval_s
            await self.refresh_all()
            while (left_s := due - time.monotonic()) > 0:
                await asyncio.sleep(min(left_s, RETRY_S) if self.failed else left_s)
                if self.failed and time.monotonic() < due:
                    await self.refresh_all(self.failed.copy())

    async def refresh_all(self, names: set[str] | None = None) -> None:
        """Have all lists anew, or those of some providers, several at a time."""
        room = asyncio.Semaphore(FETCHES_MAX)

        async def one(provider: Provider) -> None:
            async with room:
                try:
                    await self.refresh(provider)
                except Exception:
                    logger.exception("the model list of %s was not taken", provider.name)

        known = [
            each
            for each in self._registry.providers.values()
            if has_list(each) and (names is None or each.name in names)
        ]
        await asyncio.gather(*(one(each) for each in known))

    async def refresh(self, provider: Provider, *, force: bool = False) -> None:
        """Have one provider's list anew; a failure keeps the old one until it is stale.

        A list that another gateway fetched lately is as good as one of our own, but for `force`.
        """
        entry = BY_NAME[provider.name]
        try:
            if force:
                await self._cache.forget(provider.list_name)
            fetched, name = await self._list_of(provider, entry)
            effective_at = iso_of(fetched.fetched_at)
            found = await self._work(_offered, provider, entry, fetched, effective_at)
            if name:  # Only what can be read is kept.
                kept = msgspec.msgpack.encode(fetched)
                await self._cache.put(name, kept, ttl_s=self.interval_s)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            logger.warning("the model list of %s could not be fetched: %s", provider.name, error)
            self.failed.add(provider.name)
            provider.note(_trouble_of(error), answered=isinstance(error, httpx.HTTPStatusError))
            self._drop_when_stale(provider)
            return
        self.failed.discard(provider.name)
        if entry.list_path:
            provider.note(None, answered=True)  # A list may be public: our key is not proven by it.
        provider.take(found)
        self._registry.reindex()
        self.fetched_at[provider.name] = float(fetched.fetched_at)
        if self._log is not None:
            await self._log.publish(provider)

    def _drop_when_stale(self, provider: Provider) -> None:
        fetched_at = self.fetched_at.get(provider.name)
        if fetched_at is not None and time.time() - fetched_at > self._stale_s:
            provider.drop_list()
            self._registry.reindex()

    async def _list_of(self, provider: Provider, entry: BuiltIn) -> tuple[FetchedList, str]:
        """The list, and the name under which the cache wants it where it was fetched now."""
        if not entry.list_path:
            return FetchedList(int(time.time()), b""), ""
        name = provider.list_name
        fetched = _cached(await self._cache.get(name), self.interval_s)
        if fetched is not None:
            return fetched, ""
        return await self._fetch(provider, entry), name

    async def _fetch(self, provider: Provider, entry: BuiltIn) -> FetchedList:
        url, tls = list_url(provider, entry), await self._work(authorities)
        rules = Rules(bytes_max=LIST_BYTES_MAX, wait_s=FETCH_TIMEOUT_S, total_s=FETCH_TOTAL_S)
        body = await fetch(url, rules, headers=dict(provider.list_headers), tls=tls)
        return FetchedList(int(time.time()), body)


def _trouble_of(error: Exception) -> Trouble | None:
    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
        return trouble_of(status, f"status_{status}")
    return trouble_of(None, "connect_error") if isinstance(error, httpx.TransportError) else None


def list_url(provider: Provider, entry: BuiltIn) -> str:
    """Where the list is; a provider that was moved elsewhere is asked there for it as well."""
    if "://" not in entry.list_path:
        return provider.base_url + entry.list_path
    if provider.base_url == entry.base_url:
        return entry.list_path
    return provider.base_url + "/" + entry.list_path.rpartition("/")[2]


def _offered(
    provider: Provider, entry: BuiltIn, fetched: FetchedList, effective_at: str
) -> Offered:
    """What the list offers; long work."""
    return provider.offered(_priced(entry, fetched), effective_at)


def _priced(entry: BuiltIn, fetched: FetchedList) -> list[Listed]:
    """The list's models; those without a price get the table's, if it has one."""
    now = datetime.fromtimestamp(fetched.fetched_at, UTC)
    if entry.list_path:
        items = read_list(FORMS[entry.list_form], fetched.body)
    else:
        names = entry.static_models or table_models(entry.price_table)
        items = [Listed(id=name, facts=_static_facts(entry, name)) for name in names]
    if not entry.price_table:
        return items
    table = entry.price_table
    return [each if each.terms else _from_table(table, each, now) for each in paced(items)]


def _static_facts(entry: BuiltIn, name: str) -> ModelFacts:
    if entry.protocol is WireProtocol.FAL:
        return ModelFacts(name=name, output_modalities=("image",))
    return ModelFacts(name=name)


def _from_table(table: str, item: Listed, now: datetime) -> Listed:
    terms = table_terms(table, item.id, now)
    if terms is None:
        return item
    facts = item.facts
    if facts.context_length is None:
        facts = replace(facts, context_length=table_context_length(table, item.id))
    return replace(item, terms=terms, facts=facts, source=SOURCE)


def _cached(value: bytes | None, interval_s: float) -> FetchedList | None:
    if value is None:
        return None
    fetched: FetchedList = msgspec.msgpack.decode(value, type=FetchedList)
    return fetched if time.time() - fetched.fetched_at < interval_s else None
