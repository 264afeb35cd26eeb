"""Bodies of the routes. Amounts may be a number or a text; both are read exactly."""

from __future__ import annotations

from typing import Annotated

import msgspec

from domain.coupons.coupon import Changes, NewCoupon
from domain.coupons.terms import CouponKind, CouponScope  # noqa: TC001 - msgspec reads annotations.
from edge.body import amount_of
from edge.replies import instant_of
from event_store.ids import now_iso, to_iso

BODY_BYTES_MAX = 16_384
TEXT_MAX = 1_000
"""Of any text; the domain's own maxima are lower, and say what they are."""
Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]


def _instant(name: str, text: str) -> str:
    found = instant_of(name, text)
    assert found is not None
    return to_iso(found)


class Redeem(msgspec.Struct, frozen=True):
    """POST /coupons/redeem."""

    code: Text


class CreateCoupon(msgspec.Struct, frozen=True):
    """POST /admin/coupons."""

    code: Text
    value_usd: msgspec.Raw
    coupon_scope: CouponScope
    max_uses: int
    valid_until: Text
    coupon_type: CouponKind
    assigned_to_user_id: Text | None = None
    description: Text | None = None
    valid_from: Text | None = None

    @property
    def wanted(self) -> NewCoupon:
        """As the domain has it; raises ApiError 400."""
        begins = self.valid_from
        return NewCoupon(
            code=self.code,
            value_nano_usd=amount_of(bytes(self.value_usd), "value_usd"),
            scope=self.coupon_scope,
            kind=self.coupon_type,
            max_uses=self.max_uses,
            valid_from=now_iso() if begins is None else _instant("valid_from", begins),
            valid_until=_instant("valid_until", self.valid_until),
            assigned_to_user_id=self.assigned_to_user_id,
            description=self.description or "",
        )


class ChangeCoupon(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PATCH /admin/coupons/{id}; what is absent stays. Worth, scope and code never change."""

    valid_until: Text | None = None
    max_uses: int | None = None
    is_active: bool | None = None
    description: Text | None = None

    @property
    def wanted(self) -> Changes:
        """As the domain has it; raises ApiError 400."""
        ends = self.valid_until
        return Changes(
            valid_until=None if ends is None else _instant("valid_until", ends),
            max_uses=self.max_uses,
            is_active=self.is_active,
            description=self.description,
        )


decode_redeem = msgspec.json.Decoder(Redeem).decode
decode_create = msgspec.json.Decoder(CreateCoupon).decode
decode_change = msgspec.json.Decoder(ChangeCoupon).decode
