"""The comparison of a table with what the log says, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from projections.engine.differences import NAMED_MAX, AppendedTable, compare_merged
from projections.engine.tables import Column, Merge, Table, key, sums

LINES = Table(
    name="lines",
    about="Only gains rows.",
    columns=(key("position", "bigint"), key("line", "smallint"), Column("t", "text", Merge.ONCE)),
    appended=True,
)
COUNTS = Table(name="counts", about="Sums.", columns=(key("name", "text"), *sums("n")))
AGED = Table(
    name="aged",
    about="Sums of a while.",
    columns=(key("at", "timestamptz"), *sums("n")),
    time="at",
    keep_days=2,
)
RIGHT = [(1, 0, "a"), (1, 1, "b"), (2, 0, "c"), (10, 0, "d")]


def appended(live: list[tuple[Any, ...]], *batches: list[tuple[Any, ...]]) -> tuple[Any, list[str]]:
    """The digest of an appended table, and its differences."""
    table = AppendedTable(LINES, iter(live))
    for each in batches:
        table.take(each)
    return table.finish(), table.differences


@pytest.mark.parametrize("cut", range(len(RIGHT) + 1))
def test_equal_rows_have_equal_digests(cut: int) -> None:
    """However the fold's rows come in batches (P8)."""
    digest, differences = appended(RIGHT, RIGHT[:cut], RIGHT[cut:])
    assert differences == []
    assert (digest.table, digest.rows) == ("read_lines", 4)
    assert digest.live == digest.rebuilt


@pytest.mark.parametrize(
    ("live", "told"),
    [
        (RIGHT[1:], ["read_lines 1, 0: stored None, the log says (1, 0, 'a')"]),
        (RIGHT[:-1], ["read_lines 10, 0: stored None, the log says (10, 0, 'd')"]),
        ([*RIGHT, (11, 0, "e")], ["read_lines 11, 0: stored (11, 0, 'e'), the log says None"]),
        ([(0, 5, "e"), *RIGHT], ["read_lines 0, 5: stored (0, 5, 'e'), the log says None"]),
        (
            [*RIGHT[:2], (2, 0, "z"), RIGHT[3]],
            ["read_lines 2, 0: stored (2, 0, 'z'), the log says (2, 0, 'c')"],
        ),
        ([], [f"read_lines {r[0]}, {r[1]}: stored None, the log says {r}" for r in RIGHT]),
    ],
)
def test_what_differs_among_appended_rows_is_named(
    live: list[tuple[Any, ...]], told: list[str]
) -> None:
    """Missing, too many, or changed; and nothing beside it (P8)."""
    digest, differences = appended(live, RIGHT)
    assert differences == told
    assert digest.live != digest.rebuilt


def test_many_differences_are_cut_short() -> None:
    """A table that is all wrong names some rows, and says that there are more (rule: bounded)."""
    many = [(position, 0, "x") for position in range(NAMED_MAX * 3)]
    _, differences = appended([], many)
    assert len(differences) == NAMED_MAX + 1
    assert differences[-1] == "read_lines: and more"


def test_merged_rows_are_compared_by_key() -> None:
    """In whatever order they are stored (P8)."""
    merged = {("a",): [1], ("b",): [2]}
    digest, differences = compare_merged(COUNTS, [("b", 2), ("a", 1)], merged)
    assert differences == []
    assert digest.live == digest.rebuilt
    digest, differences = compare_merged(COUNTS, [("b", 3), ("c", 1)], merged)
    assert differences == [
        "read_counts a: stored None, the log says ('a', 1)",
        "read_counts b: stored ('b', 3), the log says ('b', 2)",
        "read_counts c: stored ('c', 1), the log says None",
    ]
    assert (digest.rows, digest.live != digest.rebuilt) == (2, True)


def test_rows_that_may_have_been_pruned_are_not_missed() -> None:
    """Of rows that are dropped by age, only those that are surely there are compared (P8)."""
    now = datetime.now(UTC)
    old, young = (now - timedelta(days=each) for each in (1.5, 0.5))
    merged = {(old.isoformat(),): [1], (young.isoformat(),): [2]}
    assert compare_merged(AGED, [(young, 2)], merged)[1] == []
    (difference,) = compare_merged(AGED, [(old, 1)], merged)[1]
    assert "stored None" in difference
