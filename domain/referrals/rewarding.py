"""What follows from a payment of somebody who came by a code, and from its refund."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID, uuid5

from domain.events.ledger import CreditsDebited
from domain.events.money.payments import PaymentCompleted
from domain.events.offers.referrals import (
    ReferralCompleted,
    ReferralPurchaseRefunded,
    ReferralRefused,
    ReferralTakenBack,
)
from domain.ledger.lots import DebitKind
from domain.quotas.windows import iso_of, seconds_of
from domain.referrals.referral import ReferralState
from domain.wishes import Wish

if TYPE_CHECKING:
    from domain.events.base import Event, Stamp
    from domain.referrals.referral import Referral, ReferralCode
    from domain.referrals.terms import ReferralTerms
    from domain.wishes import Detail

REWARD, TAKE_BACK = "reward", "take_back"
DAY_S = 86_400
REFUNDS = frozenset({DebitKind.REFUND, DebitKind.DISPUTE})
"""Debits that say that a payment was given back; they name it."""
Told = ReferralCompleted | ReferralRefused | ReferralPurchaseRefunded | ReferralTakenBack


class Purchase(NamedTuple):
    """A completed payment; `credits_nano_usd` is what it bought."""

    payment_id: str
    account_id: str
    credits_nano_usd: int
    paid_at: str


class Sides(NamedTuple):
    """What is known of both as the payment is looked at.

    `fingerprints` are keyed hashes of the means that each has paid by; `people` what the
    addresses of their mailboxes have in common, empty for who has left.
    """

    referrer_account_id: str
    referrer_person: str
    referee_person: str
    referrer_fingerprints: frozenset[str] = frozenset()
    fingerprint: str = ""


class Refund(NamedTuple):
    """Credits of a payment that were taken back at an instant."""

    payment_id: str
    debit_id: str
    amount_nano_usd: int
    at: str


def react(event: Event, terms: ReferralTerms) -> list[Wish]:
    """Payments that are enough are to be looked at, and every refund of one."""
    match event:
        case PaymentCompleted() if event.credits_nano_usd >= terms.purchase_min:
            payment_id = str(event.originator_id)
            details: dict[str, Detail] = {
                "payment_id": payment_id,
                "account_id": event.account_id,
                "credits_nano_usd": event.credits_nano_usd,
                "paid_at": event.effective_at,
            }
            return [Wish(kind=REWARD, key=f"{REWARD} {payment_id}", details=details)]
        case CreditsDebited(payment_id=str(payment_id)) if event.kind in REFUNDS:
            details = {
                "payment_id": payment_id,
                "account_id": event.account_id,
                "debit_id": event.debit_id,
                "amount_nano_usd": event.amount_nano_usd,
                "at": event.effective_at,
            }
            return [Wish(kind=TAKE_BACK, key=f"{TAKE_BACK} {event.debit_id}", details=details)]
        case _:
            return []


def bonus_key(referee: str) -> str:
    """The idempotency key of a bonus, within its account."""
    return f"referral {referee}"


def bonus_lot(account_id: str, referee: str) -> UUID:
    """The lot of a bonus: always the same, so that it is given once."""
    return uuid5(UUID(account_id), f"grant {bonus_key(referee)}")


def reward(
    state: ReferralCode,
    referee: str,
    purchase: Purchase,
    sides: Sides,
    terms: ReferralTerms,
    stamp: Stamp,
) -> ReferralCompleted | ReferralRefused | None:
    """The bonus of a referral, or why there is none; None where nothing follows."""
    known = state.referrals.get(referee)
    if known is None or known.state is not ReferralState.PENDING:
        return None
    if purchase.credits_nano_usd - known.refunded(purchase.payment_id) < terms.purchase_min:
        return None
    reason = _refusal(sides)
    if reason:
        return ReferralRefused(
            **state.next(stamp),
            referee_user_id=referee,
            payment_id=purchase.payment_id,
            reason=reason,
        )
    return ReferralCompleted(
        **state.next(stamp),
        referee_user_id=referee,
        payment_id=purchase.payment_id,
        paid_at=purchase.paid_at,
        bonus_nano_usd=terms.bonus,
        referrer_account_id=sides.referrer_account_id,
        referrer_lot_id=str(bonus_lot(sides.referrer_account_id, referee)),
        referee_account_id=purchase.account_id,
        referee_lot_id=str(bonus_lot(purchase.account_id, referee)),
    )


def take_back(
    state: ReferralCode,
    referee: str,
    refund: Refund,
    purchased_nano_usd: int,
    terms: ReferralTerms,
    stamps: tuple[Stamp, Stamp],
) -> list[ReferralPurchaseRefunded | ReferralTakenBack]:
    """What a refund means for a referral; the same again means nothing.

    A refund is noted also before the bonus, so that none is given for what was paid back.
    """
    known = state.referrals.get(referee)
    if known is None or refund.debit_id in known.refunds:
        return []
    noted = ReferralPurchaseRefunded(
        **state.next(stamps[0]),
        referee_user_id=referee,
        payment_id=refund.payment_id,
        debit_id=refund.debit_id,
        amount_nano_usd=refund.amount_nano_usd,
    )
    left = purchased_nano_usd - known.refunded(refund.payment_id) - refund.amount_nano_usd
    if not _is_rewarded_by(known, refund, terms) or left >= terms.purchase_min:
        return [noted]
    completed = known.completed
    assert completed is not None
    taken = ReferralTakenBack(
        **state.next(stamps[1], after=1),
        referee_user_id=referee,
        payment_id=refund.payment_id,
        debit_id=refund.debit_id,
        bonus_nano_usd=completed.bonus_nano_usd,
    )
    return [noted, taken]


def _is_rewarded_by(known: Referral, refund: Refund, terms: ReferralTerms) -> bool:
    """Whether the payment earned the bonus that still stands, and its time is not over."""
    completed = known.completed
    if completed is None or known.state is not ReferralState.COMPLETED:
        return False
    until = iso_of(seconds_of(completed.paid_at) + terms.refund_days * DAY_S)
    return completed.payment_id == refund.payment_id and refund.at < until


def _refusal(sides: Sides) -> str:
    if not (sides.referrer_person and sides.referee_person):
        return "gone"
    if sides.referrer_person == sides.referee_person:
        return "same_person"
    if sides.fingerprint and sides.fingerprint in sides.referrer_fingerprints:
        return "same_fingerprint"
    return ""
