"""Reading the log, below nothing but the last commit: the append lock makes that safe (P7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from event_store.log.codec import UnreadableEvent, decode_event, decode_or_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from domain.events.base import Event

    Decode = Callable[[str, bytes, UUID, int], Event]

READ_EVENTS_MAX = 1_000
CHANNEL = "events"
LISTENERS_LOCK = 4716266
"""Held in share mode by whoever sleeps until an append; without one nobody is notified."""
_COLUMNS = "notification_id, booked_at, topic, state, originator_id, originator_version"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One event at its place in the log."""

    position: int
    booked_at: datetime
    event: Event

    @property
    def partition_key(self) -> str:
        """What decides the event's partition: its account, else its stream."""
        event = self.event
        if isinstance(event, UnreadableEvent):
            return event.partition_key
        return getattr(event, "account_id", None) or str(event.originator_id)


def _entry(row: tuple[Any, ...], decode: Decode = decode_event) -> LogEntry:
    position, booked_at, topic, state, stream, version = row
    return LogEntry(position, booked_at, decode(topic, bytes(state), stream, version))


def listen(connection: psycopg.Connection[Any]) -> None:
    """Be notified of appends from now on; look at the log again after this, before sleeping."""
    connection.execute("SELECT pg_advisory_lock_shared(%s)", [LISTENERS_LOCK])
    connection.execute(f"LISTEN {CHANNEL}")


def unlisten(connection: psycopg.Connection[Any]) -> None:
    """Be notified no more."""
    connection.execute(f"UNLISTEN {CHANNEL}")
    connection.execute("SELECT pg_advisory_unlock_shared(%s)", [LISTENERS_LOCK])


def head_position(connection: psycopg.Connection[Any]) -> int:
    """Position of the last event; 0 for an empty log."""
    row = connection.execute("SELECT max(notification_id) FROM events").fetchone()
    return int(row[0] or 0) if row else 0


def read_after(
    connection: psycopg.Connection[Any],
    position: int,
    limit: int = READ_EVENTS_MAX,
    *,
    to_position: int | None = None,
) -> list[LogEntry]:
    """The next events after a position, in order; those that nobody can read come marked."""
    return [
        _entry(row, decode_or_mark)
        for row in read_rows_after(connection, position, limit, to_position=to_position)
    ]


def read_rows_after(
    connection: psycopg.Connection[Any],
    position: int,
    limit: int,
    *,
    to_position: int | None = None,
) -> list[tuple[Any, ...]]:
    """The next rows as they are stored: position, booked_at, type, state, stream, version."""
    bound = "" if to_position is None else f"AND notification_id <= {int(to_position)} "
    return connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE notification_id > %s {bound}"
        "ORDER BY notification_id LIMIT %s",
        [position, limit],
        binary=True,
    ).fetchall()


def read_all(
    connection: psycopg.Connection[Any],
    *,
    to_position: int | None = None,
    stream: UUID | None = None,
    tolerant: bool = False,
) -> Iterator[LogEntry]:
    """Stream the log from its start; inside a transaction, through a server-side cursor.

    An event that nobody can read raises MapperDeserialisationError, or comes marked where the
    reader is `tolerant`.
    """
    conditions, values = ["true"], list[Any]()
    if to_position is not None:
        conditions.append("notification_id <= %s")
        values.append(to_position)
    if stream is not None:
        conditions.append("originator_id = %s")
        values.append(stream)
    with connection.cursor("log", binary=True) as cursor:
        cursor.itersize = READ_EVENTS_MAX
        cursor.execute(
            f"SELECT {_COLUMNS} FROM events WHERE {' AND '.join(conditions)} "
            "ORDER BY notification_id",
            values,
        )
        decode = decode_or_mark if tolerant else decode_event
        for row in cursor:
            yield _entry(row, decode)


def read_stream(connection: psycopg.Connection[Any], stream: UUID) -> list[LogEntry]:
    """All events of one stream, in order."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE originator_id = %s ORDER BY originator_version",
        [stream],
        binary=True,
    ).fetchall()
    return [_entry(row) for row in rows]
