"""Redeeming: every reason for which a coupon is refused, in the order in which they are looked at.

The codes are those of the clients' contract. A coupon stops counting at its instant, as a lot does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.coupons.coupon import lot_of
from domain.errors import DomainError
from domain.events.offers.coupons import CouponRedeemed

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from domain.coupons.coupon import Coupon
    from domain.events.base import By, Stamp


class RedemptionError(DomainError):
    """The coupon is not redeemed; `code` says why."""

    code = "VALIDATION_FAILED"

    def __init__(self, code: str, message: str) -> None:
        """One of the contract's codes."""
        super().__init__(message)
        self.code = code


NOT_FOUND = "there is no coupon with this code"
RULES: tuple[tuple[str, Callable[[Coupon, str, str], bool], str], ...] = (
    (
        "COUPON_NOT_ASSIGNED",
        lambda coupon, user, _: coupon.assigned_to_user_id not in {None, user},
        "this coupon is for somebody else",
    ),
    (
        "ALREADY_REDEEMED",
        lambda coupon, user, _: user in coupon.redeemed_by,
        "you have redeemed this coupon already",
    ),
    (
        "COUPON_INACTIVE",
        lambda coupon, *_: not coupon.active,
        "this coupon is not active",
    ),
    (
        "COUPON_NOT_YET_ACTIVE",
        lambda coupon, _, instant: instant < coupon.valid_from,
        "this coupon does not count yet",
    ),
    (
        "COUPON_EXPIRED",
        lambda coupon, _, instant: instant >= coupon.valid_until,
        "this coupon has expired",
    ),
    (
        "MAX_USES_EXCEEDED",
        lambda coupon, *_: not coupon.remaining,
        "all uses of this coupon are taken",
    ),
)
"""The code, whether it applies to a coupon, a user and an instant, and what is said."""


def redeem_coupon(
    state: Coupon | None, user_id: str, account_id: UUID, instant: str, by: By, stamp: Stamp
) -> CouponRedeemed:
    """One use for a user, to be granted to their account. Raises RedemptionError."""
    if state is None:
        raise RedemptionError("COUPON_NOT_FOUND", NOT_FOUND)
    for code, applies, message in RULES:
        if applies(state, user_id, instant):
            raise RedemptionError(code, message)
    return CouponRedeemed(
        **state.next(by, stamp),
        user_id=user_id,
        account_id=str(account_id),
        lot_id=str(lot_of(state.id, account_id)),
        value_nano_usd=state.value_nano_usd,
    )
