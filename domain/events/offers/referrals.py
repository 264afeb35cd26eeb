"""Events of referrals. All that comes of one user's code is one stream, so its uses are counted."""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class ReferralEvent(Event):
    """An event of one user's code; `user_id` is that user, the referrer."""

    CATEGORY = "referral"

    user_id: str


@dataclass(frozen=True, kw_only=True)
class ReferralCodeMade(ReferralEvent):
    """The user has a code. `origin` stands for the address of the request (a keyed hash)."""

    TOPIC = "referral.code_made.v1"

    code: str
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class ReferralClaimed(ReferralEvent):
    """Somebody came by the code, and may earn both a bonus. `origin` is of their request."""

    TOPIC = "referral.claimed.v1"

    referee_user_id: str
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class ReferralCompleted(ReferralEvent):
    """The referee paid enough: both accounts are granted so much, in nano-USD, each as its lot.

    The grants are entries of their own. Their lots are named here, so that whatever ends between,
    they are made afterwards, and made once. `paid_at` is when the payment was completed.
    """

    TOPIC = "referral.completed.v1"

    referee_user_id: str
    payment_id: str
    paid_at: str
    bonus_nano_usd: int
    referrer_account_id: str
    referrer_lot_id: str
    referee_account_id: str
    referee_lot_id: str


@dataclass(frozen=True, kw_only=True)
class ReferralRefused(ReferralEvent):
    """The referee paid enough, and there is no bonus: `reason` is a code that says why."""

    TOPIC = "referral.refused.v1"

    referee_user_id: str
    payment_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ReferralPurchaseRefunded(ReferralEvent):
    """Of a purchase of the referee so many nano-USD were taken back, by the debit `debit_id`."""

    TOPIC = "referral.purchase_refunded.v1"

    referee_user_id: str
    payment_id: str
    debit_id: str
    amount_nano_usd: int


@dataclass(frozen=True, kw_only=True)
class ReferralTakenBack(ReferralEvent):
    """Too much of the purchase was refunded: both bonuses are taken back (money rule 15).

    `debit_id` is the debit of the refund that made it too much.
    """

    TOPIC = "referral.taken_back.v1"

    referee_user_id: str
    payment_id: str
    debit_id: str
    bonus_nano_usd: int
