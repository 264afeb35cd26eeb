"""Coupons and their uses in the shapes that clients know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.coupons.terms import CouponScope
from edge.replies import usd
from event_store.beside.coupons import (
    available_coupons,
    coupon_of_id,
    read_coupons,
    read_overview,
    totals_of,
    uses_of,
)
from event_store.ids import to_iso
from projections.all import projection_named
from projections.engine.freshness import await_own_writes
from projections.engine.projection import select_on
from projections.money.grant_balances import read_grant_balances

if TYPE_CHECKING:
    from uuid import UUID

    from event_store.beside.coupons import StoredCoupon, Use
    from event_store.postgres.database import Connects

AVAILABLE_MAX = 100
"""Most coupons that a user is offered at once."""
STATEMENT = projection_named("credit_statement")


def told_coupon(stored: StoredCoupon) -> dict[str, Any]:
    """A coupon as admins see it."""
    state = stored.state
    made_by = stored.created_by
    return {
        "id": str(state.id),
        "code": state.code,
        "value_usd": usd(state.value_nano_usd),
        "coupon_scope": state.scope,
        "coupon_type": state.kind,
        "max_uses": state.max_uses,
        "times_used": state.times_used,
        "valid_from": state.valid_from,
        "valid_until": state.valid_until,
        "is_active": state.active,
        "created_at": to_iso(stored.created_at),
        "assigned_to_user_id": state.assigned_to_user_id,
        "created_by": None if made_by is None else str(made_by),
        "created_by_type": "operator" if made_by is None else "admin",
        "description": state.description,
    }


def available(database: Connects, user_id: UUID) -> list[dict[str, Any]]:
    """What a user could redeem now."""
    with database.connect() as connection:
        found = available_coupons(connection, user_id, AVAILABLE_MAX)
    return [
        {
            "coupon_id": str(each.state.id),
            "code": each.state.code,
            "value_usd": usd(each.state.value_nano_usd),
            "coupon_scope": each.state.scope,
            "coupon_type": each.state.kind,
            "description": each.state.description,
            "valid_until": each.state.valid_until,
            "remaining_uses": each.state.remaining,
        }
        for each in found
    ]


def history(database: Connects, user_id: UUID, limit: int, *, wait_s: float) -> dict[str, Any]:
    """What a user has redeemed, newest first, with the balances of the statement.

    Raises ProjectionLaggingError.
    """
    with database.connect() as connection:
        uses = uses_of(connection, user_id, limit)
        count, value = totals_of(connection, user_id)
        await_own_writes(connection, STATEMENT, wait_s)
        lots = [each.lot_id for each in uses]
        accounts = {each.account_id for each in uses}
        balances = {
            account: read_grant_balances(connection, select_on(connection), account, lots)
            for account in accounts
        }
    return {
        "redemptions": [_use(each, balances[each.account_id].get(each.lot_id)) for each in uses],
        "total_redemptions": count,
        "total_value_redeemed": usd(value),
    }


def page_of_coupons(
    database: Connects,
    scope: str | None,
    kind: str | None,
    active: bool | None,  # noqa: FBT001 - handed on by a lane, in its place.
    limit: int,
    offset: int,
) -> dict[str, Any]:
    """A page of coupons, newest first."""
    with database.connect() as connection:
        found, total = read_coupons(
            connection, scope=scope, kind=kind, active=active, limit=limit, offset=offset
        )
    coupons = [told_coupon(each) for each in found]
    return {"coupons": coupons, "total": total, "offset": offset, "limit": limit}


def one_coupon(database: Connects, coupon_id: UUID) -> dict[str, Any] | None:
    """A coupon, if there is one of this id."""
    with database.connect() as connection:
        found = coupon_of_id(connection, coupon_id)
    return None if found is None else told_coupon(found)


def analytics(database: Connects, coupon_id: UUID) -> dict[str, Any] | None:
    """How a coupon is used, if there is one of this id."""
    with database.connect() as connection:
        found = coupon_of_id(connection, coupon_id)
    if found is None:
        return None
    state = found.state
    return {
        "coupon": told_coupon(found),
        "total_redemptions": state.times_used,
        "unique_users": state.times_used,
        "total_value_distributed": usd(state.times_used * state.value_nano_usd),
        "redemption_rate": round(100 * state.times_used / state.max_uses, 2),
        "remaining_uses": state.remaining,
        "is_expired": found.now >= state.valid_until,
    }


def overview(database: Connects) -> dict[str, Any]:
    """All coupons counted."""
    with database.connect() as connection:
        found = read_overview(connection)
    return {
        "total_coupons": found.total,
        "active_coupons": found.active,
        f"{CouponScope.USER_SPECIFIC}_coupons": found.user_specific,
        f"{CouponScope.GLOBAL}_coupons": found.everybodys,
        "total_redemptions": found.uses,
        "unique_redeemers": found.users,
        "total_value_distributed": usd(found.value),
        "average_redemption_value": usd(found.value // max(found.uses, 1)),
    }


def _use(use: Use, balances: tuple[int, int] | None) -> dict[str, Any]:
    before, after = balances or (None, None)
    return {
        "id": use.position,
        "coupon_id": str(use.coupon_id),
        "coupon_code": use.code,
        "coupon_scope": use.scope,
        "coupon_type": use.kind,
        "value_applied": usd(use.value),
        "redeemed_at": to_iso(use.redeemed_at),
        "user_balance_before": None if before is None else usd(before),
        "user_balance_after": None if after is None else usd(after),
    }
