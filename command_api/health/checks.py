"""One check of a provider: its list of models, which costs nothing, is asked for and counted.

Nothing is taken from it: what is offered comes from `ModelLists`, and no circuit learns of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import httpx
import msgspec

from edge.errors import ApiError
from edge.lanes import Flights, Lane
from event_store.beside.upkeep.reading import Check
from providers.fetching.fetch import (
    RedirectRefusedError,
    ReplyTooLargeError,
    Rules,
    fetch,
)
from providers.inference.lists.forms import FORMS
from providers.inference.lists.listings import read_list
from providers.inference.lists.model_list import list_url
from providers.inference.registry.built_in import BY_NAME

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from providers.inference.registry.offers import Provider

logger = logging.getLogger("gatewayz.health")

CHECKS_MAX = 8
"""Checks under way at once, in a process."""
BYTES_MAX = 16 * 1024 * 1024
"""Largest list that a check reads."""
READING_S = 5.0
"""How much longer than its answer a check may take, for reading it and waiting for its turn."""
PROVIDERS_MAX = 500
ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (ReplyTooLargeError, "list_too_large"),
    (RedirectRefusedError, "redirect_refused"),
    (httpx.TimeoutException, "timeout"),
    (TimeoutError, "timeout"),
    (httpx.TransportError, "connect_error"),
    (httpx.HTTPError, "list_unreadable"),
    (msgspec.DecodeError, "list_unreadable"),
    (ValueError, "list_unreadable"),
    (RecursionError, "list_unreadable"),
    (ApiError, "checks_busy"),
)
"""The first kind that an error is of says its code."""


def is_checkable(provider: Provider) -> bool:
    """Whether the provider has a list of its own that can be asked for."""
    return provider.name in BY_NAME and bool(BY_NAME[provider.name].list_path)


class Checker:
    """One for each process that checks."""

    def __init__(self, *, timeout_s: float) -> None:
        """`timeout_s` bounds each answer, from the connection to its last byte."""
        self.timeout_s = timeout_s
        self._flights = Flights()
        self._room = asyncio.Semaphore(CHECKS_MAX)
        # Reading is long work, and never on the threads that bring the ledger back.
        self._lane = Lane("health-checks", threads=1, waiting_max=PROVIDERS_MAX)

    @property
    def one_s(self) -> float:
        """Longest time of one check, once it has begun."""
        return self.timeout_s + READING_S

    def round_s(self, providers: int) -> float:
        """Longest time of so many checks."""
        return (providers // CHECKS_MAX + 1) * self.one_s

    async def check(self, providers: Sequence[Provider]) -> list[Check]:
        """What each of them says now; who is being checked already is asked once."""
        chosen = providers[:PROVIDERS_MAX]
        return list(await asyncio.gather(*(self._once(each) for each in chosen)))

    def close(self) -> None:
        """Begin nothing more."""
        self._lane.close()

    async def _once(self, provider: Provider) -> Check:
        return await self._flights.get(provider.name, lambda: self._check(provider))

    async def _check(self, provider: Provider) -> Check:
        async with self._room:
            at, began, answered = datetime.now(UTC), time.monotonic(), 0.0
            models, error = None, None
            try:
                async with asyncio.timeout(self.one_s):
                    body = await self._fetch(provider)
                    answered = time.monotonic()
                    models = await self._lane.run(_count, provider, body)
            except Exception as raised:  # noqa: BLE001 - whatever a provider answers stays here.
                error = _code_of(provider, raised)
            took_ms = int(((answered or time.monotonic()) - began) * 1_000)
            return Check(provider.name, at, took_ms, models, error)

    async def _fetch(self, provider: Provider) -> bytes:
        tls = await self._lane.run(_tls)
        rules = Rules(bytes_max=BYTES_MAX, wait_s=self.timeout_s, total_s=self.timeout_s)
        url = list_url(provider, BY_NAME[provider.name])
        return await fetch(url, rules, headers=dict(provider.list_headers), tls=tls)


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _count(provider: Provider, body: bytes) -> int:
    return len(read_list(FORMS[BY_NAME[provider.name].list_form], body))


def _code_of(provider: Provider, error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"status_{error.response.status_code}"
    for kind, code in ERRORS:
        if isinstance(error, kind):
            return code
    logger.error("the check of %s met a defect", provider.name, exc_info=error)
    return "internal_error"
