"""What can be limited, and who may set what."""

from __future__ import annotations

import pytest

from domain.errors import InvalidCommandError
from domain.limits.rates import (
    FIELDS,
    LIMIT_MAX,
    NO_LIMITS,
    PLANS,
    RateLimits,
    above,
    check_limits,
    share_of,
    tightest,
    with_plan,
)


@pytest.mark.parametrize(
    ("limits", "plan"),
    [
        ({}, None),
        ({"requests_per_minute": -1}, None),
        ({"requests_per_minute": LIMIT_MAX + 1}, None),
        ({"tokens_per_day": 10**18}, None),
        ({"burst": LIMIT_MAX}, None),
        ({"concurrency": LIMIT_MAX}, None),
        ({"requests_per_century": 5}, None),
        ({}, "gold"),
    ],
)
def test_limits_that_cannot_be_are_refused(limits: dict[str, int], plan: str | None) -> None:
    """Negative, enormous, unknown or none at all (money rule 13)."""
    with pytest.raises(InvalidCommandError):
        check_limits(limits, plan)


def test_zero_and_the_maximum_are_limits() -> None:
    """Zero admits nothing and is no absence (money rule 13)."""
    made = check_limits({"requests_per_minute": 0, "tokens_per_day": LIMIT_MAX})
    assert made.given() == {"requests_per_minute": 0, "tokens_per_day": LIMIT_MAX}
    assert not made.empty
    assert NO_LIMITS.empty
    assert check_limits({}, "premium").empty


def test_plans_have_every_limit() -> None:
    """A plan leaves nothing open (money rule 13)."""
    assert set(PLANS) == {"default", "premium", "enterprise"}
    assert all(set(plan.given()) == set(FIELDS) for plan in PLANS.values())


def test_the_lower_of_two_limits_binds() -> None:
    """Field by field; what only one sets is set (money rule 13)."""
    one, other = RateLimits(5, 100, None, 7), RateLimits(6, 50, 9, None)
    assert tightest(one, other) == RateLimits(5, 50, 9, 7)


def test_a_user_is_never_above_the_ceiling_of_the_plan() -> None:
    """His own limits fill only what lies below it (money rule 13)."""
    assert with_plan(RateLimits(5), None) == RateLimits(5)
    found = with_plan(RateLimits(requests_per_minute=10_000, requests_per_hour=7), "default")
    assert found == PLANS["default"]._replace(requests_per_hour=7)
    assert above(RateLimits(10, 2_000), RateLimits(10, 1_000, 5)) == {"requests_per_hour": 1_000}


def test_processes_share_a_limit() -> None:
    """Rounded down, but never to nothing, and nothing stays nothing (P12)."""
    assert share_of(RateLimits(10, 2, 0), 3) == RateLimits(3, 1, 0)
    assert share_of(RateLimits(10, 2, 0), 1) == RateLimits(10, 2, 0)
