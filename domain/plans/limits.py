"""Which quotas a plan comes to: by day and month, on two scopes of the user that has it.

One scope binds every call of the user's own account, the other only those of keys that are not
live, by half. A call names the scopes of the plan that is in force as it is made, so a plan that
has ended binds nothing, and what binds who has no plan has scopes of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID, uuid5

from domain.plans.catalog import LIVE_DAILY_TOKENS_MIN, NOT_LIVE_DIVISOR
from domain.quotas.orders import QuotaTarget
from domain.quotas.terms import ScopeKind, Unit
from domain.quotas.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domain.plans.catalog import Plan

SPACE = UUID("3f1a2f4e-9e0b-4a53-8d0f-5b7c2f6a9d11")


class Allowed(NamedTuple):
    """What a key may use; None is without a limit."""

    daily_requests: int | None
    monthly_requests: int | None
    daily_tokens: int | None
    monthly_tokens: int | None


PLACES: tuple[tuple[Unit, Window], ...] = (
    (Unit.REQUESTS, Window.DAY),
    (Unit.REQUESTS, Window.MONTH),
    (Unit.TOKENS, Window.DAY),
    (Unit.TOKENS, Window.MONTH),
)
"""Unit and window of each member of `Allowed`, in their order."""


def allowed(plan: Plan, *, live: bool) -> Allowed:
    """What a plan allows keys that are live, or the others: half, and never nothing of something.

    Of tokens a day a live key may use LIVE_DAILY_TOKENS_MIN at least.
    """
    whole = Allowed(
        plan.daily_requests, plan.monthly_requests, plan.daily_tokens, plan.monthly_tokens
    )
    if not live:
        return Allowed(*(each and max(each // NOT_LIVE_DIVISOR, 1) for each in whole))
    if whole.daily_tokens is None:
        return whole
    return whole._replace(daily_tokens=max(whole.daily_tokens, LIVE_DAILY_TOKENS_MIN))


def scope_of(user_id: UUID, *, planned: bool, live: bool) -> UUID:
    """The scope of a user's plan, or of having none."""
    return uuid5(
        SPACE, f"{user_id} {'plan' if planned else 'no plan'} {'' if live else 'not live'}"
    )


def scopes_of_call(user_id: UUID, *, planned: bool, live: bool) -> bytes:
    """The ids of the scopes that a call names, one behind the other.

    What a key of another environment uses counts on the whole plan too.
    """
    whole = scope_of(user_id, planned=planned, live=True)
    return (
        whole.bytes if live else whole.bytes + scope_of(user_id, planned=planned, live=False).bytes
    )


def quotas_of(
    plan: Plan, user_id: UUID, account_id: UUID, *, planned: bool = True
) -> Iterator[tuple[QuotaTarget, int | None]]:
    """Every quota that a plan could have, and its limit; None where this plan has none."""
    for live in (True, False):
        scope = scope_of(user_id, planned=planned, live=live)
        for (unit, window), limit in zip(PLACES, allowed(plan, live=live), strict=True):
            target = QuotaTarget(
                account_id=str(account_id),
                scope_kind=ScopeKind.PLAN,
                scope_id=str(scope),
                unit=unit,
                window=window,
            )
            yield target, limit
