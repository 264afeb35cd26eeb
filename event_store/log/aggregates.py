"""Users and API keys, stored through the `eventsourcing` library.

The library's save takes the same advisory lock as the append of money, on this path by the
recorder's own statements and on every other by a trigger (P7). The inline state is written in
the same transaction.
"""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import psycopg
from eventsourcing.application import Application
from eventsourcing.persistence import (
    InfrastructureFactory,
    IntegrityError,
    Mapper,
    StoredEvent,
)
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore, PostgresFactory
from eventsourcing.utils import Environment
from psycopg import Cursor
from psycopg.rows import DictRow, dict_row
from psycopg.sql import SQL

from event_store.beside.inline_state import update_inline_state
from event_store.locks import Lock
from event_store.log.codec import LedgerMapper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventsourcing.domain import DomainEventProtocol

    from domain.events.base import Event
    from event_store.postgres.database import Database

EVENTS_TABLE = "events"
LOCK_TIMEOUT_S = 10
FAIL = "DO $$ BEGIN RAISE EXCEPTION 'undone by what was raised beside'; END $$"
"""Ends a transaction, so that nothing of it can be committed."""
BESIDE: ContextVar[Callable[[Cursor[DictRow]], object] | None] = ContextVar("beside", default=None)
"""What is written in the transaction of a save, beside its events."""


def constraint_of(error: IntegrityError) -> str:
    """The database's constraint that refused a save; empty where it was another cause."""
    return getattr(getattr(error.__cause__, "diag", None), "constraint_name", None) or ""


class LedgerRecorder(PostgresApplicationRecorder):
    """The library's recorder on our table, under our lock, with its inline state."""

    def __init__(self, datastore: PostgresDatastore, *, events_table_name: str = "") -> None:
        """Use the table `events`, whatever the application is called."""
        del events_table_name
        super().__init__(datastore, events_table_name=EVENTS_TABLE)
        # An advisory lock instead of the library's table lock, which waits for VACUUM.
        self.lock_table_statements = [
            SQL("SET LOCAL lock_timeout = '{0}s'").format(LOCK_TIMEOUT_S),
            SQL("SELECT pg_advisory_xact_lock({0})").format(Lock.APPEND),
        ]

    def _insert_stored_events(
        self, curs: Cursor[DictRow], stored_events: Sequence[StoredEvent], **_: Any
    ) -> None:
        connection = curs.connection
        with connection.pipeline() as pipeline, connection.cursor(row_factory=dict_row) as own:
            try:
                super()._insert_stored_events(curs, stored_events)
                for stored in stored_events:
                    update_inline_state(own, stored)
                if (beside := BESIDE.get()) is not None:
                    beside(own)
                pipeline.sync()
            except psycopg.Error:
                # What was sent after the refused statement is answered "pipeline aborted". It is
                # read here, or it would be raised in the place of the refusal.
                with suppress(psycopg.Error):
                    pipeline.sync()
                raise
            except Exception:
                # The library would commit: it leaves its transaction as if nothing was raised.
                with suppress(psycopg.Error):
                    own.execute(FAIL)
                    pipeline.sync()
                raise


class LedgerFactory(PostgresFactory):
    """Builds the library's parts from our connection string and mapper."""

    application_recorder_class = LedgerRecorder

    def mapper(self, *_: Any, **__: Any) -> Mapper[Any]:
        """Our mapper, over the library's JSON transcoder."""
        return LedgerMapper(transcoder=self.transcoder())


class Aggregates(Application[UUID]):
    """The library's application over the ledger's log."""

    name = "gatewayz"

    def __init__(self, database: Database) -> None:
        """Connect with the application's role; tables are made by migrations, never here."""
        self._parts = database.parts()
        super().__init__()

    def construct_factory(self, env: Environment) -> InfrastructureFactory[Any]:
        """The PostgreSQL factory on our database."""
        parts = self._parts
        settings = {
            "POSTGRES_DBNAME": parts.get("dbname", ""),
            "POSTGRES_HOST": parts.get("host", ""),
            "POSTGRES_PORT": parts.get("port", "5432"),
            "POSTGRES_USER": parts.get("user", ""),
            "POSTGRES_PASSWORD": parts.get("password", ""),
            "POSTGRES_POOL_SIZE": "1",
            "CREATE_TABLE": "no",
        }
        factory = LedgerFactory(Environment(env.name, {**env, **settings}))
        pool_arguments = cast("dict[str, Any]", factory.datastore.pool.kwargs)
        # What the driver prepares behind a refused statement of a pipeline is never made, and the
        # library ends that transaction unseen by it: the next save would name what isn't there.
        pool_arguments["prepare_threshold"] = None
        for name in ("options", "sslmode", "sslrootcert", "connect_timeout"):
            if name in parts:
                pool_arguments[name] = parts[name]
        return factory

    def append(
        self,
        events: Sequence[Event],
        beside: Callable[[Cursor[DictRow]], object] | None = None,
    ) -> None:
        """Save events of ordinary aggregates with optimistic concurrency.

        What `beside` executes stands or falls with them: secrets, which no event may hold. What
        it raises undoes both, and is raised here.
        The library retries a lost connection and can then report a save that succeeded as a
        conflict; the event's own id tells the two apart. Raises IntegrityError on a real one.
        """
        token = BESIDE.set(beside)
        try:
            self.save(*cast("Sequence[DomainEventProtocol[UUID]]", events))
        except IntegrityError:
            for event in events:
                stored = self.events_of(event.originator_id)
                if event.id not in {each.id for each in stored}:
                    raise
        finally:
            BESIDE.reset(token)

    def events_of(self, stream: UUID) -> list[Event]:
        """All events of one stream, in order."""
        return [cast("Event", event) for event in self.events.get(stream)]
