"""Reading the log, below nothing but the last commit: the append lock makes that safe (P7)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from domain.errors import UnknownAccountError
from event_store.locks import Lock
from event_store.log.codec import decode_event, decode_or_mark
from event_store.log.partitions import account_mark, partition_key, partition_of

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    import psycopg

    from domain.events.base import Event
    from event_store.log.codec import Decode

    StoredRow = tuple[Any, ...]
    """As the log stores it: position, booked_at, type, state, stream, version."""

READ_EVENTS_MAX = 1_000
CHANNEL = "events"
INSTANT = timedelta(microseconds=1)
"""The shortest time between two instants of the log."""
_COLUMNS = "notification_id, booked_at, topic, state, originator_id, originator_version"
_POSITION_AT = """
WITH RECURSIVE halved (low, high) AS (
  SELECT 0::bigint, coalesce((SELECT max(notification_id) FROM events), 0)
  UNION ALL
  SELECT CASE WHEN later.position IS NULL THEN middle ELSE low END,
         coalesce(later.position - 1, high)
  FROM (SELECT low, high, (low + high + 1) / 2 AS middle FROM halved WHERE low < high) AS half
  CROSS JOIN LATERAL (
    SELECT max(each.notification_id) FILTER (WHERE each.booked_at > %s) AS position
    FROM (SELECT notification_id, booked_at FROM events WHERE notification_id <= middle
          ORDER BY notification_id DESC LIMIT 1) AS each
  ) AS later
)
SELECT notification_id FROM events
WHERE notification_id <= (SELECT low FROM halved WHERE low >= high)
ORDER BY notification_id DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One event at its place in the log."""

    position: int
    booked_at: datetime
    event: Event


def entry_of(row: StoredRow, decode: Decode = decode_or_mark) -> LogEntry:
    """A stored row as an entry; one that nobody can read comes marked, unless `decode` raises."""
    position, booked_at, topic, state, stream, version = row
    return LogEntry(position, booked_at, decode(topic, bytes(state), stream, version))


def partition_in(row: StoredRow, partitions: int) -> int:
    """The partition of a stored row, of so many; nothing is looked for in it where one has all."""
    return partition_of(partition_key(row[4], bytes(row[3])), partitions) if partitions > 1 else 0


def listen(connection: psycopg.Connection[Any]) -> None:
    """Be notified of appends from now on; look at the log again after this, before sleeping."""
    connection.execute("SELECT pg_advisory_lock_shared(%s)", [Lock.LISTENERS])
    connection.execute(f"LISTEN {CHANNEL}")


def unlisten(connection: psycopg.Connection[Any]) -> None:
    """Be notified no more."""
    connection.execute(f"UNLISTEN {CHANNEL}")
    connection.execute("SELECT pg_advisory_unlock_shared(%s)", [Lock.LISTENERS])


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
        entry_of(row)
        for row in read_rows_after(connection, position, limit, to_position=to_position)
    ]


def read_rows_after(
    connection: psycopg.Connection[Any],
    position: int,
    limit: int,
    *,
    to_position: int | None = None,
) -> list[StoredRow]:
    """The next rows as they are stored."""
    bound = "" if to_position is None else f"AND notification_id <= {int(to_position)} "
    return connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE notification_id > %s {bound}"
        "ORDER BY notification_id LIMIT %s",
        [position, limit],
        binary=True,
    ).fetchall()


def position_at(connection: psycopg.Connection[Any], instant: datetime) -> int:
    """Position of the last event that was booked by an instant; 0 before the first.

    Found by halving, in one statement: `booked_at` never goes back, and has no index.
    """
    row = connection.execute(_POSITION_AT, [instant]).fetchone()
    return int(row[0]) if row else 0


def position_before(connection: psycopg.Connection[Any], instant: datetime) -> int:
    """Position of the last event that was booked before an instant; 0 before the first."""
    return position_at(connection, instant - INSTANT)


def read_all(
    connection: psycopg.Connection[Any],
    *,
    to_position: int | None = None,
    stream: UUID | None = None,
    account: UUID | None = None,
) -> Iterator[LogEntry]:
    """The entries of `read_all_rows`; raises MapperDeserialisationError where one is unreadable."""
    for row in read_all_rows(connection, to_position=to_position, stream=stream, account=account):
        yield entry_of(row, decode_event)


def read_all_rows(
    connection: psycopg.Connection[Any],
    *,
    after: int = 0,
    to_position: int | None = None,
    stream: UUID | None = None,
    account: UUID | None = None,
    topics: Sequence[str] | None = None,
    only: str = "",
) -> Generator[StoredRow]:
    """Stream the log from behind a position; inside a transaction, through a server-side cursor.

    With `account`, only the events that name it as theirs; with `topics`, only those of these
    types, older versions not among them unless they are named; with `only`, a condition in SQL on
    the event `e`, those that meet it.
    """
    conditions, values = ["notification_id > %s"], list[Any]([after])
    if to_position is not None:
        conditions.append("notification_id <= %s")
        values.append(to_position)
    if stream is not None:
        conditions.append("originator_id = %s")
        values.append(stream)
    if account is not None:
        conditions.append("position(%s IN state) > 0")
        values.append(account_mark(account))
    if topics is not None:
        conditions.append("topic = ANY (%s)")
        values.append(list(topics))
    if only:
        conditions.append(only)
    with connection.cursor("log", binary=True) as cursor:
        cursor.itersize = READ_EVENTS_MAX
        cursor.execute(
            f"SELECT {_COLUMNS} FROM events e WHERE {' AND '.join(conditions)} "
            "ORDER BY notification_id",
            values,
        )
        yield from cursor


def booking_now(connection: psycopg.Connection[Any]) -> datetime:
    """The instant by which an append would judge now what has expired."""
    row = connection.execute("SELECT booking_clock()").fetchone()
    assert row is not None
    found: datetime = row[0]
    return found


def require_account(connection: psycopg.Connection[Any], account: UUID) -> None:
    """Raise UnknownAccountError unless an event names the account; the log is asked last."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM user_secret WHERE account_id = %(account)s) "
        "OR EXISTS (SELECT FROM credit_account WHERE account_id = %(account)s) "
        "OR EXISTS (SELECT FROM events WHERE position(%(mark)s IN state) > 0)",
        {"account": account, "mark": account_mark(account)},
    ).fetchone()
    if row != (True,):
        message = f"there is no account {account}: `gatewayz user list` names all"
        raise UnknownAccountError(message)


