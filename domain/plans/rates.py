"""How fast a plan lets its user call: rate limits on two scopes of the user, as its quotas have.

One binds every call that the user's own account pays for, the other those of keys that are not
live, by half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.limits.rates import LimitScope, RateLimits
from domain.plans.catalog import NOT_LIVE_DIVISOR

if TYPE_CHECKING:
    from domain.plans.catalog import Plan


def rates_of(plan: Plan, *, live: bool) -> RateLimits:
    """What a key may at most; one that is not live half, and never nothing of something."""
    if live:
        return plan.rates
    return RateLimits(*(each and max(each // NOT_LIVE_DIVISOR, 1) for each in plan.rates))


def rates_of_call(plan: Plan, *, live: bool) -> tuple[tuple[LimitScope, RateLimits], ...]:
    """The scopes of a call's user that are counted, with their limits; none without limits.

    What a key of another environment uses counts on the whole plan too.
    """
    if plan.rates.empty:
        return ()
    whole = (LimitScope.PLAN, plan.rates)
    return (whole,) if live else (whole, (LimitScope.PLAN_NOT_LIVE, rates_of(plan, live=False)))
