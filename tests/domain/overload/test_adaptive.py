"""How many calls may be under way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.overload.adaptive import LATE_US, SAMPLES, SLOW_SPARE_US, USUAL_SHARE, AdaptiveLimit

LEAST, MOST = 32, 1_000


def after(limit: AdaptiveLimit, late: list[int], under_way: int) -> int:
    """The limit after these samples."""
    for each in late:
        limit.sampled(each, under_way)
    return limit.limit


def test_a_burst_that_passes_changes_nothing() -> None:
    """One sample in time is enough: there is no standing queue (rule: calls first)."""
    limit = AdaptiveLimit(least=LEAST, most=MOST)
    assert after(limit, [900_000] * (SAMPLES - 1) + [0], 900) == MOST


def test_it_falls_from_what_is_under_way() -> None:
    """And not below its least, however late the process is (rule: bounded)."""
    limit = AdaptiveLimit(least=LEAST, most=MOST)
    assert after(limit, [LATE_US] * SAMPLES, 500) == 400
    assert after(limit, [LATE_US] * SAMPLES, 400) == 320
    assert after(limit, [90_000] * SAMPLES * 100, 10) == LEAST


def test_it_grows_again() -> None:
    """Up to the most, once the process is in time (rule: calls first)."""
    limit = AdaptiveLimit(least=LEAST, most=MOST)
    after(limit, [90_000] * SAMPLES, 10)
    assert after(limit, [0] * SAMPLES, 10) == LEAST + 4
    assert after(limit, [0] * SAMPLES * 200, 10) == MOST


def test_more_than_the_most_is_never_the_least() -> None:
    """Where an operator allows fewer calls than that (rule: bounded)."""
    assert AdaptiveLimit(least=LEAST, most=3).least == 3


def interval(limit: AdaptiveLimit, admissions: list[int], admitting: int) -> int:
    """The limit after an interval in time, whose admissions took so long, microseconds."""
    for each in admissions:
        limit.admitted(each)
    return after(limit, [0] * SAMPLES, admitting)


def test_a_queue_before_the_ledger_is_one_too() -> None:
    """The event loop is in time, and even the quickest hold takes long (rule: calls first)."""
    limit = AdaptiveLimit(least=LEAST, most=MOST)
    assert interval(limit, [9_000, 3_000], 500) == MOST
    slow = 2 * 3_000 + SLOW_SPARE_US
    assert interval(limit, [slow - 1, 90_000], 500) == MOST
    assert interval(limit, [slow + 99, 90_000], 500) == 400
    assert interval(limit, [slow + 99], 400) == 320


def test_a_few_slow_holds_are_no_queue() -> None:
    """Nor is an interval in which none was placed (rule: calls first)."""
    limit = AdaptiveLimit(least=LEAST, most=MOST)
    interval(limit, [3_000], 1)
    assert interval(limit, [900_000], LEAST) == MOST
    assert interval(limit, [], 500) == MOST


def test_a_ledger_that_became_slower_becomes_usual() -> None:
    """So that it does not keep a process small for ever (rule: calls first)."""
    limit = AdaptiveLimit(least=LEAST, most=MOST)
    interval(limit, [3_000], 1)
    intervals = 0
    while interval(limit, [40_000], 500) < MOST:
        intervals += 1
        assert intervals < 3 * USUAL_SHARE
    assert intervals > USUAL_SHARE


@given(
    st.lists(
        st.tuples(st.integers(0, 10**9), st.integers(0, 10**6), st.integers(0, 10**12)),
        max_size=200,
    )
)
def test_it_stays_within_its_bounds(samples: list[tuple[int, int, int]]) -> None:
    """Whatever is sampled; and it says where it changed (rule: bounded)."""
    limit = AdaptiveLimit(least=LEAST, most=MOST)
    for late, under_way, took in samples:
        limit.admitted(took)
        before = limit.limit
        assert limit.sampled(late, under_way) == (limit.limit != before)
        assert LEAST <= limit.limit <= MOST
