"""How many calls may be under way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.overload.adaptive import LATE_US, SAMPLES, AdaptiveLimit

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


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**6)), max_size=200))
def test_it_stays_within_its_bounds(samples: list[tuple[int, int]]) -> None:
    """Whatever is sampled; and it says where it changed (rule: bounded)."""
    limit = AdaptiveLimit(least=LEAST, most=MOST)
    for late, under_way in samples:
        before = limit.limit
        assert limit.sampled(late, under_way) == (limit.limit != before)
        assert LEAST <= limit.limit <= MOST
