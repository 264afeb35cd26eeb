"""How many calls a second are admitted."""

from __future__ import annotations

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
    AdmissionPace,
)

SAMPLE_US = 25_000
ALL_IDLE = SAMPLE_US


def sampled(
    pace: AdmissionPace, late_us: int, *, idle_us: int = 0, wanted: bool = True, intervals: int = 1
) -> int:
    """The rate after so many intervals that were alike."""
    for _ in range(SAMPLES * intervals):
        pace.sampled(SAMPLE_US, late_us, idle_us, wanted=wanted)
    return pace.rate


def slowed(rate: int) -> AdmissionPace:
    """A pace of so many calls a second."""
    pace = AdmissionPace()
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
    """One sample in time is enough: there is no standing queue (rule: calls first)."""
    pace = AdmissionPace()
    for late_us in [900_000] * (SAMPLES - 1) + [0]:
        assert not pace.sampled(SAMPLE_US, late_us, 0, wanted=True)
    assert pace.rate == MOST


def test_who_has_nothing_to_do_is_not_overloaded() -> None:
    """It is late because others have its core: fewer calls help nobody (rule: calls first)."""
    pace = AdmissionPace()
    enough = SAMPLE_US * IDLE_PERCENT // 100
    assert sampled(pace, 90_000, idle_us=enough) == MOST
    assert sampled(pace, 90_000, idle_us=enough - 1) < MOST


def test_it_falls_from_what_was_admitted() -> None:
    """And not below its least, however late the process is (rule: bounded)."""
    pace = AdmissionPace()
    for _ in range(100):
        assert pace.admits()
    assert sampled(pace, LATE_US) == 900  # Of a thousand a second.
    assert sampled(pace, LATE_US) == LEAST


def test_it_grows_again() -> None:
    """Slowly while calls wait for it, then fast, until all go on (rule: calls first)."""
    assert sampled(slowed(1_000), 0) == 1_050
    assert sampled(slowed(1_000), 0, wanted=False) == 1_500
    assert sampled(slowed(LEAST), 0) == LEAST + 4
    pace = slowed(LEAST)
    assert sampled(pace, 0, intervals=200) == MOST
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
        pace.admits(ahead=wanted)
        pace.passed(elapsed_us)
