"""All coupons and their uses, folded from the log: what the inline state has to hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from domain.coupons.coupon import evolve_coupon
from domain.events.offers.coupons import CouponEvent, CouponRedeemed

if TYPE_CHECKING:
    from domain.coupons.coupon import Coupon
    from domain.events.base import Event


@dataclass(slots=True)
class AllCoupons:
    """Every coupon by its id; every use by coupon and user: account, lot and nano-USD."""

    coupons: dict[str, Coupon] = field(default_factory=dict)
    uses: dict[tuple[str, str], tuple[str, str, int]] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Take in the next event of the log; most are about something else."""
        if not isinstance(event, CouponEvent):
            return
        stream = str(event.originator_id)
        state = evolve_coupon(self.coupons.get(stream), event)
        if state is not None:
            self.coupons[stream] = state
        if isinstance(event, CouponRedeemed):
            use = event.account_id, event.lot_id, event.value_nano_usd
            self.uses[stream, event.user_id] = use
