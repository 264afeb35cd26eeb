"""The tables of process managers, on a connection. All of it blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.managers.manager import Taken
from event_store.log.reading import head_position

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import psycopg

    from domain.wishes import Wish

    Connection = psycopg.Connection[Any] | psycopg.Cursor[Any]

HEAR = "hear"
"""The kind of a wish that is a cause which could not be heard: the event at its position."""
LEASE_S = 120
"""How long who took a wish may try, before it is tried again, seconds."""
WAITING_MAX = 1_000_000
"""Most wishes of a manager that wait; one with more hears nothing new until there are fewer."""
KEY_CHARACTERS_MAX = 200
DETAILS_BYTES_MAX = 16_384
ERROR_CHARACTERS_MAX = 500

_BEGIN = (
    "INSERT INTO process_manager (name, position) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING"
)
_PUT = """
INSERT INTO manager_wish (manager, key, kind, position, details, due_at)
VALUES (%s, %s, %s, %s, %s, coalesce(%s::timestamptz, booking_clock()))
ON CONFLICT (manager, key) DO NOTHING
"""
_LEASE = """
UPDATE manager_wish w SET tries = w.tries + 1,
  due_at = booking_clock() + make_interval(secs => %s)
FROM (SELECT manager, key FROM manager_wish
  WHERE NOT failed AND manager = ANY (%s) AND due_at <= booking_clock()
  ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED) d
WHERE w.manager = d.manager AND w.key = d.key
RETURNING w.manager, w.key, w.kind, w.position, w.details, w.tries
"""
_OWN = "WHERE manager = %s AND key = %s AND tries = %s AND NOT failed"


class MovedError(Exception):
    """Another host has moved the manager on meanwhile: look again."""


class UnboundedWishError(ValueError):
    """A wish is longer than any may be: a defect of its manager."""


def begin(connection: Connection, name: str, position: int) -> None:
    """A manager that was never here begins behind this position; a known one stays where it is."""
    connection.execute(_BEGIN, [name, position])


def position_of(connection: Connection, name: str) -> int:
    """What a manager has heard."""
    row = connection.execute(
        "SELECT position FROM process_manager WHERE name = %s", [name]
    ).fetchone()
    assert row is not None, f"manager {name} has not begun"
    return int(row[0])


def advance(connection: Connection, name: str, before: int, after: int) -> None:
    """A manager has heard all up to a position; raises MovedError."""
    row = connection.execute(
        "UPDATE process_manager SET position = %s, moved_at = clock_timestamp() "
        "WHERE name = %s AND position = %s RETURNING name",
        [after, name, before],
    ).fetchone()
    if row is None:
        raise MovedError(name)


def put(connection: Connection, name: str, position: int, wishes: Iterable[Wish]) -> None:
    """Keep what follows from an event, once; raises UnboundedWishError."""
    for each in wishes:
        details = msgspec.json.encode(each.details)
        if len(each.key) > KEY_CHARACTERS_MAX or len(details) > DETAILS_BYTES_MAX:
            message = f"a wish of manager {name} is too long: {each.key[:KEY_CHARACTERS_MAX]!r}"
            raise UnboundedWishError(message)
        values = [name, each.key, each.kind, position, details.decode(), each.due_at]
        connection.execute(_PUT, values)


def room_for(connection: Connection, name: str) -> bool:
    """Whether a manager may keep more."""
    row = connection.execute(
        "SELECT count(*) FROM (SELECT FROM manager_wish WHERE manager = %s LIMIT %s) w",
        [name, WAITING_MAX],
    ).fetchone()
    return row is not None and row[0] < WAITING_MAX


def put_unheard(connection: Connection, name: str, position: int, why: str) -> None:
    """Keep a cause that could not be heard, to be tried again."""
    connection.execute(
        "INSERT INTO manager_wish (manager, key, kind, position, error) "
        "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (manager, key) DO NOTHING",
        [name, f"{HEAR} {position}", HEAR, position, why[:ERROR_CHARACTERS_MAX]],
    )


def lease(connection: Connection, names: Sequence[str], most: int) -> list[Taken]:
    """Wishes of these managers that are due, which nobody else takes for `LEASE_S` seconds."""
    rows = connection.execute(_LEASE, [LEASE_S, list(names), most]).fetchall()
    return [Taken(*row) for row in rows]


def end(connection: Connection, taken: Taken) -> bool:
    """A wish is done; whether it was still this host's to end."""
    row = connection.execute(
        f"DELETE FROM manager_wish {_OWN} RETURNING key".encode(),
        [taken.manager, taken.key, taken.tries],
    ).fetchone()
    return row is not None


def later(connection: Connection, taken: Taken, wait_s: float, why: str) -> None:
    """Try again after so many seconds."""
    connection.execute(
        "UPDATE manager_wish SET due_at = booking_clock() + make_interval(secs => %s), "
        f"error = %s {_OWN}".encode(),
        [wait_s, why[:ERROR_CHARACTERS_MAX], taken.manager, taken.key, taken.tries],
    )


def fail(connection: Connection, taken: Taken, why: str) -> None:
    """Try no more, until somebody says so."""
    connection.execute(
        f"UPDATE manager_wish SET failed = true, error = %s {_OWN}".encode(),
        [why[:ERROR_CHARACTERS_MAX], taken.manager, taken.key, taken.tries],
    )


def retry(connection: Connection, name: str, key: str | None) -> int:
    """Try anew what failed or waits after an error, all of a manager or one; returns how many."""
    return connection.execute(
        "UPDATE manager_wish SET failed = false, tries = 0, due_at = booking_clock() "
        "WHERE manager = %s AND (%s::text IS NULL OR key = %s) AND (failed OR error <> '')",
        [name, key, key],
    ).rowcount


class Standing(NamedTuple):
    """Where a manager stands: wishes whose time has not come, that are due, and that failed."""

    name: str
    position: int
    lag_events: int
    timers: int
    due: int
    failed: int


class Kept(NamedTuple):
    """A wish that failed, or waits after an error."""

    manager: str
    key: str
    kind: str
    position: int
    tries: int
    failed: bool
    error: str
    due_at: datetime


def standings(connection: psycopg.Connection[Any]) -> list[Standing]:
    """Every manager that ever began, by name; `lag_events` are positions behind the log's head."""
    head = head_position(connection)
    rows = connection.execute(
        "SELECT m.name, m.position, greatest(0, %s - m.position), "
        "count(w.key) FILTER (WHERE NOT w.failed AND w.due_at > booking_clock()), "
        "count(w.key) FILTER (WHERE NOT w.failed AND w.due_at <= booking_clock()), "
        "count(w.key) FILTER (WHERE w.failed) "
        "FROM process_manager m LEFT JOIN manager_wish w ON w.manager = m.name "
        "GROUP BY m.name ORDER BY m.name",
        [head],
    ).fetchall()
    return [Standing(*row) for row in rows]


def troubled(connection: psycopg.Connection[Any], limit: int) -> list[Kept]:
    """What failed or waits after an error, what is oldest first."""
    rows = connection.execute(
        "SELECT manager, key, kind, position, tries, failed, error, due_at FROM manager_wish "
        "WHERE failed OR error <> '' ORDER BY position, manager, key LIMIT %s",
        [limit],
    ).fetchall()
    return [Kept(*row) for row in rows]
