"""How often all gateways were pinged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

ADD = (
    "UPDATE ping_count SET pings = pings + %s, last_ping_at = clock_timestamp() "
    "RETURNING pings, created_at, last_ping_at"
)


class Pings(NamedTuple):
    """The count, since when, and when the last one came."""

    total: int
    created_at: datetime
    last_at: datetime | None


def add_pings(connection: psycopg.Connection[Any], pings: int) -> Pings:
    """Count so many more. Raises psycopg.Error."""
    return _of(connection.execute(ADD, (pings,)).fetchone())


def read_pings(connection: psycopg.Connection[Any]) -> Pings:
    """What is counted. Raises psycopg.Error."""
    query = "SELECT pings, created_at, last_ping_at FROM ping_count"
    return _of(connection.execute(query).fetchone())


def _of(row: Any) -> Pings:
    assert row is not None, "the table has its one row"
    return Pings(*row)
