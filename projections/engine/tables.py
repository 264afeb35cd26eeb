"""What a read model is made of: tables whose columns say how two rows of one key become one.

The same rule merges rows in memory (a batch, a verification), in PostgreSQL (an upsert) and in
Redis (an increment). Every rule is independent of the order between accounts, so that a
projection comes out the same whichever partition of the log it hears first.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Row = tuple[Any, ...]
E = TypeVar("E")
T = TypeVar("T")


class Merge(StrEnum):
    """What becomes of a column when a row of its key exists already."""

    KEY = "key"
    SUM = "sum"
    MIN = "min"
    MAX = "max"
    FIRST = "first"
    """The value that is there stays; an absent one is filled."""
    LATEST = "latest"
    """The value of the row whose `by` column is greater."""
    ONCE = "once"
    """Written once: no other row of the key ever comes. All values of appended tables, and only
    they."""


_NUMBERS = frozenset({"smallint", "integer", "bigint", "numeric"})


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its SQL type, how it merges, and what an analyst should know of it."""

    name: str
    sql: str
    merge: Merge = Merge.SUM
    by: str = ""
    about: str = ""


def key(name: str, sql: str, about: str = "") -> Column:
    """A column of the key."""
    return Column(name, sql, Merge.KEY, about=about)


def sums(*names: str) -> tuple[Column, ...]:
    """Columns of integers that add up, without any limit: amounts, tokens, milliseconds."""
    return tuple(Column(name, "numeric") for name in names)


def counts(*names: str) -> tuple[Column, ...]:
    """Columns that grow by one for an event or an attempt, and so stay in 64 bits."""
    return tuple(Column(name, "bigint") for name in names)


def amounts(*names: str, about: str = "") -> tuple[Column, ...]:
    """Columns of an appended table with amounts or tokens, however great."""
    return tuple(Column(name, "numeric", Merge.ONCE, about=about) for name in names)


def _min(old: Any, new: Any) -> Any:
    return new if old is None or (new is not None and new < old) else old


def _max(old: Any, new: Any) -> Any:
    return new if old is None or (new is not None and new > old) else old


def _first(old: Any, new: Any) -> Any:
    return new if old is None else old


_MERGES: dict[Merge, Callable[[Any, Any], Any]] = {
    Merge.SUM: operator.add,
    Merge.MIN: _min,
    Merge.MAX: _max,
    Merge.FIRST: _first,
}


