"""Plans in the shapes that clients know."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from domain.plans.catalog import NO_PLAN, PLANS, Plan
from domain.plans.limits import PLACES, Allowed, allowed, scope_of
from domain.plans.rates import rates_of
from edge.replies import usd
from event_store.beside.plans import read_plan
from event_store.beside.quotas import read_quotas
from event_store.ids import to_iso
from projections.all import projection_named
from projections.engine.freshness import await_own_writes
from projections.engine.projection import select_on
from projections.usage.usage_by_hour import read_account_use

if TYPE_CHECKING:
    from edge.caller import Caller
    from event_store.beside.plans import PlanNow
    from event_store.postgres.database import Connects

NAMES = tuple(
    f"{place}_limit"
    for place in ("daily_request", "monthly_request", "daily_token", "monthly_token")
)
"""The four limits as clients know them, in the order of `Allowed`."""
USAGE = projection_named("usage_by_hour")
UNLIMITED = Allowed(None, None, None, None)


def told_plan(plan: Plan) -> dict[str, Any]:
    """A plan that there is; limits are those of live keys, null is none."""
    monthly, yearly = plan.price_per_month, plan.yearly_price
    return {
        "id": plan.number,
        "name": plan.name,
        "description": plan.description,
        "plan_type": plan.name,
        **dict(zip(NAMES, allowed(plan, live=True), strict=True)),
        "price_per_month": None if monthly is None else usd(monthly),
        "yearly_price": None if yearly is None else usd(yearly),
        "price_per_token": None,
        "is_pay_as_you_go": monthly is None,
        "max_concurrent_requests": plan.rates.concurrency,
        "rate_limits": plan.rates._asdict(),
        "features": list(plan.features),
        "is_active": True,
    }


class Own(NamedTuple):
    """What a caller has: the plan in force, else one that is over, and what binds the key."""

    now: PlanNow | None
    plan: Plan | None
    limits: Allowed

    @property
    def in_force(self) -> bool:
        """Whether the plan counts."""
        return self.plan is not None


def own_plan(database: Connects, caller: Caller, *, planless: bool) -> Own:
    """The caller's plan, and the limits of the caller's key.

    With `planless` who has no plan may be limited too.
    """
    with database.connect() as connection:
        now = read_plan(connection, UUID(caller.user_id))
        if now is not None and not now.over:
            plan = PLANS[now.plan]
            return Own(now, plan, allowed(plan, live=caller.live))
        scope = scope_of(UUID(caller.user_id), planned=False, live=True)
        bound = planless and any(
            each.scope_id == scope for each in read_quotas(connection, UUID(caller.account_id), [])
        )
    return Own(now, None, allowed(NO_PLAN, live=caller.live) if bound else UNLIMITED)


def told_own(own: Own) -> dict[str, Any] | None:
    """The plan of a user, also one that is over; None where there is none."""
    if own.now is None:
        return None
    plan = PLANS[own.now.plan]
    ends = own.now.expires_at
    return {
        "user_plan_id": own.now.position,
        "user_id": str(own.now.user_id),
        "plan_id": plan.number,
        "plan_name": plan.name,
        "plan_description": plan.description,
        **dict(zip(NAMES, own.limits, strict=True)),
        "price_per_month": None if plan.price_per_month is None else usd(plan.price_per_month),
        "features": list(plan.features),
        "start_date": to_iso(own.now.starts_at),
        "end_date": ends and to_iso(ends),
        "is_active": own.in_force,
    }


def read_usage(
    database: Connects, caller: Caller, *, planless: bool, wait_s: float
) -> dict[str, Any]:
    """What the caller used today and this month (UTC), and what is left.

    Of a plan it is what the append counts. Raises ProjectionLaggingError where nothing counts.
    """
    own = own_plan(database, caller, planless=planless)
    user, account = UUID(caller.user_id), UUID(caller.account_id)
    scope = scope_of(user, planned=own.in_force, live=caller.live)
    with database.connect() as connection:
        counted = {
            (each.unit, each.window): each.used + each.held + each.overrun
            for each in read_quotas(connection, account, [])
            if each.scope_id == scope
        }
        if own.limits == UNLIMITED:
            await_own_writes(connection, USAGE, wait_s)
            day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
            found = read_account_use(
                select_on(connection), account, day=day, month=day.replace(day=1)
            )
            used = [
                *(found.day.requests, found.month.requests),
                *(found.day.tokens, found.month.tokens),
            ]
        else:
            used = [counted.get(place, 0) for place in PLACES]
    left = [
        None if limit is None else max(limit - use, 0)
        for limit, use in zip(own.limits, used, strict=True)
    ]
    return {
        "plan_name": own.plan.name if own.plan else None,
        "usage": _named(used),
        "limits": _named(own.limits),
        "remaining": _named(left),
        "at_limit": 0 in left,
    }


def read_entitlements(
    database: Connects, caller: Caller, feature: str | None, *, planless: bool
) -> dict[str, Any]:
    """What the caller may: the limits of the key, and the features of the plan."""
    own = own_plan(database, caller, planless=planless)
    plan = own.plan or NO_PLAN
    rates = rates_of(plan, live=caller.live)
    ends = own.now.expires_at if own.now else None
    return {
        "has_plan": own.in_force,
        "plan_name": own.plan.name if own.plan else None,
        **dict(zip(NAMES, own.limits, strict=True)),
        "max_concurrent_requests": rates.concurrency,
        "rate_limits": rates._asdict(),
        "features": list(plan.features),
        "can_access_feature": feature is None or feature in plan.features,
        "plan_expires": ends and to_iso(ends),
        "plan_expired": own.now is not None and not own.in_force,
    }


def _named(values: Any) -> dict[str, Any]:
    names = ("daily_requests", "monthly_requests", "daily_tokens", "monthly_tokens")
    return dict(zip(names, values, strict=True))
