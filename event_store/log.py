"""Reading the log, below nothing but the last commit: the append lock makes that safe (P7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from event_store.codec import decode_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from domain.events import Event

READ_EVENTS_MAX = 1_000
_COLUMNS = "notification_id, booked_at, topic, state, originator_id, originator_version"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One event at its place in the log."""

    position: int
    booked_at: datetime
    event: Event


def _entry(row: tuple[Any, ...]) -> LogEntry:
    position, booked_at, topic, state, stream, version = row
    return LogEntry(position, booked_at, decode_event(topic, bytes(state), stream, version))


def head_position(connection: psycopg.Connection[Any]) -> int:
    """Position of the last event; 0 for an empty log."""
    row = connection.execute("SELECT max(notification_id) FROM events").fetchone()
    return int(row[0] or 0) if row else 0


def read_after(
    connection: psycopg.Connection[Any], position: int, limit: int = READ_EVENTS_MAX
) -> list[LogEntry]:
    """The next events after a position, in order."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE notification_id > %s "
        "ORDER BY notification_id LIMIT %s",
        [position, limit],
        binary=True,
    ).fetchall()
    return [_entry(row) for row in rows]


def read_all(
    connection: psycopg.Connection[Any],
    *,
    to_position: int | None = None,
    stream: UUID | None = None,
) -> Iterator[LogEntry]:
    """Stream the log from its start; inside a transaction, through a server-side cursor."""
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
        for row in cursor:
            yield _entry(row)


def read_stream(connection: psycopg.Connection[Any], stream: UUID) -> list[LogEntry]:
    """All events of one stream, in order."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE originator_id = %s ORDER BY originator_version",
        [stream],
        binary=True,
    ).fetchall()
    return [_entry(row) for row in rows]
