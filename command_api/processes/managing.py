"""The process managers of an installation, as long as their process lives."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
from eventsourcing.persistence import PersistenceError

from command_api.composition import billing_of, committer_of, payments_of, vault_of
from command_api.identity.people import People
from command_api.mails.to_users import MailsToUsers
from command_api.mails.waiting import Waiting
from command_api.managers import table
from command_api.managers.host import ManagerHost
from command_api.payments.crediting import Crediting
from command_api.referrals.manager import ReferralManager
from command_api.referrals.store import Store
from command_api.reminders.manager import ReminderManager
from command_api.topups.charging import Charging
from command_api.topups.manager import TopUpManager
from event_store.errors import EventStoreError
from event_store.ids import new_uuid7
from event_store.log.reading import head_position

if TYPE_CHECKING:
    import threading

    from command_api.managers.manager import Manager
    from command_api.settings import Settings
    from event_store.append.committer import Committer
    from event_store.postgres.database import Database
    from providers.payments.billing import BillingProvider
    from providers.payments.port import PaymentProvider

logger = logging.getLogger("gatewayz.managers")

RETRY_S = 1.0
DEFECT_S = 10.0
KINDS: tuple[type[ReferralManager | ReminderManager | TopUpManager], ...] = (
    ReferralManager,
    ReminderManager,
    TopUpManager,
)
"""Every process manager that there is."""


def begin_managers(database: Database) -> None:
    """Let managers that are new begin here, before anything is served that they should hear."""
    with database.connect() as connection:
        head = head_position(connection)
        for each in KINDS:
            table.begin(connection, each.name, 0 if each.from_the_beginning else head)


def managers_of(
    settings: Settings,
    people: People,
    committer: Committer,
    provider: PaymentProvider | None,
    billing: BillingProvider | None,
) -> list[Manager]:
    """Made of open people and a started append."""
    observe = Crediting(people.events, committer).observe
    charging = Charging(people.connect, people.events, people.vault, billing, provider, observe)
    mails = MailsToUsers(people, Waiting(people.vault))
    terms = settings.referrals.terms
    return [
        ReferralManager(Store(people, terms), people, committer, provider, mails, terms),
        ReminderManager(people, mails, settings.reminders.terms, settings.mail.public_url),
        TopUpManager(people.connect, charging),
    ]


async def keep_managing(settings: Settings, database: Database, stop: threading.Event) -> None:
    """Run the managers until told to stop; never raises."""
    provider, billing = payments_of(settings), billing_of(settings)
    vault = await asyncio.to_thread(vault_of, settings, database)
    try:
        while not stop.is_set():
            committer = committer_of(settings, database, new_uuid7())
            people = People(database, vault)
            try:
                await asyncio.to_thread(people.open)
                await committer.start()
                made = managers_of(settings, people, committer, provider, billing)
                await ManagerHost(database, made).run(stop)
            except* (psycopg.Error, PersistenceError, EventStoreError) as errors:
                logger.warning("managers wait for the database: %s", _line(errors))
                await asyncio.to_thread(stop.wait, RETRY_S)
            except* Exception:
                # Whatever it is, the sweep and the read models of this process go on.
                logger.exception("the managers met a defect and are put off")
                await asyncio.to_thread(stop.wait, DEFECT_S)
            finally:
                with suppress(Exception):
                    await committer.stop()
                with suppress(Exception):
                    await asyncio.to_thread(people.close)
    finally:
        for each in (provider, billing):
            if each is not None:
                await each.close()


def _line(errors: BaseExceptionGroup) -> str:
    return "; ".join(" ".join(str(each).split()) for each in errors.exceptions)