@dataclass(frozen=True, eq=False)
class Table:
    """One table of a read model.

    `appended` tables only ever gain rows, in the order of their key, which begins with the
    position. Of the others, `members` says how many columns at the end of the key name one
    member of a sorted set, where the table is kept in Redis. An index is a list of columns, and
    may end with ` WHERE ` and a condition. Rows whose `time` column is older than `keep_days` are
    dropped.
    """

    name: str
    about: str
    columns: tuple[Column, ...]
    appended: bool = False
    indexes: tuple[str, ...] = ()
    members: int = 1
    time: str = ""
    keep_days: int = 0
    keys: tuple[Column, ...] = field(init=False)
    values: tuple[Column, ...] = field(init=False)
    merge_rows: Callable[[list[Any], Sequence[Any]], list[Any]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Split the columns; the key comes first."""
        keys = tuple(each for each in self.columns if each.merge is Merge.KEY)
        values = self.columns[len(keys) :]
        assert self.columns[: len(keys)] == keys, "the key comes first"
        assert not self.keep_days or self.time, "what is dropped by age has a time"
        assert all((each.merge is Merge.ONCE) is self.appended for each in values), (
            "values are written once where rows are only appended, else they say how they merge"
        )
        assert all(each.sql in _NUMBERS for each in values if each.merge is Merge.SUM), (
            "only numbers add up"
        )
        object.__setattr__(self, "keys", keys)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "merge_rows", _merger(() if self.appended else values))

    @property
    def names(self) -> tuple[str, ...]:
        """All columns, in order."""
        return tuple(each.name for each in self.columns)

    def stored_as(self, version: int) -> str:
        """Name of the table of one version; the view without the version shows the live one."""
        return f"{self.view}_v{version}"

    @property
    def view(self) -> str:
        """What readers select from."""
        return f"read_{self.name}"


def _merger(
    values: tuple[Column, ...],
) -> Callable[[list[Any], Sequence[Any]], list[Any]]:
    """How two rows' values become one; a plain sum takes the short way, it is by far the most."""
    if all(each.merge is Merge.SUM for each in values):
        return lambda old, new: list(map(operator.add, old, new))
    names = [each.name for each in values]
    latest = [
        (place, names.index(each.by))
        for place, each in enumerate(values)
        if each.merge is Merge.LATEST
    ]
    plain = [
        (place, _MERGES[each.merge])
        for place, each in enumerate(values)
        if each.merge is not Merge.LATEST
    ]

    def merge(old: list[Any], new: Sequence[Any]) -> list[Any]:
        merged = list(old)
        for place, by in latest:
            if new[by] > old[by]:
                merged[place] = new[place]
        for place, rule in plain:
            merged[place] = rule(old[place], new[place])
        return merged

    return merge


class Worked:
    """What is worked out of an event by one fold for all that ask the same of it."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """Nothing yet."""
        self._known: dict[Callable[..., Any], dict[int, Any]] = {}

    def once(self, work: Callable[[E], T], position: int, event: E) -> T:
        """What `work`, a pure function, makes of the event at a position."""
        known = self._known.get(work)
        if known is None:
            known = self._known[work] = {}
        found: T | None = known.get(position)
        if found is None:
            found = known[position] = work(event)
        return found

    def clear(self) -> None:
        """Forget all, when the next events are others."""
        self._known.clear()


class Changes:
    """What a fold does to its tables: rows to merge by key, rows to append.

    `context` is what the projection loaded for these events, or has carried along since the
    start of the log. `worked` is shared with the other folds of the same events.
    """

    __slots__ = ("appended", "context", "memo", "merged", "worked")

    def __init__(
        self, tables: Sequence[Table], context: Any = None, worked: Worked | None = None
    ) -> None:
        """No changes yet."""
        self.merged: dict[Table, dict[Row, list[Any]]] = {
            table: {} for table in tables if not table.appended
        }
        self.appended: dict[Table, list[Row]] = {table: [] for table in tables if table.appended}
        self.context = context
        self.worked = worked or Worked()
        self.memo: dict[Any, Any] = {}
        """Whatever a fold wants to find again among these changes."""

    def merge(self, table: Table, key: Row, values: Sequence[Any]) -> None:
        """Merge a row into its key's."""
        rows = self.merged[table]
        old = rows.get(key)
        rows[key] = list(values) if old is None else table.merge_rows(old, values)

    def row(self, table: Table, key: Row) -> list[Any]:
        """The values of a row of sums, to be added to in place."""
        rows = self.merged[table]
        found = rows.get(key)
        if found is None:
            found = rows[key] = [0] * len(table.values)
        return found

    def append(self, table: Table, row: Row) -> None:
        """Add a row that no other row will ever meet."""
        self.appended[table].append(row)


def whole(row: Row) -> Row:
    """A row as PostgreSQL gave it, with its numerics as the integers that they are (P4)."""
    return tuple(int(each) if type(each) is Decimal else each for each in row)


def canonical(column: Column, value: Any) -> Any:
    """One form for a value, whether a fold made it or a database gave it back."""
    if value is None:
        return None
    if column.sql == "timestamptz":
        instant = datetime.fromisoformat(value) if isinstance(value, str) else value
        return instant.astimezone(UTC).isoformat()
    if column.sql == "numeric":
        return int(value)
    return str(value) if column.sql in ("uuid", "date") else value
