"""Coupons for tests: a life as events alone, and what an admin makes over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.coupons.coupon import Changes, NewCoupon, change_coupon, create_coupon
from domain.coupons.coupon import replay_coupon as replay
from domain.coupons.redemption import redeem_coupon
from domain.coupons.terms import CouponKind, CouponScope
from domain.events.base import By
from event_store.ids import new_envelope, new_uuid7, now_iso, to_iso
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    import httpx

    from command_api.identity.users import NewUser
    from domain.events.base import Event
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

BY = By(None, "origin-0011")


def tell_coupons(database: Database, user_id: str, account_id: str) -> None:
    """One from its making to its end, redeemed once."""
    now, coupon = now_iso(), new_uuid7()
    wanted = NewCoupon(
        code=f"LIFE-{coupon.hex.upper()}",
        value_nano_usd=5,
        scope=CouponScope.GLOBAL,
        kind=CouponKind.PARTNERSHIP,
        max_uses=3,
        valid_from=now,
        valid_until=to_iso(datetime.now(UTC) + timedelta(days=1)),
    )
    stamp = new_envelope("operator:cli")
    told: list[Event] = [create_coupon(coupon, wanted, now, BY, stamp)]
    state = replay(told)
    stamp = new_envelope(f"user:{user_id}")
    told.append(redeem_coupon(state, user_id, UUID(account_id), now, BY, stamp))
    state = replay(told)
    assert state is not None
    changes = Changes(max_uses=2, is_active=False, description="over")
    stamps = new_envelope("operator:cli"), new_envelope("operator:cli")
    told += change_coupon(state, changes, now, BY, stamps)
    aggregates = Aggregates(database)
    try:
        aggregates.append(told)
    finally:
        aggregates.close()


def wanted(**more: Any) -> dict[str, Any]:
    """What makes a coupon of 5 USD for everybody, with other members on top."""
    return {
        "code": f"T-{new_uuid7().hex}",
        "value_usd": 5,
        "coupon_scope": "global",
        "max_uses": 10,
        "valid_until": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
        "coupon_type": "promotional",
        **more,
    }


def new_coupon(gateway: RunningGateway, admin: NewUser, **more: Any) -> dict[str, Any]:
    """A coupon that an admin made."""
    with gateway.client(admin) as client:
        got = client.post("/admin/coupons", json=wanted(**more))
    assert got.status_code == 200, got.text
    made: dict[str, Any] = got.json()
    return made


def redeem(gateway: RunningGateway, user: NewUser, code: str) -> httpx.Response:
    """What a code gets."""
    with gateway.client(user) as client:
        return client.post("/coupons/redeem", json={"code": code})
