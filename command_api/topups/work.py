"""The background work: accounts that have too little are looked after, each by one process."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
import psycopg_pool
from eventsourcing.persistence import PersistenceError

from command_api.topups.charging import Charging
from event_store.beside.billing.topups import lease_due, release
from event_store.errors import EventStoreError
from event_store.log.aggregates import Aggregates
from event_store.postgres.database import ReadPool
from providers.payments.port import PaymentsUnavailableError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from uuid import UUID

    from command_api.identity.vault import Vault
    from command_api.topups.charging import Observe
    from event_store.postgres.database import Database
    from providers.payments.billing import BillingProvider
    from providers.payments.port import PaymentProvider

logger = logging.getLogger("gatewayz.topups")

AT_ONCE = 20
WAIT_S = 1.0
AWAY_S = 30.0
"""Until an account is looked after again that met Stripe or the database away."""
CONNECTIONS_MAX = 2
STATEMENT_S = 10.0
AWAY = (
    psycopg.Error,
    psycopg_pool.PoolTimeout,
    PersistenceError,
    EventStoreError,
    PaymentsUnavailableError,
    TimeoutError,
)
"""Errors of the moment."""


class TopUpWork:
    """One for each process that does background work."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        billing: BillingProvider,
        provider: PaymentProvider,
    ) -> None:
        """Nothing is connected yet."""
        self._database, self._vault = database, vault
        self._billing, self._provider = billing, provider

    async def keep_working(
        self, observing: Callable[[Aggregates], Observe], stop: threading.Event
    ) -> None:
        """Until told to stop. Raises what ends a connection; begun anew it goes on."""
        pool = ReadPool(self._database, connections_max=CONNECTIONS_MAX, statement_s=STATEMENT_S)
        events = await asyncio.to_thread(Aggregates, self._database)
        self._connect = pool.connect
        pool.open()
        try:
            charging = Charging(
                pool.connect,
                events,
                self._vault,
                self._billing,
                self._provider,
                observing(events),
            )
            while not stop.is_set():
                for account_id in await asyncio.to_thread(self._due):
                    await self._one(charging, account_id)
                await asyncio.to_thread(stop.wait, WAIT_S)
        finally:
            await asyncio.to_thread(events.close)
            await asyncio.to_thread(pool.close)

    async def _one(self, charging: Charging, account_id: UUID) -> None:
        """Whatever goes wrong with an account stays with it."""
        try:
            after_s = await charging.look_after(str(account_id))
        except AWAY as error:
            after_s = AWAY_S
            logger.info("account %s is topped up later: %s", account_id, error)
        except Exception:
            logger.exception("the top-up of account %s met a defect", account_id)
            return
        if after_s is not None:
            with suppress(psycopg.Error, psycopg_pool.PoolTimeout):  # Then its lease ends.
                await asyncio.to_thread(self._release, account_id, after_s)

    def _due(self) -> list[UUID]:
        with self._connect() as connection:
            return lease_due(connection, AT_ONCE)

    def _release(self, account_id: UUID, after_s: float) -> None:
        with self._connect() as connection:
            release(connection, account_id, after_s)
