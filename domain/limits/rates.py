"""What can be limited, the named plans, and who may set what.

A key has limits by the operator and by its owner; a user, an organisation and the system by the
operator; of two that meet, the lower binds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from domain.errors import InvalidCommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMIT_MAX = 1_000_000_000_000
"""The highest limit of requests and tokens: whatever is summed up to it, a double holds exactly."""
BURST_MAX = 1_000_000_000
CONCURRENCY_MAX = 100_000
SYSTEM_ID = "00000000-0000-0000-0000-000000000000"


class LimitScope(StrEnum):
    """Whose requests are counted together."""

    KEY = "key"
    USER = "user"
    ORGANISATION = "organisation"
    """Of the keys of its projects."""
    SYSTEM = "system"
    PLAN = "plan"
    """Of all keys that a user with a plan pays for himself; the plan alone sets it."""
    PLAN_NOT_LIVE = "plan_not_live"
    """Of those of them that are not live."""


OF_PLANS = frozenset({LimitScope.PLAN, LimitScope.PLAN_NOT_LIVE})
"""Scopes whose limits nobody sets: the table of plans has them."""


class SetBy(StrEnum):
    """Who set a limit."""

    OPERATOR = "operator"
    OWNER = "owner"


class RateLimits(NamedTuple):
    """Limits of one scope; None where there is none, 0 admits nothing."""

    requests_per_minute: int | None = None
    requests_per_hour: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_hour: int | None = None
    tokens_per_day: int | None = None
    burst: int | None = None
    """Requests at once, of which a sixtieth comes back each second."""
    concurrency: int | None = None
    """Calls under way."""

    @property
    def empty(self) -> bool:
        """Whether nothing is limited."""
        return self == NO_LIMITS

    def given(self) -> dict[str, int]:
        """Those that are set, by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}


NO_LIMITS = RateLimits()
FIELDS = RateLimits._fields
SIX = FIELDS[:6]
"""Requests and tokens by window, which clients of the routes name."""

PLANS: Mapping[str, RateLimits] = {
    "default": RateLimits(250, 1_000, 10_000, 10_000, 100_000, 1_000_000, 500, 50),
    "premium": RateLimits(300, 5_000, 50_000, 50_000, 500_000, 5_000_000, 50, 20),
    "enterprise": RateLimits(1_000, 20_000, 200_000, 200_000, 2_000_000, 20_000_000, 100, 50),
}
"""Presets that a user can be put on."""


def check_limits(limits: Mapping[str, int], plan: str | None = None) -> RateLimits:
    """The limits by name, which must be some. Raises InvalidCommandError for what cannot be."""
    if plan is not None and plan not in PLANS:
        message = f"there is no plan {plan!r}: there are {', '.join(PLANS)}"
        raise InvalidCommandError(message)
    for name, value in limits.items():
        if name not in FIELDS:
            message = f"{name!r} cannot be limited: {', '.join(FIELDS)} can"
            raise InvalidCommandError(message)
        most = {"burst": BURST_MAX, "concurrency": CONCURRENCY_MAX}.get(name, LIMIT_MAX)
        if not 0 <= value <= most:
            message = f"{name} must be between 0, which admits nothing, and {most}"
            raise InvalidCommandError(message)
    if not limits and plan is None:
        message = f"name at least one limit: {', '.join(FIELDS)}"
        raise InvalidCommandError(message)
    return RateLimits(**limits)


def tightest(one: RateLimits, other: RateLimits) -> RateLimits:
    """Of each limit the lower, where both are set."""
    return RateLimits(
        *(
            mine if yours is None else yours if mine is None else min(mine, yours)
            for mine, yours in zip(one, other, strict=True)
        )
    )


def with_plan(limits: RateLimits, plan: str | None) -> RateLimits:
    """A user's limits: his own, never above his plan's, which fill what is left open."""
    return limits if plan is None else tightest(limits, PLANS[plan])


def above(wanted: RateLimits, ceiling: RateLimits) -> dict[str, int]:
    """The ceilings that wanted limits exceed, by name; a user may not set those for himself."""
    return {
        name: most
        for name, most in ceiling.given().items()
        if (asked := getattr(wanted, name)) is not None and asked > most
    }


def part_of(limit: int, processes: int) -> int:
    """What each of so many processes may admit of a limit by itself: never nothing of something."""
    return max(1, limit // processes) if limit else 0


def share_of(limits: RateLimits, processes: int) -> RateLimits:
    """The same of all limits."""
    if processes <= 1:
        return limits
    return RateLimits(*(None if each is None else part_of(each, processes) for each in limits))
