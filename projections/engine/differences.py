"""Compares the rows of a table with those that the log says: a digest of either side.

Appended tables are compared as both sides stream by, in the order of the log; merged ones at the
end, by key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from projections.engine.tables import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from projections.engine.tables import Row, Table

NAMED_MAX = 20
"""Differences that are spelled out for one table; more are counted."""


@dataclass(slots=True)
class TableDigest:
    """One table on both sides; equal digests mean equal rows."""

    table: str
    rows: int
    live: str
    rebuilt: str


class _Side:
    """The digest of rows as they come, in order."""

    def __init__(self) -> None:
        self._hash, self.rows = sha256(), 0

    def add(self, row: Row) -> None:
        self._hash.update(repr(row).encode())
        self.rows += 1

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


class AppendedTable:
    """Compares an appended table with the fold, row by row, as both stream by."""

    def __init__(self, table: Table, live: Iterator[Row]) -> None:
        """`live` are the stored rows, in the order of their key."""
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


def compare_merged(
    table: Table, stored: Iterable[Row], merged: Mapping[Row, Sequence[Any]]
) -> tuple[TableDigest, list[str]]:
    """Compare stored rows with what the fold merged by key; returns what differs, spelled out."""
    rebuilt = _kept(table, (_canonical(table, (*each, *merged[each])) for each in merged))
    live = _kept(table, (_canonical(table, each) for each in stored))
    sides = []
    for rows in (live, rebuilt):
        side = _Side()
        for name in sorted(rows):
            side.add(rows[name])
        sides.append(side.hexdigest())
    differences: list[str] = []
    if sides[0] != sides[1]:
        for name in sorted(live.keys() | rebuilt.keys()):
            if live.get(name) != rebuilt.get(name):
                _note(differences, table, live.get(name), rebuilt.get(name))
    return TableDigest(table.view, len(live), sides[0], sides[1]), differences


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
