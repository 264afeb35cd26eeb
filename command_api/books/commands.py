"""Closing a month of the books: decided by the domain from the one stream of closes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import psycopg
from eventsourcing.persistence import IntegrityError, PersistenceError

from domain.books.periods import Wish, bounds_of, close_month
from domain.errors import InvalidCommandError
from domain.events.access import BOOKS, PeriodClosed
from edge.errors import unavailable
from event_store.beside.statements import Issued, Wanted, issue, issue_many
from event_store.ids import new_uuid7, to_iso
from event_store.log.aggregates import Aggregates
from event_store.log.reading import booking_now, require_account

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from command_api.identity.people import People
    from edge.caller import Caller
    from event_store.postgres.database import Connects, Database

TRIES_MAX = 5
"""How often a close is decided anew because another one came between."""
ISSUED_AT_ONCE = 1_000
"""Statements that one transaction numbers, while others who issue wait."""


class Closer(NamedTuple):
    """Who closes: as events name them, their user id (None for an operator), where they are."""

    actor: str
    user_id: str | None = None
    origin: str = ""


class Closed(NamedTuple):
    """Up to when the books are closed now, and whether this close did it."""

    until: str
    changed: bool


def close_books(database: Database, month: str, *, closer: Closer, reason: str) -> Closed:
    """As `close`, by a process that does nothing else."""
    aggregates = Aggregates(database)
    try:
        return close(database, aggregates, month, closer=closer, reason=reason)
    finally:
        aggregates.close()


def close(
    database: Connects, aggregates: Aggregates, month: str, *, closer: Closer, reason: str
) -> Closed:
    """Close a month (2026-01, in UTC) and all before it; what is closed already stays so.

    Raises InvalidCommandError, and PersistenceError or psycopg.Error.
    """
    for _ in range(TRIES_MAX):
        events = [e for e in aggregates.events_of(BOOKS) if isinstance(e, PeriodClosed)]
        with database.connect() as connection:
            now = to_iso(booking_now(connection))
        wish = Wish(month, now, reason, closer.user_id, closer.origin)
        decided = close_month(
            events,
            wish,
            event_id=str(new_uuid7()),
            actor=closer.actor,
            correlation_id=str(new_uuid7()),
        )
        if not decided:
            return Closed(events[-1].until, changed=False)
        try:
            aggregates.append(decided)
        except IntegrityError:
            continue  # Somebody else was quicker, perhaps with the same month.
        return Closed(decided[-1].until, changed=True)
    message = "the books are being closed by somebody else at this moment: try again"
    raise InvalidCommandError(message)


def issue_statement(database: Connects, wanted: Wanted) -> tuple[Issued, bool]:
    """The statement of an account for a month (2026-01), and whether it is new.

    Raises InvalidCommandError, and UnknownAccountError for an account that no event names.
    """
    bounds_of(wanted.month)
    with database.connect() as connection:
        require_account(connection, wanted.account_id)
        return issue(connection, wanted)


def issue_statements(database: Connects, wanted: Wanted, accounts: Sequence[UUID]) -> int:
    """The statements of accounts that are known here, as `wanted` of one; how many are new.

    `ISSUED_AT_ONCE` of them by a transaction. Raises InvalidCommandError; what was issued before
    it stays, and is passed over by the next try.
    """
    bounds_of(wanted.month)
    new = 0
    with database.connect() as connection:
        for begin in range(0, len(accounts), ISSUED_AT_ONCE):
            new += issue_many(connection, wanted, accounts[begin : begin + ISSUED_AT_ONCE])
    return new


class BooksDesk:
    """One for each process."""

    def __init__(self, people: People) -> None:
        """Writes through the connections of `people`."""
        self._people = people

    async def issue(self, wanted: Wanted) -> tuple[Issued, bool]:
        """The statement, and whether it is new; raises InvalidCommandError, and ApiError 503."""
        people = self._people
        try:
            return await people.run(lambda: issue_statement(people, wanted))
        except psycopg.OperationalError:
            message = "The ledger cannot be reached, and it is not known whether it was issued."
            raise unavailable("ledger_unavailable", message) from None

    async def close(self, caller: Caller, month: str, *, reason: str, address: str) -> Closed:
        """As the command, by a caller; raises InvalidCommandError, and ApiError 503."""
        people = self._people
        closer = Closer(caller.actor, caller.user_id, people.vault.origin(address))
        try:
            return await people.run(
                lambda: close(people, people.events, month, closer=closer, reason=reason)
            )
        except (PersistenceError, psycopg.OperationalError):
            message = "The ledger cannot be reached: nothing was closed."
            raise unavailable("ledger_unavailable", message) from None
