"""Events of coupons. Each coupon is a stream, so that what is left of it is decided there alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class CouponEvent(Event):
    """An act on a coupon.

    `by_user_id` is the user who did it, None for an operator at a shell; `origin` stands for the
    address that the request came from (a keyed hash), empty for none.
    """

    CATEGORY = "coupon"

    by_user_id: str | None = None
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class CouponCreated(CouponEvent):
    """Whoever shows the code within its time is given so much, in nano-USD, once.

    It counts from `valid_from` on, and no more at `valid_until`. `assigned_to_user_id` is the only
    user who may redeem it, None where everybody may.
    """

    TOPIC = "coupon.created.v1"

    code: str
    value_nano_usd: int
    scope: str
    kind: str
    max_uses: int
    valid_from: str
    valid_until: str
    assigned_to_user_id: str | None = None
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class CouponChanged(CouponEvent):
    """These members of the coupon are others from now on; both hold the same names."""

    TOPIC = "coupon.changed.v1"

    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class CouponDeactivated(CouponEvent):
    """Nobody can redeem it, until it is made active again."""

    TOPIC = "coupon.deactivated.v1"


@dataclass(frozen=True, kw_only=True)
class CouponRedeemed(CouponEvent):
    """A user has used it: one use less is left, and `account_id` is granted the lot `lot_id`.

    The grant is an entry of its own. Its lot is named here, so that whatever ends between the two,
    the grant is made afterwards, and made once.
    """

    TOPIC = "coupon.redeemed.v1"

    user_id: str
    account_id: str
    lot_id: str
    value_nano_usd: int
