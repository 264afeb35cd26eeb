"""One coupon: events evolve state, commands decide events.

All its uses stand in one stream, so whoever decides late is refused by its version: of the last use
and a hundred who ask at once, one gets it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from domain.coupons.terms import (
    CouponKind,
    CouponScope,
    InvalidCouponError,
    check_code,
    check_description,
    check_uses,
    check_value,
)
from domain.events.offers.coupons import (
    CouponChanged,
    CouponCreated,
    CouponDeactivated,
    CouponRedeemed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain.events.base import By, Event, Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCoupon:
    """What an operator asks for; amounts in nano-USD, instants as events write them."""

    code: str
    value_nano_usd: int
    scope: CouponScope
    kind: CouponKind
    max_uses: int
    valid_from: str
    valid_until: str
    assigned_to_user_id: str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be another; None stays as it is."""

    valid_until: str | None = None
    max_uses: int | None = None
    is_active: bool | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupon:
    """State of one coupon; `redeemed_by` are those who did, as far as it was asked."""

    id: UUID
    version: int
    code: str
    value_nano_usd: int
    scope: str
    kind: str
    max_uses: int
    valid_from: str
    valid_until: str
    assigned_to_user_id: str | None = None
    description: str = ""
    active: bool = True
    times_used: int = 0
    redeemed_by: frozenset[str] = frozenset()

    @property
    def remaining(self) -> int:
        """Uses that are left."""
        return max(self.max_uses - self.times_used, 0)

    def next(self, by: By, stamp: Stamp, after: int = 0) -> dict[str, Any]:
        """What its next event carries in any case, or the one `after` so many more."""
        return {
            "originator_id": self.id,
            "originator_version": self.version + 1 + after,
            **stamp,
            **by.named(),
        }


def evolve_coupon(state: Coupon | None, event: Event) -> Coupon | None:
    """The next state of a coupon."""
    match event:
        case CouponCreated():
            return Coupon(
                id=event.originator_id,
                version=event.originator_version,
                code=event.code,
                value_nano_usd=event.value_nano_usd,
                scope=event.scope,
                kind=event.kind,
                max_uses=event.max_uses,
                valid_from=event.valid_from,
                valid_until=event.valid_until,
                assigned_to_user_id=event.assigned_to_user_id,
                description=event.description,
            )
        case CouponChanged() if state:
            return replace(state, version=event.originator_version, **event.after)
        case CouponDeactivated() if state:
            return replace(state, version=event.originator_version, active=False)
        case CouponRedeemed() if state:
            return replace(
                state,
                version=event.originator_version,
                times_used=state.times_used + 1,
                redeemed_by=state.redeemed_by | {event.user_id},
            )
        case _:
            return state


def replay_coupon(events: Iterable[Event]) -> Coupon | None:
    """A coupon's state after its events."""
    state: Coupon | None = None
    for event in events:
        state = evolve_coupon(state, event)
    return state


def create_coupon(
    coupon_id: UUID, wanted: NewCoupon, instant: str, by: By, stamp: Stamp
) -> CouponCreated:
    """A new coupon; raises InvalidCouponError for what none can be."""
    check_value(wanted.value_nano_usd)
    check_uses(wanted.max_uses, wanted.scope)
    _check_time(wanted.valid_from, wanted.valid_until, instant)
    if (wanted.scope is CouponScope.USER_SPECIFIC) != (wanted.assigned_to_user_id is not None):
        message = "a user_specific coupon names assigned_to_user_id, and no other does"
        raise InvalidCouponError(message)
    return CouponCreated(
        originator_id=coupon_id,
        originator_version=1,
        **stamp,
        **by.named(),
        code=check_code(wanted.code),
        value_nano_usd=wanted.value_nano_usd,
        scope=wanted.scope,
        kind=wanted.kind,
        max_uses=wanted.max_uses,
        valid_from=wanted.valid_from,
        valid_until=wanted.valid_until,
        assigned_to_user_id=wanted.assigned_to_user_id,
        description=check_description(wanted.description),
    )


def change_coupon(
    state: Coupon, wanted: Changes, instant: str, by: By, stamps: tuple[Stamp, Stamp]
) -> list[CouponChanged | CouponDeactivated]:
    """Change what is given; the same again changes nothing. Raises InvalidCouponError."""
    after: dict[str, Any] = {}
    if wanted.valid_until is not None:
        _check_time(state.valid_from, wanted.valid_until, instant)
        after["valid_until"] = wanted.valid_until
    if wanted.max_uses is not None:
        check_uses(wanted.max_uses, CouponScope(state.scope))
        if wanted.max_uses < state.times_used:
            message = f"the coupon was used {state.times_used} times: max_uses cannot be less"
            raise InvalidCouponError(message)
        after["max_uses"] = wanted.max_uses
    if wanted.description is not None:
        after["description"] = check_description(wanted.description)
    if wanted.is_active:
        after["active"] = True
    after = {name: value for name, value in after.items() if getattr(state, name) != value}
    events: list[CouponChanged | CouponDeactivated] = []
    if after:
        before = {name: getattr(state, name) for name in after}
        events.append(CouponChanged(**state.next(by, stamps[0]), before=before, after=after))
    if wanted.is_active is False and state.active:
        events.append(CouponDeactivated(**state.next(by, stamps[1], after=len(events))))
    return events


def lot_of(coupon_id: UUID, account_id: UUID) -> UUID:
    """The lot that a coupon gives an account: always the same, so that it is given once."""
    return uuid5(account_id, f"grant {grant_key(coupon_id)}")


def grant_key(coupon_id: UUID) -> str:
    """The idempotency key of the grant, within its account."""
    return f"coupon {coupon_id}"


def _check_time(begins: str, ends: str, instant: str) -> None:
    if ends <= begins:
        message = "valid_until lies behind valid_from"
        raise InvalidCouponError(message)
    if ends <= instant:
        message = "valid_until lies in the future: to end a coupon now, deactivate it"
        raise InvalidCouponError(message)
