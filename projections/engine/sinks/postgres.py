"""Keeps rows in tables of PostgreSQL, and the progress beside them: one transaction for both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projections.engine.schema import drop_tables
from projections.engine.sinks.port import POSTGRES, ProjectionMovedError
from projections.engine.tables import Merge, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import psycopg

    from projections.engine.projection import Fetch, Projection
    from projections.engine.sinks.port import Sink, Step
    from projections.engine.tables import Row, Table

    Connection = psycopg.Connection[Any]


class PostgresSink:
    """Rows in tables, progress beside them, one transaction."""

    kind = POSTGRES

    def progress(
        self, connection: Connection, projection: Projection, version: int
    ) -> dict[int, int]:
        """Position by partition."""
        return dict(
            connection.execute(
                "SELECT partition, position FROM projection_progress "
                "WHERE name = %s AND version = %s ORDER BY partition",
                [projection.name, version],
            ).fetchall()
        )

    def fetch(self, connection: Connection, version: int) -> Fetch:
        """Select rows of a table of this version."""

        def select(table: Table, condition: str, values: Sequence[Any]) -> list[Row]:
            columns = ", ".join(table.names)
            found = connection.execute(
                f"SELECT {columns} FROM {table.stored_as(version)} WHERE {condition}", values
            ).fetchall()
            return [whole(row) for row in found]

        return select

    def store(self, connection: Connection, step: Step) -> None:
        """Write progress and rows in one transaction."""
        with connection.transaction():
            if not write_progress(connection, step, compare=True):
                return
            for table, merged in step.changes.merged.items():
                if merged:
                    upsert(connection, table, step.version, merged)
            for table, rows in step.changes.appended.items():
                if rows:
                    append(connection, table, step.version, rows)

    def rows(self, connection: Connection, table: Table, version: int) -> Iterator[Row]:
        """All rows, in key order; inside a transaction, through a server-side cursor."""
        order = ", ".join(
            f'{each.name} COLLATE "C"' if each.sql == "text" else each.name for each in table.keys
        )
        with connection.cursor(f"rows_of_{table.name}") as cursor:
            cursor.execute(
                f"SELECT {', '.join(table.names)} FROM {table.stored_as(version)} ORDER BY {order}"
            )
            yield from cursor

    def at_this_moment(self, of: Sequence[tuple[Projection, int]]) -> PostgresSink:
        """Itself: the connection's own snapshot is the moment."""
        del of
        return self

    def prune(self, connection: Connection, projection: Projection, version: int) -> None:
        """Delete the rows of tables that have an age."""
        for table in projection.tables:
            if table.keep_days:
                connection.execute(
                    f"DELETE FROM {table.stored_as(version)} "
                    f"WHERE {table.time} < now() - make_interval(days => {table.keep_days})"
                )

    def drop(self, owner: Connection, projection: Projection, version: int) -> None:
        """Drop the tables."""
        drop_tables(owner, projection, version)


def upsert(
    connection: Connection, table: Table, version: int, merged: dict[Row, list[Any]]
) -> None:
    """Merge rows into a table, in the order of their keys, so that no two hosts deadlock."""
    rows = [(*each, *merged[each]) for each in sorted(merged)]
    connection.execute(
        upsert_statement(table, version), [list(column) for column in zip(*rows, strict=True)]
    )


def upsert_statement(table: Table, version: int) -> str:
    """One statement for any number of rows: an array for each column."""
    stored = table.stored_as(version)
    arrays = ", ".join(f"%s::{each.sql}[]" for each in table.columns)
    keys = ", ".join(each.name for each in table.keys)
    rules = ", ".join(_rule(stored, each.name, each.merge, each.by) for each in table.values)
    return (
        f"INSERT INTO {stored} ({', '.join(table.names)}) SELECT * FROM unnest({arrays}) "
        f"ON CONFLICT ({keys}) DO UPDATE SET {rules}"
    )


def _rule(stored: str, name: str, merge: Merge, by: str) -> str:
    old, new = f"{stored}.{name}", f"excluded.{name}"
    match merge:
        case Merge.SUM:
            merged = f"{old} + {new}"
        case Merge.MIN:
            merged = f"least({old}, {new})"
        case Merge.MAX:
            merged = f"greatest({old}, {new})"
        case Merge.FIRST:
            merged = f"coalesce({old}, {new})"
        case _:
            merged = f"CASE WHEN excluded.{by} > {stored}.{by} THEN {new} ELSE {old} END"
    return f"{name} = {merged}"


def append(connection: Connection, table: Table, version: int, rows: list[Row]) -> None:
    """Copy rows into a table."""
    columns = ", ".join(table.names)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table.stored_as(version)} ({columns}) FROM STDIN") as copy,
    ):
        for row in rows:
            copy.write_row(row)


def write_progress(connection: Connection, step: Step, *, compare: bool) -> int:
    """Advance the rows of progress; returns how many there were to advance.

    With `compare`, only those that still stand where the step began.
    """
    moved = step.moved()
    if not moved:
        return 0
    compared = "AND p.position = v.old" if compare else ""
    found = connection.execute(
        "UPDATE projection_progress p SET position = v.new, "
        "next_offset = coalesce(v.next_offset, p.next_offset), "
        "parked_position = v.parked_position, parked_error = v.parked_error, "
        "parked_at = CASE WHEN v.parked_position IS NULL THEN NULL "
        "WHEN v.parked_position = p.parked_position THEN p.parked_at ELSE now() END "
        "FROM unnest(%s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], %s::text[])"
        " AS v(partition, old, new, next_offset, parked_position, parked_error) "
        "WHERE p.name = %s AND p.version = %s AND p.host = %s AND p.partition = v.partition "
        + compared,
        [
            moved,
            [step.old[each] for each in moved],
            [step.new[each] for each in moved],
            [step.offsets.get(each) for each in moved],
            [step.parked[each].position if each in step.parked else None for each in moved],
            [step.parked[each].error if each in step.parked else None for each in moved],
            step.projection.name,
            step.version,
            step.host,
        ],
    )
    if found.rowcount != len(moved):
        message = f"projection {step.projection.name} is advanced or owned by somebody else"
        raise ProjectionMovedError(message)
    return len(moved)


def or_postgres(sinks: Mapping[str, Sink] | None) -> Mapping[str, Sink]:
    """The sinks given, else PostgreSQL alone."""
    return sinks or {POSTGRES: PostgresSink()}
