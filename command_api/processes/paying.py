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
from command_api.payments.handling import Part, watched_by
from command_api.payments.worker import PaymentWork
from event_store.errors import EventStoreError
from event_store.ids import new_uuid7
from providers.payments.told import WATCHED as PAYMENTS

if TYPE_CHECKING:
    import threading

    from command_api.settings import Settings
    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.payments")

PARTS: tuple[Part, ...] = (Part(PAYMENTS, lambda tools: Crediting(tools.events, tools.committer)),)
"""The rooms that act on what Stripe tells; of one kind of object the first that takes it."""
WATCHED = watched_by(PARTS)
"""The types of events that Stripe is asked for; its endpoint is to send the same."""
RETRY_S = 1.0
DEFECT_S = 10.0


async def keep_paying(settings: Settings, database: Database, stop: threading.Event) -> None:
    """Drain the inbox and ask what was missed, until told to stop; never raises."""
    provider = payments_of(settings)
    vault = await asyncio.to_thread(vault_of, settings, database)
    work = PaymentWork(database, vault, provider, PARTS, poll_s=settings.payments.stripe_poll_s)
    try:
        while not stop.is_set():
            committer = committer_of(settings, database, new_uuid7())
            try:
                await committer.start()
                await work.keep_working(committer, stop)
            except (psycopg.Error, PersistenceError, EventStoreError) as error:
                logger.warning("payments wait for the database: %s", " ".join(str(error).split()))
                await asyncio.to_thread(stop.wait, RETRY_S)
            except Exception:
                # Whatever it is, the sweep and the read models of this process go on.
                logger.exception("the work on payments met a defect and is put off")
                await asyncio.to_thread(stop.wait, DEFECT_S)
            finally:
                with suppress(Exception):
                    await committer.stop()
    finally:
        if provider is not None:
            await provider.close()
