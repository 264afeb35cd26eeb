"""How many calls a second are admitted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.overload.pace import (
    BURST_US,
    IDLE_PERCENT,
    LATE_US,
    LEAST,
    MOST,
    SAMPLES,
    US_PER_S,
    VERY_LATE_SAMPLES,
    VERY_LATE_US,
    AdmissionPace,
)

SAMPLE_US = 12_500


def sampled(
    pace: AdmissionPace,
    late_us: int,
    *,
    idle_us: int = 0,
    wanted: bool = True,
    intervals: int = 1,
    each: int = SAMPLES,
) -> int:
    """The rate after so many intervals of so many samples that were alike."""
    for _ in range(each * intervals):
        pace.sampled(SAMPLE_US, late_us, idle_us, wanted=wanted)
    return pace.rate


def made(pace: AdmissionPace, count: int) -> AdmissionPace:
    """So many have their holds."""
    for _ in range(count):
        pace.made()
    return pace


def slowed(rate: int) -> AdmissionPace:
    """A pace of so many calls a second."""
    pace = made(AdmissionPace(), 1)
    sampled(pace, LATE_US)
    pace.rate = rate
    return pace


def taken(pace: AdmissionPace, *, ahead: bool = False) -> int:
    """How many may go on now."""
    count = 0
    while pace.admits(ahead=ahead):
        count += 1
        assert count <= MOST
    return count


def test_at_first_all_go_on() -> None:
    """Nothing is counted out before the process is late (rule: calls first)."""
    pace = AdmissionPace()
    assert not pace.limited
    assert all(pace.admits() for _ in range(10_000))


def test_a_burst_that_passes_changes_nothing() -> None:
    """More than half of the samples in time are enough (rule: calls first)."""
    pace = made(AdmissionPace(), 1)
    late = [20_000] * (SAMPLES // 2 - 1)
    for late_us in late + [0] * (SAMPLES - len(late)):
        assert not pace.sampled(SAMPLE_US, late_us, 0, wanted=True)
    assert pace.rate == MOST


def test_who_has_nothing_to_do_is_not_overloaded() -> None:
    """It is late because others have its core: fewer calls help nobody (rule: calls first)."""
    enough = SAMPLE_US * IDLE_PERCENT // 100
    assert sampled(made(AdmissionPace(), 1), 20_000, idle_us=enough) == MOST
    assert sampled(made(AdmissionPace(), 1), 20_000, idle_us=enough - 1) < MOST


def test_who_makes_no_calls_is_late_for_something_else() -> None:
    """As at its start: calls that come then find it as it is (rule: calls first)."""
    assert sampled(AdmissionPace(), 20_000) == MOST
    assert sampled(slowed(1_000), 20_000) == 1_030


SECOND = US_PER_S // SAMPLE_US // SAMPLES
"""Intervals of a second."""


@pytest.mark.parametrize(
    ("late_us", "kept"), [(2_000, 92), (5_500, 78), (10_000, 60), (20_000, 60)]
)
def test_it_falls_from_what_was_made(late_us: int, kept: int) -> None:
    """The more the later the process is, and not below its least (rule: bounded)."""
    pace = made(AdmissionPace(), 1_000 // SECOND)
    assert sampled(pace, late_us) == 1_000 * kept // 100
    assert sampled(made(pace, 1), late_us) == LEAST


def test_very_late_it_falls_at_once() -> None:
    """There is no need to look any longer (rule: calls first)."""
    pace = made(AdmissionPace(), 100)
    sampled(pace, VERY_LATE_US, each=VERY_LATE_SAMPLES - 1)
    assert not pace.limited
    sampled(pace, VERY_LATE_US, each=1)
    assert pace.rate == 100 * US_PER_S // (VERY_LATE_SAMPLES * SAMPLE_US) * 60 // 100


def test_it_grows_again() -> None:
    """Slowly while calls wait for it, by what it was idle, then fast (rule: calls first)."""
    assert sampled(slowed(1_000), 0) == 1_030
    assert sampled(slowed(1_000), 0, idle_us=SAMPLE_US // 5) == 1_200
    assert sampled(slowed(1_000), 0, idle_us=SAMPLE_US) == 1_500
    assert sampled(slowed(1_000), 0, wanted=False) == 1_500
    assert sampled(slowed(LEAST), 0) == LEAST + 4
    pace = slowed(LEAST)
    assert sampled(pace, 0, intervals=400) == MOST
    assert not pace.limited


def test_calls_go_on_as_time_goes_by() -> None:
    """As many as the rate says; what was not used is kept for a moment (rule: bounded)."""
    pace = slowed(1_000)
    assert taken(pace) == 0
    pace.passed(5_000)
    assert taken(pace) == 5
    pace.passed(US_PER_S)
    assert taken(pace) == 1_000 * BURST_US // US_PER_S


def test_the_slowest_pace_lets_one_go_on() -> None:
    """Though it takes longer than what is kept (rule: calls first)."""
    pace = slowed(LEAST)
    for _ in range(10):
        pace.passed(US_PER_S // LEAST // 2)
        assert taken(pace) == 0
        pace.passed(US_PER_S // LEAST // 2)
        assert taken(pace) == 1


def test_those_ahead_borrow_from_the_next() -> None:
    """A bounded number, which the others then wait for (rule: bounded, rule: calls first)."""
    pace = slowed(1_000)
    assert taken(pace, ahead=True) == 10
    pace.passed(10_000)
    assert taken(pace) == 0
    pace.passed(3_000)
    assert taken(pace) == 3


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.booleans()
        ),
        max_size=200,
    )
)
def test_it_stays_within_its_bounds(samples: list[tuple[int, int, int, bool]]) -> None:
    """Whatever is sampled; and it says where it changed (rule: bounded)."""
    pace = AdmissionPace()
    for elapsed_us, late_us, idle_us, wanted in samples:
        before = pace.rate
        changed = pace.sampled(elapsed_us, late_us, idle_us, wanted=wanted)
        assert changed == (pace.rate != before)
        assert LEAST <= pace.rate <= MOST
        if pace.admits(ahead=wanted):
            pace.made()
        pace.passed(elapsed_us)
