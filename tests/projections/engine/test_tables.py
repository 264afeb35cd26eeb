"""How two rows of one key become one: alike in memory and in PostgreSQL."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.engine.sinks.postgres import upsert
from projections.engine.tables import Changes, Column, Merge, Table, Worked, canonical, key, sums

if TYPE_CHECKING:
    from event_store.postgres.database import Database

MIXED = Table(
    name="mixed",
    about="Every rule.",
    columns=(
        key("name", "text"),
        *sums("total"),
        Column("least", "bigint", Merge.MIN),
        Column("most", "bigint", Merge.MAX),
        Column("kept", "text", Merge.FIRST),
        Column("word", "text", Merge.LATEST, by="at"),
        Column("at", "bigint", Merge.MAX),
    ),
)
PLAIN = Table(name="plain", about="Sums alone.", columns=(key("name", "text"), *sums("a", "b")))
LINES = Table(
    name="lines",
    about="Only gains rows.",
    columns=(key("position", "bigint"), Column("text", "text", Merge.ONCE)),
    appended=True,
)
ROWS = [
    ("x", (1, 5, None, None, "first", 10)),
    ("x", (2, None, 7, "here", None, 0)),
    ("y", (4, 4, 4, "alone", "y", 3)),
    ("x", (3, 2, 9, "too late", "second", 20)),
    ("x", (-1, 8, 1, None, "stale", 15)),
]
MERGED = {("x",): [5, 2, 9, "here", "second", 20], ("y",): [4, 4, 4, "alone", "y", 3]}

numbers = st.none() | st.integers(-5, 5)


def merged(rows: list[tuple[str, tuple[Any, ...]]]) -> dict[Any, list[Any]]:
    """The rows of the mixed table as one batch."""
    changes = Changes((MIXED,))
    for name, values in rows:
        changes.merge(MIXED, (name,), values)
    return changes.merged[MIXED]


def test_each_column_merges_by_its_rule() -> None:
    """Sum, least, greatest, first that is there, latest by position; absent values aside (P8)."""
    assert merged(ROWS) == MERGED


@given(
    st.lists(st.tuples(st.integers(-5, 5), numbers, numbers), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_order_between_rows_does_not_matter(
    values: list[tuple[int, int | None, int | None]], chance: Any
) -> None:
    """A batch comes out the same whichever partition is heard first (P8)."""
    rows = [
        ("x", (total, least, most, None, f"at {at}", at))
        for at, (total, least, most) in enumerate(values)
    ]
    jumbled = list(rows)
    chance.shuffle(jumbled)
    assert merged(jumbled) == merged(rows)


@pytest.mark.parametrize("cuts", [(), (1,), (2, 4), (1, 2, 3, 4)])
def test_postgresql_merges_as_memory_does(database: Database, cuts: tuple[int, ...]) -> None:
    """However the rows are cut into batches, the stored ones are those of one batch (P8)."""
    stored = MIXED.stored_as(1)
    with database.connect_as_owner() as connection:
        columns = ", ".join(f"{each.name} {each.sql}" for each in MIXED.columns)
        connection.execute(f"CREATE TABLE {stored} ({columns}, PRIMARY KEY (name))")
        for start, end in pairwise((0, *cuts, len(ROWS))):
            upsert(connection, MIXED, 1, merged(ROWS[start:end]))
        found = connection.execute(f"SELECT * FROM {stored}").fetchall()
    assert {row[:1]: list(row[1:]) for row in found} == MERGED


def test_rows_of_sums_are_added_to_in_place() -> None:
    """A row that is found again is the one that was counted in (P8)."""
    changes = Changes((PLAIN, LINES))
    changes.row(PLAIN, ("x",))[1] += 3
    changes.merge(PLAIN, ("x",), (1, 1))
    changes.append(LINES, (7, "seven"))
    assert changes.merged == {PLAIN: {("x",): [1, 4]}}
    assert changes.appended == {LINES: [(7, "seven")]}


@pytest.mark.parametrize(
    ("columns", "options", "why"),
    [
        ((*sums("a"), key("name", "text")), {}, "the key comes first"),
        ((key("name", "text"), Column("word", "text")), {}, "only numbers add up"),
        ((key("name", "text"), Column("word", "text", Merge.ONCE)), {}, "written once"),
        ((key("position", "bigint"), *sums("a")), {"appended": True}, "written once"),
        ((key("name", "text"), *sums("a")), {"keep_days": 1}, "has a time"),
    ],
)
def test_a_table_that_contradicts_itself_is_refused(
    columns: tuple[Column, ...], options: dict[str, Any], why: str
) -> None:
    """Where it is declared, so that no page or table can say it (rule: refuse clearly)."""
    with pytest.raises(AssertionError, match=why):
        Table(name="odd", about="-", columns=columns, **options)


def test_one_form_for_a_value_of_either_side() -> None:
    """What a fold writes as text equals what the database gives back as a type (P8)."""
    time = partial(canonical, Column("at", "timestamptz", Merge.MAX))
    assert time("2026-01-01T02:00:00+02:00") == time("2026-01-01T00:00:00Z")
    assert canonical(key("id", "uuid"), "abc") == "abc"
    assert canonical(key("day", "date"), None) is None
    assert canonical(PLAIN.values[0], 3) == 3


def test_what_several_folds_want_is_worked_out_once() -> None:
    """Once for an event and a question, and anew when the events are others (P8)."""
    asked: list[str] = []

    def length(event: str) -> int:
        asked.append(event)
        return len(event)

    worked = Worked()
    assert [worked.once(length, 1, "abc"), worked.once(length, 1, "abc")] == [3, 3]
    assert worked.once(length, 2, "de") == 2
    assert worked.once(str.upper, 1, "abc") == "ABC"
    assert asked == ["abc", "de"]
    worked.clear()
    assert worked.once(length, 1, "other") == 5
