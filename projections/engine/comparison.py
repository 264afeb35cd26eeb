"""Proves that read models say what the log says: each is folded anew and compared row by row.

The fold runs in memory from the first event to the position of each partition. All is read in one
snapshot of the database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import IsolationLevel

from event_store.log.codec import UnreadableEvent, decode_or_mark
from event_store.log.reading import entry_of, head_position, partition_in, read_all_rows
from projections.engine.differences import AppendedTable, TableDigest, compare_merged
from projections.engine.runner import Runner
from projections.engine.sinks.port import POSTGRES, ProjectionMovedError
from projections.engine.sinks.postgres import or_postgres
from projections.engine.tables import Changes, Worked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from event_store.log.codec import Decode
    from event_store.log.reading import LogEntry, StoredRow
    from event_store.postgres.database import Database
    from projections.engine.projection import Projection
    from projections.engine.sinks.port import Sink

    Connection = psycopg.Connection[Any]

FLUSH_ROWS = 1_000


@dataclass(slots=True)
class Comparison:
    """What became of one projection's verification."""

    name: str
    version: int
    position: int
    parked: list[str] = field(default_factory=list)
    tables: list[TableDigest] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


class ProjectionCheck:
    """Folds the log beside a live projection, up to where that stands."""

    def __init__(self, connection: Connection, runner: Runner, worked: Worked) -> None:
        """The live rows are read through the runner's sink, in the transaction of `connection`."""
        projection, sink = runner.projection, runner.sink
        self._projection, self._positions = projection, runner.positions
        self._connection, self._sink, self._version = connection, sink, runner.version
        self._changes = Changes(projection.tables, projection.carried(), worked)
        self._appended = [
            AppendedTable(table, sink.rows(connection, table, runner.version))
            for table in projection.tables
            if table.appended
        ]
        self._waiting = 0
        self.result = Comparison(projection.name, runner.version, runner.position)
        self.result.parked = [
            f"parked at position {each.position}: {each.error}" for each in runner.parked.values()
        ]

    @property
    def partitions(self) -> int:
        """How many the live projection has."""
        return len(self._positions)

    def add(self, entry: LogEntry, partition: int) -> None:
        """Fold one event, if the live projection has passed it."""
        if entry.position > self._positions[partition]:
            return
        if not self._projection.concerns(entry.event):
            return
        if isinstance(entry.event, UnreadableEvent):
            self.result.differences.append(
                f"position {entry.position} was passed but cannot be read: {entry.event.error}"
            )
            return
        self._projection.fold(entry, self._changes)
        self._waiting += 1
        if self._waiting >= FLUSH_ROWS:
            self._flush()

    def _flush(self) -> None:
        self._waiting = 0
        for each in self._appended:
            rows = self._changes.appended[each.table]
            each.take(rows)
            rows.clear()

    def finish(self) -> Comparison:
        """Compare what is left; the comparison names every difference."""
        self._flush()
        result = self.result
        for each in self._appended:
            result.tables.append(each.finish())
            result.differences += each.differences
        for table, merged in self._changes.merged.items():
            stored = self._sink.rows(self._connection, table, self._version)
            digest, differences = compare_merged(table, stored, merged)
            result.tables.append(digest)
            result.differences += differences
        return result


class Checks:
    """The checks of some projections, side by side in one reading of the log."""

    def __init__(self, checks: Sequence[ProjectionCheck], worked: Worked) -> None:
        """`worked` is what they share."""
        self._checks, self._worked = checks, worked
        self._counts = {each.partitions for each in checks}

    def add(self, row: StoredRow, decode: Decode = decode_or_mark) -> LogEntry:
        """Let each fold the next row of the log; returns what it says."""
        entry = entry_of(row, decode)
        partitions = {count: partition_in(row, count) for count in self._counts}
        self._worked.clear()
        for check in self._checks:
            check.add(entry, partitions[check.partitions])
        return entry

    def finish(self) -> list[Comparison]:
        """What each found, when the whole log was added."""
        return [check.finish() for check in self._checks]


def open_checks(
    connection: Connection, projections: Sequence[Projection], sinks: Mapping[str, Sink]
) -> Checks:
    """One check for each projection, at the position where it stands in this snapshot."""
    checks, worked = [], Worked()
    for projection in projections:
        host = connection.execute(
            "SELECT g.host FROM projection p JOIN projection_progress g "
            "ON g.name = p.name AND g.version = p.version WHERE p.name = %s LIMIT 1",
            [projection.name],
        ).fetchone()
        runner = Runner(projection, sinks, host=host[0] if host else "")
        runner.open(connection)
        if runner.sink.kind == POSTGRES:
            _keep(connection, projection, runner.version)
        checks.append(ProjectionCheck(connection, runner, worked))
    return Checks(checks, worked)


def _keep(connection: Connection, projection: Projection, version: int) -> None:
    """Let no rebuild drop the tables while they are compared; raises ProjectionMovedError."""
    try:
        for table in projection.tables:
            connection.execute(f"SELECT FROM {table.stored_as(version)} LIMIT 0")
    except psycopg.errors.UndefinedTable as error:
        message = f"projection {projection.name} was rebuilt just now: verify again"
        raise ProjectionMovedError(message) from error


def compare(
    database: Database,
    projections: Sequence[Projection],
    sinks: Mapping[str, Sink] | None = None,
) -> tuple[int, list[Comparison]]:
    """Verify some projections; returns the head of the log and what was found."""
    with database.connect() as connection:
        known = begin_snapshot(connection, projections, sinks)
        with connection.transaction():
            checks = open_checks(connection, projections, known)
            for row in read_all_rows(connection):
                checks.add(row)
            return head_position(connection), checks.finish()


def begin_snapshot(
    connection: Connection, projections: Sequence[Projection], sinks: Mapping[str, Sink] | None
) -> dict[str, Sink]:
    """Make the next transaction see one moment; returns sinks that answer from it.

    What is kept elsewhere is taken first, then the log: the log of a later moment has every
    event that rows of an earlier one can show.
    """
    rows = connection.execute("SELECT name, version, sink FROM projection").fetchall()
    registered = {name: (version, kind) for name, version, kind in rows}
    found: dict[str, Sink] = {}
    for kind, sink in or_postgres(sinks).items():
        mine = [
            (each, registered[each.name][0])
            for each in projections
            if registered.get(each.name, (0, ""))[1] == kind
        ]
        found[kind] = sink.at_this_moment(mine)
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    return found
