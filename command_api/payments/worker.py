"""The background work of payments: the inbox is drained, and Stripe is asked what was missed.

Any number of processes may do it at once. What one began and did not end is another's after a
minute.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
import psycopg_pool
from eventsourcing.persistence import PersistenceError

from command_api.payments import inbox as table
from command_api.payments.handling import FailedError, Handling, Tools, lanes_of, watched_by
from command_api.payments.inbox import FAILED, Inbox, InboxFullError
from command_api.payments.poll import Poll
from event_store.errors import EventStoreError
from event_store.log.aggregates import Aggregates
from event_store.postgres.database import ReadPool
from providers.payments.port import PaymentsUnavailableError

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence

    from command_api.identity.vault import Vault
    from command_api.payments.handling import Part
    from command_api.payments.inbox import Taken
    from event_store.append.committer import Committer
    from event_store.postgres.database import Database
    from providers.payments.port import PaymentProvider

logger = logging.getLogger("gatewayz.payments")

AT_ONCE = 64
LANES_MAX = 8
"""Entries that are handled side by side, each about something else."""
WAIT_S = 0.25
PRUNE_S = 3_600.0
CONNECTIONS_MAX = 4
STATEMENT_S = 10.0
WAITS_S = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Between the tries of one entry; the last goes on until TRIES_MAX."""
TRIES_MAX = 200
"""More than a day of tries; then an entry fails, and waits for a person."""
AWAY = (
    psycopg.Error,
    psycopg_pool.PoolTimeout,
    PersistenceError,
    EventStoreError,
    PaymentsUnavailableError,
    TimeoutError,
)
"""Errors of the moment."""


class PaymentWork:
    """One for each process that does background work."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        provider: PaymentProvider | None,
        parts: Sequence[Part],
        *,
        rates: Mapping[str, str],
        poll_s: float,
    ) -> None:
        """Nothing is connected yet. Without a provider nobody is asked what was missed.

        `parts` are the rooms that act on what Stripe tells; `rates` USD for one of a currency.
        """
        self._database, self._provider, self._poll_s = database, provider, poll_s
        self._inbox, self._parts, self._rates = Inbox(vault), parts, rates
        self._pruned_at = self._polled_at = float("-inf")

    async def keep_working(self, committer: Committer, stop: threading.Event) -> None:
        """Until told to stop. Raises what ends a connection; begun anew it goes on."""
        pool = ReadPool(self._database, connections_max=CONNECTIONS_MAX, statement_s=STATEMENT_S)
        events = await asyncio.to_thread(Aggregates, self._database)
        self._connect = pool.connect
        pool.open()
        try:
            tools = Tools(
                connect=pool.connect,
                events=events,
                committer=committer,
                provider=self._provider,
                rates=self._rates,
            )
            made = [part.make(tools) for part in self._parts]
            handling = Handling(self._inbox, self._provider, made)
            while not stop.is_set():
                while await self.drain(handling) and not stop.is_set():
                    pass
                await self._now_and_then()
                await asyncio.to_thread(stop.wait, WAIT_S)
        finally:
            await asyncio.to_thread(events.close)
            await asyncio.to_thread(pool.close)

    async def drain(self, handling: Handling) -> bool:
        """Handle what is due; whether there may be more.

        What is about the same is in the order of what happened, each after the try before it has
        ended. One that is put off holds up no other: a handler judges by when a thing was so.
        """
        found = await asyncio.to_thread(self._lease)
        marked = await asyncio.to_thread(lambda: [(e, handling.marks(e)) for e in found])
        beside = asyncio.Semaphore(LANES_MAX)

        async def run(lane: Sequence[Taken]) -> None:
            async with beside:
                for each in lane:
                    await self._one(handling, each)

        async with asyncio.TaskGroup() as group:
            for lane in lanes_of(marked):
                group.create_task(run(lane))
        return len(found) == AT_ONCE

    async def _one(self, handling: Handling, taken: Taken) -> None:
        """One try of one entry: whatever goes wrong with it stays with it."""
        try:
            state = await handling.handle(taken)
        except FailedError as error:
            logger.warning("event %s (%s) failed: %s", taken.event_id, taken.kind, error)
            await asyncio.to_thread(self._end, taken, FAILED, str(error))
        except AWAY as error:
            await self._later(taken, f"away: {' '.join(str(error).split())}")
        except Exception:
            logger.exception("event %s (%s) met a defect", taken.event_id, taken.kind)
            await self._later(taken, "defect: see the log")
        else:
            await asyncio.to_thread(self._end, taken, state)

    async def _later(self, taken: Taken, why: str) -> None:
        if taken.tries >= TRIES_MAX:
            logger.warning("event %s (%s) failed: %s", taken.event_id, taken.kind, why)
            await asyncio.to_thread(self._end, taken, FAILED, why)
            return
        wait_s = WAITS_S[min(taken.tries, len(WAITS_S)) - 1]
        logger.info("event %s is tried again in %.0f s: %s", taken.event_id, wait_s, why)
        with suppress(psycopg.Error, psycopg_pool.PoolTimeout):  # Then its lease ends.
            await asyncio.to_thread(self._put_off, taken, wait_s, why)

    async def _now_and_then(self) -> None:
        """Ask Stripe, and forget what is old."""
        now = time.monotonic()
        if self._provider is not None and now - self._polled_at >= self._poll_s:
            self._polled_at = now
            await self._poll(self._provider)
        if now - self._pruned_at >= PRUNE_S:
            self._pruned_at = now
            await asyncio.to_thread(self._prune)

    async def _poll(self, provider: PaymentProvider) -> None:
        poll = Poll(self._connect, self._inbox, provider, watched_by(self._parts))
        try:
            new = await poll.round()
            if await asyncio.to_thread(poll.unfinished):
                self._polled_at = float("-inf")  # Go on at once.
            if new:
                logger.info("%d events were found that no webhook had brought", new)
        except (PaymentsUnavailableError, InboxFullError) as error:
            logger.warning("Stripe could not be asked what was missed: %s", error)

    def _lease(self) -> list[Taken]:
        with self._connect() as connection:
            return table.lease(connection, AT_ONCE)

    def _end(self, taken: Taken, state: str, error: str = "") -> None:
        with self._connect() as connection:
            table.end(connection, taken, state, error)

    def _put_off(self, taken: Taken, wait_s: float, why: str) -> None:
        with self._connect() as connection:
            table.later(connection, taken, wait_s, why)

    def _prune(self) -> None:
        with self._connect() as connection:
            table.prune(connection)
