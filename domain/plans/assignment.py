"""The plan of one user: events evolve state, commands decide events."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID, uuid5

from domain.errors import InvalidCommandError
from domain.events.offers.plans import PlanAssigned, PlanEnded
from domain.plans.limits import SPACE
from domain.quotas.orders import remove_quota, set_quota

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from domain.events.base import By, Event, Stamp
    from domain.plans.catalog import Plan
    from domain.quotas.orders import QuotaState, QuotaTarget

MONTHS_MAX = 120
"""Longest that a plan is assigned for, in months, where it has an end."""
MONTHS = 12
FEBRUARY = 2
SHORT = frozenset({4, 6, 9, 11})


class UserPlan(NamedTuple):
    """What a user has; no `plan` where none was ever assigned, or it was ended."""

    version: int = 0
    plan: str | None = None
    expires_at: str | None = None

    def in_force(self, instant: str) -> bool:
        """Whether it counts; it stops at its instant."""
        return self.plan is not None and (self.expires_at is None or self.expires_at > instant)


class Owner(NamedTuple):
    """A user, and the account that is their own."""

    user_id: UUID
    account_id: UUID

    @property
    def stream(self) -> UUID:
        """The stream of the user's plan."""
        return uuid5(SPACE, f"{self.user_id}")


def replay_plan(events: Iterable[Event]) -> UserPlan:
    """The state after all events of a user's plan."""
    state = UserPlan()
    for event in events:
        if isinstance(event, PlanAssigned):
            state = UserPlan(event.originator_version, event.plan, event.expires_at)
        else:
            state = UserPlan(event.originator_version)
    return state


def assign_plan(
    state: UserPlan, owner: Owner, plan: Plan, ends: str | None, by: By, stamp: Stamp
) -> PlanAssigned:
    """Put a user on a plan, from now on; the same one again begins anew."""
    return PlanAssigned(
        originator_id=owner.stream,
        originator_version=state.version + 1,
        **stamp,
        user_id=str(owner.user_id),
        account_id=str(owner.account_id),
        **by.told(),
        plan=plan.name,
        expires_at=ends,
    )


def end_plan(state: UserPlan, owner: Owner, by: By, stamp: Stamp) -> PlanEnded:
    """Take a user's plan away. Raises InvalidCommandError where there is none."""
    if state.plan is None:
        message = "the user has no plan"
        raise InvalidCommandError(message)
    return PlanEnded(
        originator_id=owner.stream,
        originator_version=state.version + 1,
        **stamp,
        user_id=str(owner.user_id),
        account_id=str(owner.account_id),
        **by.told(),
        plan=state.plan,
    )


def limit_quotas(
    wanted: Iterable[tuple[QuotaTarget, int | None]],
    states: Callable[[QuotaTarget], QuotaState],
    stamp: Callable[[], Stamp],
) -> list[Event]:
    """Set the quotas that a plan has, and remove those that another one had."""
    events: list[Event] = []
    for target, limit in wanted:
        state = states(target)
        if limit is not None:
            events += set_quota(state, target, limit, state.zone, stamp())
        elif state.limit is not None:
            events += remove_quota(state, target, stamp())
    return events


def end_after(instant: str, months: int) -> str:
    """The same time of the day so many months later; a day that its month lacks is its last.

    Raises InvalidCommandError for what no plan is assigned for.
    """
    if not 1 <= months <= MONTHS_MAX:
        message = f"a plan is assigned for 1 to {MONTHS_MAX} months, or without an end"
        raise InvalidCommandError(message)
    year, month = divmod(int(instant[:4]) * MONTHS + int(instant[5:7]) - 1 + months, MONTHS)
    month += 1
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    last = 28 + leap if month == FEBRUARY else 30 if month in SHORT else 31
    return f"{year:04}-{month:02}-{min(int(instant[8:10]), last):02}{instant[10:]}"
