"""Proves that read models say what the log says: each is folded anew and compared row by row.

The fold runs in memory from the first event to the position of each partition; appended tables
are compared as they stream by, merged ones at the end. A digest of either side stands for each
table. All is read in one snapshot of the database.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import IsolationLevel

from event_store.log.codec import UnreadableEvent
from event_store.log.partitions import partition_of
from event_store.log.reading import head_position, read_all
from projections.engine.runner import Runner
from projections.engine.sinks import POSTGRES, ProjectionMovedError, or_postgres
from projections.engine.tables import Changes, canonical

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from event_store.log.reading import LogEntry
    from event_store.postgres.database import Database
    from projections.engine.projection import Projection
    from projections.engine.sinks import Sink
    from projections.engine.tables import Row, Table

    Connection = psycopg.Connection[Any]

FLUSH_ROWS = 1_000
NAMED_MAX = 20
"""Differences that are spelled out for one table; more are counted."""


@dataclass(slots=True)
class TableDigest:
    """One table on both sides; equal digests mean equal rows."""

    table: str
    rows: int
    live: str
    rebuilt: str


@dataclass(slots=True)
class Comparison:
    """What became of one projection's verification."""

    name: str
    version: int
    position: int
    parked: list[str] = field(default_factory=list)
    tables: list[TableDigest] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


class _Side:
    """The digest of rows as they come, in order."""

    def __init__(self) -> None:
        self._hash, self.rows = sha256(), 0

    def add(self, row: Row) -> None:
        self._hash.update(repr(row).encode())
        self.rows += 1

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class _Appended:
    """Compares an appended table with the fold, row by row, as both stream by."""

    def __init__(self, table: Table, live: Iterator[Row]) -> None:
        self.table, self._live = table, live
        self._sides = (_Side(), _Side())
        self.differences: list[str] = []
        self._next: Row | None = None
        self._advance()

    def take(self, rows: list[Row]) -> None:
        """Compare the next rows of the fold with those that are stored."""
        width = len(self.table.keys)
        for each in rows:
            rebuilt = _canonical(self.table, each)
            while self._next is not None and self._next[:width] < rebuilt[:width]:
                self._differ(self._advance(), None)
            if self._next is None or self._next[:width] > rebuilt[:width]:
                self._differ(None, rebuilt)
            else:
                self._differ(self._advance(), rebuilt)

    def _advance(self) -> Row | None:
        before = self._next
        row = next(self._live, None)
        self._next = None if row is None else _canonical(self.table, row)
        return before

    def _differ(self, live: Row | None, rebuilt: Row | None) -> None:
        for side, row in zip(self._sides, (live, rebuilt), strict=True):
            if row is not None:
                side.add(row)
        if live != rebuilt:
            _note(self.differences, self.table, live, rebuilt)

    def finish(self) -> TableDigest:
        """Whatever is stored beyond the fold is too much."""
        while self._next is not None:
            self._differ(self._advance(), None)
        live, rebuilt = self._sides
        return TableDigest(self.table.view, live.rows, live.hexdigest(), rebuilt.hexdigest())


class ProjectionCheck:
    """Folds the log beside a live projection, up to where that stands."""

    def __init__(self, connection: Connection, runner: Runner, sink: Sink) -> None:
        """The live rows are read through `sink`, in the transaction of `connection`."""
        projection = runner.projection
        self._projection, self._positions = projection, runner.positions
        self._connection, self._sink, self._version = connection, sink, runner.version
        self._changes = Changes(projection.tables, projection.carried())
        self._appended = [
            _Appended(table, sink.rows(connection, table, runner.version))
            for table in projection.tables
            if table.appended
        ]
        self._waiting = 0
        self.result = Comparison(projection.name, runner.version, runner.position)
        self.result.parked = [
            f"parked at position {each.position}: {each.error}" for each in runner.parked.values()
        ]

    def add(self, entry: LogEntry) -> None:
        """Fold one event, if the live projection has passed it."""
        count = len(self._positions)
        partition = partition_of(entry.partition_key, count) if count > 1 else 0
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
            self._compare_merged(table, merged)
        return result

    def _compare_merged(self, table: Table, merged: Mapping[Row, list[Any]]) -> None:
        rebuilt = _kept(table, (_canonical(table, (*each, *merged[each])) for each in merged))
        stored = self._sink.rows(self._connection, table, self._version)
        live = _kept(table, (_canonical(table, each) for each in stored))
        sides = []
        for rows in (live, rebuilt):
            side = _Side()
            for name in sorted(rows):
                side.add(rows[name])
            sides.append(side.hexdigest())
        self.result.tables.append(TableDigest(table.view, len(live), sides[0], sides[1]))
        if sides[0] != sides[1]:
            differences: list[str] = []
            for name in sorted(live.keys() | rebuilt.keys()):
                if live.get(name) != rebuilt.get(name):
                    _note(differences, table, live.get(name), rebuilt.get(name))
            self.result.differences += differences


def _canonical(table: Table, row: Sequence[Any]) -> Row:
    return tuple(map(canonical, table.columns, row))


def _kept(table: Table, rows: Iterator[Row]) -> dict[str, Row]:
    """Rows by key; where rows are dropped by age, only those that are surely still there."""
    width = len(table.keys)
    if not table.keep_days:
        return {repr(row[:width]): row for row in rows}
    place = table.names.index(table.time)
    since = (datetime.now(UTC) - timedelta(days=table.keep_days) / 2).isoformat()
    return {repr(row[:width]): row for row in rows if row[place] >= since}


def _note(differences: list[str], table: Table, live: Row | None, rebuilt: Row | None) -> None:
    if len(differences) < NAMED_MAX:
        row = live or rebuilt or ()
        name = ", ".join(str(each) for each in row[: len(table.keys)])
        differences.append(f"{table.view} {name}: stored {live}, the log says {rebuilt}")
    elif len(differences) == NAMED_MAX:
        differences.append(f"{table.view}: and more")


def open_checks(
    connection: Connection, projections: Sequence[Projection], sinks: Mapping[str, Sink]
) -> list[ProjectionCheck]:
    """One check for each projection, at the position where it stands in this snapshot."""
    checks = []
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
        checks.append(ProjectionCheck(connection, runner, runner.sink))
    return checks


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
            for entry in read_all(connection, tolerant=True):
                for check in checks:
                    check.add(entry)
            return head_position(connection), [check.finish() for check in checks]


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
