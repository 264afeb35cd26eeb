"""What the register of projections says: versions, owners, positions, lag; and changes of owner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from event_store.log.reading import head_position
from projections.engine.rebuild import RebuildError

if TYPE_CHECKING:
    import psycopg

    from event_store.postgres.database import Database
    from projections.engine.projection import Projection


@dataclass(frozen=True, slots=True)
class ProjectionStatus:
    """Where one projection stands; `position` is what all partitions have passed."""

    name: str
    version: int
    position: int
    lag_events: int
    host: str
    partitions: int
    sink: str
    parked: list[str]


def read_status(connection: psycopg.Connection[Any]) -> list[ProjectionStatus]:
    """All projections, by name."""
    rows = connection.execute(
        "SELECT p.name, p.version, min(g.position), "
        "(SELECT count(*) FROM events WHERE notification_id > min(g.position)), "
        "string_agg(DISTINCT g.host, ', '), count(*), p.sink, "
        "coalesce(array_agg('position ' || g.parked_position || ' in partition ' || g.partition "
        "|| ' since ' || to_char(g.parked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') "
        "|| ': ' || g.parked_error) FILTER (WHERE g.parked_position IS NOT NULL), '{}') "
        "FROM projection p JOIN projection_progress g "
        "ON g.name = p.name AND g.version = p.version "
        "GROUP BY p.name, p.version, p.sink ORDER BY p.name"
    ).fetchall()
    return [ProjectionStatus(*row) for row in rows]


class PartitionStatus(NamedTuple):
    """Where the live version of a projection stands in one partition of the log."""

    name: str
    partition: int
    position: int
    parked_position: int | None


def read_partitions(connection: psycopg.Connection[Any]) -> tuple[int, list[PartitionStatus]]:
    """The head of the log, and every partition of all projections."""
    rows = connection.execute(
        "SELECT p.name, g.partition, g.position, g.parked_position FROM projection p "
        "JOIN projection_progress g ON g.name = p.name AND g.version = p.version ORDER BY 1, 2"
    ).fetchall()
    return head_position(connection), [PartitionStatus(*row) for row in rows]


def registered(connection: psycopg.Connection[Any], projection: Projection) -> tuple[int, str]:
    """The live version of an installed projection, and the kind of sink that keeps it."""
    row = connection.execute(
        "SELECT version, sink FROM projection WHERE name = %s", [projection.name]
    ).fetchone()
    assert row is not None, "migrations install every projection"
    return row[0], row[1]


def assign(database: Database, projection: Projection, host: str) -> None:
    """Give a projection to another kind of host; partitions and progress stay as they are.

    The former host's next write finds that it no longer owns the rows of progress, and writes
    nothing. Raises RebuildError when the projection is not installed.
    """
    with database.connect() as connection:
        changed = connection.execute(
            "UPDATE projection_progress g SET host = %s FROM projection p "
            "WHERE p.name = %s AND g.name = p.name AND g.version = p.version",
            [host, projection.name],
        )
    if not changed.rowcount:
        message = f"projection {projection.name} is not installed: run `gatewayz migrate`"
        raise RebuildError(message)
