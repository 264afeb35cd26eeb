"""Months that are closed, and how old a debt is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.books.aging import NAMES, aged
from domain.books.periods import Close, Wish, bounds_of, close_month, counted_at
from domain.errors import InvalidCommandError

if TYPE_CHECKING:
    from domain.events.access import PeriodClosed

NOW = "2026-03-15T00:00:00.000000Z"


def closed(*months: str, now: str = NOW) -> list[PeriodClosed]:
    """The events of closing these months, one after the other."""
    events: list[PeriodClosed] = []
    for month in months:
        events += close_month(
            events, Wish(month, now, "done"), event_id="e", actor="test", correlation_id="c"
        )
    return events


@pytest.mark.parametrize(
    ("month", "begins", "ends"),
    [
        ("2026-01", "2026-01-01", "2026-02-01"),
        ("2024-02", "2024-02-01", "2024-03-01"),
        ("2025-12", "2025-12-01", "2026-01-01"),
        ("2000-01", "2000-01-01", "2000-02-01"),
        ("9998-12", "9998-12-01", "9999-01-01"),
    ],
)
def test_a_month_has_two_ends(month: str, begins: str, ends: str) -> None:
    """Also a leap year's February and the last one of a year (rule: contract)."""
    assert bounds_of(month) == (f"{begins}T00:00:00.000000Z", f"{ends}T00:00:00.000000Z")


@given(st.integers(2000, 9998), st.integers(1, 12))
def test_months_meet(year: int, month: int) -> None:
    """Where one ends the next begins (rule: contract)."""
    after = f"{year + month // 12:04}-{month % 12 + 1:02}"
    assert bounds_of(f"{year:04}-{month:02}")[1] == bounds_of(after)[0]


WRONG = (
    "",
    "2026",
    "2026-00",
    "2026-13",
    "2026-1",
    "1999-12",
    "２０２６-01",
    "2026/01",
    "2026-01 ",
)


@pytest.mark.parametrize("month", [*WRONG, "x" * 1_000_000, "-026-01", "2026-+1"])
def test_what_is_no_month_is_refused(month: str) -> None:
    """And never taken for another one (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError) as refused:
        bounds_of(month)
    assert len(str(refused.value)) < 200


def test_a_month_is_closed_once_and_after_its_end() -> None:
    """An older one is closed with it; again changes nothing (P5)."""
    events = closed("2026-01", "2025-12", "2026-01", "2026-02")
    assert [each.until[:7] for each in events] == ["2026-02", "2026-03"]
    assert [each.originator_version for each in events] == [1, 2]
    with pytest.raises(InvalidCommandError, match="not over"):
        closed("2026-03")
    assert closed("2026-02", now="2026-03-01T00:00:00.000000Z")
    with pytest.raises(InvalidCommandError, match="not over"):
        closed("2026-02", now="2026-02-28T23:59:59.999999Z")


def test_a_reason_is_no_book() -> None:
    """It has a maximum (rule: bounded)."""
    with pytest.raises(InvalidCommandError, match="at most"):
        close_month(
            [], Wish("2026-01", NOW, "x" * 1_001), event_id="e", actor="a", correlation_id="c"
        )


def test_what_comes_after_the_close_counts_in_the_open_period() -> None:
    """What came before it keeps its date (P5, money rule 18)."""
    closes = [Close(10, "2026-02"), Close(20, "2026-03")]
    assert counted_at("2026-01-15", 9, closes) == "2026-01-15"
    assert counted_at("2026-01-15", 11, closes) == "2026-02"
    assert counted_at("2026-01-15", 21, closes) == "2026-03"
    assert counted_at("2026-03-02", 21, closes) == "2026-03-02"
    assert counted_at("2026-01-15", 21, []) == "2026-01-15"


debits = st.lists(st.tuples(st.integers(0, 400), st.integers(1, 10**12)), max_size=20)


@given(st.integers(0, 10**13), debits)
def test_ages_sum_to_the_debt(owed: int, found: list[tuple[int, int]]) -> None:
    """Whatever debits are given; none is negative (P4)."""
    ages = aged(owed, sorted(found))
    assert tuple(ages) == NAMES
    assert sum(ages.values()) == owed
    assert min(ages.values()) >= 0


@pytest.mark.parametrize(
    ("owed", "expected"), [(0, []), (5, [5]), (12, [10, 2]), (45, [10, 10, 10, 15])]
)
def test_the_newest_debits_are_what_is_owed(owed: int, expected: list[int]) -> None:
    """The oldest were paid first; each age has its last day (money rule 18)."""
    found = aged(owed, [(30, 10), (31, 10), (90, 10), (91, 10)])
    assert [each for each in found.values() if each] == expected
