"""The background work of payments, as long as its process lives."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
from eventsourcing.persistence import PersistenceError

from command_api.composition import committer_of, payments_of, vault_of
from command_api.payments.crediting import Crediting
from command_api.payments.handling import Part, Tools, watched_by
from command_api.payments.worker import PaymentWork
from command_api.refunds.handler import ReturnHandler, TaxHandler
from command_api.subscriptions.handling import Subscribing
from command_api.subscriptions.returning import InvoiceReturns
from event_store.errors import EventStoreError
from event_store.ids import new_uuid7
from providers.payments.returns import WATCHED as RETURNS
from providers.payments.told import WATCHED as PAYMENTS
from providers.payments.told_billing import WATCHED as SUBSCRIPTIONS

if TYPE_CHECKING:
    import threading

    from command_api.settings import Settings
    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.payments")

PARTS: tuple[Part, ...] = (
    Part((), lambda tools: TaxHandler(tools.events, tools.committer)),
    Part(PAYMENTS, lambda tools: Crediting(tools.events, tools.committer)),
    Part(
        RETURNS,
        lambda tools: ReturnHandler(
            tools.connect, tools.events, tools.committer, tools.provider, tools.rates
        ),
    ),
)
"""Rooms that need no settings; of one kind of object the first that takes it counts."""
WATCHED = (*watched_by(PARTS), *SUBSCRIPTIONS)
"""The types of events that Stripe is asked for; its endpoint is to send the same."""
RETRY_S = 1.0
DEFECT_S = 10.0


def parts_of(settings: Settings) -> tuple[Part, ...]:
    """All rooms that act on what Stripe tells, as these settings have them."""
    offers = settings.payments.offers

    def returning(tools: Tools) -> InvoiceReturns:
        made = tools.connect, tools.events, tools.committer, tools.provider
        return InvoiceReturns(*made, offers, tools.rates)

    def subscribing(tools: Tools) -> Subscribing:
        made = tools.connect, tools.events, tools.committer, tools.provider
        return Subscribing(*made, offers, tools.rates)

    return (*PARTS, Part((), returning), Part(SUBSCRIPTIONS, subscribing))


async def keep_paying(settings: Settings, database: Database, stop: threading.Event) -> None:
    """Drain the inbox and ask what was missed, until told to stop; never raises."""
    provider = payments_of(settings)
    vault = await asyncio.to_thread(vault_of, settings, database)
    payments = settings.payments
    work = PaymentWork(
        database,
        vault,
        provider,
        parts_of(settings),
        rates=payments.rates_by_currency,
        poll_s=payments.stripe_poll_s,
    )
    try:
        while not stop.is_set():
            committer = committer_of(settings, database, new_uuid7())
            try:
                await committer.start()
                await work.keep_working(committer, stop)
            except* (psycopg.Error, PersistenceError, EventStoreError) as errors:
                said = "; ".join(" ".join(str(each).split()) for each in errors.exceptions)
                logger.warning("payments wait for the database: %s", said)
                await asyncio.to_thread(stop.wait, RETRY_S)
            except* Exception:
                # Whatever it is, the sweep and the read models of this process go on.
                logger.exception("the work on payments met a defect and is put off")
                await asyncio.to_thread(stop.wait, DEFECT_S)
            finally:
                with suppress(Exception):
                    await committer.stop()
    finally:
        if provider is not None:
            await provider.close()
