"""One user's code and all that came by it: events evolve the state.

Its uses stand in one stream, so whoever decides late is refused by its version.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from domain.events.offers.referrals import (
    ReferralClaimed,
    ReferralCodeMade,
    ReferralCompleted,
    ReferralPurchaseRefunded,
    ReferralRefused,
    ReferralTakenBack,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from domain.events.base import Event, Stamp


class ReferralState(StrEnum):
    """How far a referral is."""

    PENDING = "pending"
    COMPLETED = "completed"
    REFUSED = "refused"
    TAKEN_BACK = "taken_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Referral:
    """One referee's; `completed` is what it was completed by, `taken_back_by` a refund's debit.

    `refunds` are what was taken back of the referee's purchases: payment and nano-USD, by debit.
    """

    origin: str = ""
    state: ReferralState = ReferralState.PENDING
    completed: ReferralCompleted | None = None
    taken_back_by: str = ""
    refunds: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def refunded(self, payment_id: str) -> int:
        """What was taken back of a purchase, nano-USD."""
        return sum(amount for of, amount in self.refunds.values() if of == payment_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferralCode:
    """State of one user's code, with its referrals by the referee."""

    id: UUID
    version: int
    user_id: str
    code: str
    origin: str = ""
    referrals: Mapping[str, Referral] = field(default_factory=dict)

    def next(self, stamp: Stamp, after: int = 0) -> dict[str, Any]:
        """What its next event carries in any case, or the one `after` so many more."""
        return {
            "originator_id": self.id,
            "originator_version": self.version + 1 + after,
            **stamp,
            "user_id": self.user_id,
        }


def stream_of(user_id: UUID) -> UUID:
    """The stream of a user's code: one, so that a user has one code."""
    return uuid5(user_id, "referrals")


def make_code(user_id: UUID, code: str, origin: str, stamp: Stamp) -> ReferralCodeMade:
    """A user's code, which nobody else has."""
    return ReferralCodeMade(
        originator_id=stream_of(user_id),
        originator_version=1,
        **stamp,
        user_id=str(user_id),
        code=code,
        origin=origin,
    )


def evolve(state: ReferralCode | None, event: Event) -> ReferralCode | None:
    """The next state of a code."""
    if isinstance(event, ReferralCodeMade):
        return ReferralCode(
            id=event.originator_id,
            version=event.originator_version,
            user_id=event.user_id,
            code=event.code,
            origin=event.origin,
        )
    if state is None:
        return None
    match event:
        case ReferralClaimed():
            changed = Referral(origin=event.origin)
        case ReferralCompleted():
            changed = replace(_of(state, event), state=ReferralState.COMPLETED, completed=event)
        case ReferralRefused():
            changed = replace(_of(state, event), state=ReferralState.REFUSED)
        case ReferralTakenBack():
            changed = replace(
                _of(state, event), state=ReferralState.TAKEN_BACK, taken_back_by=event.debit_id
            )
        case ReferralPurchaseRefunded():
            known = _of(state, event)
            taken = {event.debit_id: (event.payment_id, event.amount_nano_usd)}
            changed = replace(known, refunds={**known.refunds, **taken})
        case _:
            return state
    referrals = {**state.referrals, event.referee_user_id: changed}
    return replace(state, version=event.originator_version, referrals=referrals)


def replay(events: Iterable[Event]) -> ReferralCode | None:
    """A code's state after its events."""
    state: ReferralCode | None = None
    for event in events:
        state = evolve(state, event)
    return state


def _of(
    state: ReferralCode,
    event: ReferralCompleted | ReferralRefused | ReferralTakenBack | ReferralPurchaseRefunded,
) -> Referral:
    return state.referrals[event.referee_user_id]