def read_stream(connection: psycopg.Connection[Any], stream: UUID) -> list[LogEntry]:
    """All events of one stream, in order."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE originator_id = %s ORDER BY originator_version",
        [stream],
        binary=True,
    ).fetchall()
    return [entry_of(row, decode_event) for row in rows]


def read_entries_at(
    connection: psycopg.Connection[Any], positions: Collection[int]
) -> list[LogEntry]:
    """The events at these positions, in order; those that nobody can read come marked."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE notification_id = ANY (%s) ORDER BY notification_id",
        [list(positions)],
        binary=True,
    ).fetchall()
    return [entry_of(row) for row in rows]


def read_topics_after(
    connection: psycopg.Connection[Any],
    position: int,
    limit: int,
    *,
    to_position: int,
    topics: Sequence[str],
) -> list[LogEntry]:
    """The next events of these types, in order; those that nobody can read come marked."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE notification_id > %s AND notification_id <= %s "
        "AND topic = ANY (%s) ORDER BY notification_id LIMIT %s",
        [position, to_position, list(topics), limit],
        binary=True,
    ).fetchall()
    return [entry_of(row) for row in rows]


def read_of_streams(
    connection: psycopg.Connection[Any], streams: Collection[UUID], topic: str
) -> list[LogEntry]:
    """Events of a type of these streams, each stream's in order."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM events WHERE originator_id = ANY (%s) AND topic = %s "
        "ORDER BY originator_id, originator_version",
        [list(streams), topic],
        binary=True,
    ).fetchall()
    return [entry_of(row, decode_event) for row in rows]
