"""What attempts, circuits and checks come to."""

from __future__ import annotations

import pytest

from domain.availability.standing import (
    AVAILABILITY,
    Availability,
    Circuit,
    Health,
    Line,
    Tries,
    all_together,
    best,
    health_of,
    line_of,
)

GOOD, FAIR, BAD = Tries(100, 95, 100, 4, 4), Tries(100, 94, 100, 4, 3), Tries(100, 49, 1, 4, 2)
SLOW = Tries(10, 10, 100_000, 1, 1)


@pytest.mark.parametrize(
    ("tries", "found"),
    [
        (Tries(), Health.UNKNOWN),
        (GOOD, Health.HEALTHY),
        (FAIR, Health.DEGRADED),
        (SLOW, Health.DEGRADED),
        (Tries(10, 10, 99_999, 1, 1), Health.HEALTHY),
        (Tries(100, 50, 0), Health.DEGRADED),
        (BAD, Health.UNHEALTHY),
    ],
)
def test_health_is_success_and_time(tries: Tries, found: Health) -> None:
    """95 % and less than 10 s are healthy, below a half is unhealthy (rule: contract)."""
    assert tries.health is found
    assert health_of(tries, Circuit.CLOSED, maintenance=False) is found
    assert health_of(tries, Circuit.OPEN, maintenance=False) is Health.UNHEALTHY
    assert health_of(tries, Circuit.OPEN, maintenance=True) is Health.MAINTENANCE
    half = health_of(tries, Circuit.HALF_OPEN, maintenance=False)
    assert half is (Health.UNHEALTHY if found is Health.UNHEALTHY else Health.DEGRADED)


def test_figures_are_exact_and_absent_where_nothing_was_tried() -> None:
    """Parts per million, milliseconds; no attempts are no figures (rule: contract)."""
    assert (GOOD.success_ppm, GOOD.mean_ms, GOOD.up_ppm) == (950_000, 1, 1_000_000)
    assert FAIR.up_ppm == 750_000
    nothing = Tries()
    assert (nothing.success_ppm, nothing.mean_ms, nothing.up_ppm) == (None, None, None)
    assert Tries(200, 189, 200, 8, 7) == GOOD + FAIR


@pytest.mark.parametrize(
    ("tries", "checked", "found"),
    [
        (Tries(), None, Line.UNKNOWN),
        (Tries(), True, Line.ONLINE),
        (Tries(), False, Line.OFFLINE),
        (GOOD, None, Line.ONLINE),
        (GOOD, True, Line.ONLINE),
        (GOOD, False, Line.DEGRADED),
        (FAIR, True, Line.DEGRADED),
        (BAD, True, Line.OFFLINE),
    ],
)
def test_a_provider_is_judged_by_calls_before_its_list(
    tries: Tries, checked: bool | None, found: Line
) -> None:
    """Calls that go through outweigh a list that cannot be had (rule: contract)."""

    def line(**more: bool) -> Line:
        given = {"trouble": False, "broken": False, "maintenance": False, **more}
        return line_of(tries, checked=checked, **given)

    assert line() is found
    assert line(trouble=True) is line(broken=True) is Line.OFFLINE
    assert line(trouble=True, maintenance=True) is Line.MAINTENANCE


def test_all_together() -> None:
    """Maintenance is no trouble, and nothing known is no health (rule: contract)."""
    assert all_together([]) is Health.UNKNOWN
    assert all_together([Line.UNKNOWN, Line.MAINTENANCE]) is Health.UNKNOWN
    assert all_together([Line.ONLINE, Line.MAINTENANCE]) is Health.HEALTHY
    assert all_together([Line.ONLINE, Line.OFFLINE]) is Health.DEGRADED
    assert all_together([Line.OFFLINE, Line.UNKNOWN]) is Health.UNHEALTHY


def test_the_best_of_several_offers_counts() -> None:
    """A model can be had where one of its offers can (rule: contract)."""
    assert best([]) is Availability.UNAVAILABLE
    assert best([Availability.MAINTENANCE, Availability.UNKNOWN]) is Availability.UNKNOWN
    assert {each for each in Health if AVAILABILITY[each].admits} == {
        Health.HEALTHY,
        Health.DEGRADED,
        Health.UNKNOWN,
    }
