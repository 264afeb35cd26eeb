"""How events about credits, payments and offers are told in the audit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.events.ledger import ChargeCorrected, CreditsDebited, CreditsGranted
from domain.events.money.approvals import ApprovalDeclined, ApprovalGiven, ApprovalRequested
from domain.events.money.payments import (
    PaymentChanged,
    PaymentCompleted,
    PaymentOpened,
    PaymentStarted,
)
from domain.events.money.returns import (
    DisputeLost,
    DisputeWithdrawn,
    DisputeWon,
    PaymentDisputed,
    PaymentRefunded,
    PaymentRefundFailed,
)
from domain.events.money.subscriptions import (
    CardSaved,
    CustomerLinked,
    SubscriptionChanged,
    SubscriptionPaid,
    SubscriptionReturned,
    SubscriptionUnpaid,
)
from domain.events.money.topups import TopUpBegun, TopUpEnded, TopUpsSet, TopUpsSwitchedOff
from domain.events.offers.coupons import (
    CouponChanged,
    CouponCreated,
    CouponDeactivated,
    CouponRedeemed,
)
from domain.events.offers.plans import PlanAssigned, PlanEnded
from domain.events.offers.referrals import (
    ReferralClaimed,
    ReferralCodeMade,
    ReferralCompleted,
    ReferralPurchaseRefunded,
    ReferralRefused,
    ReferralTakenBack,
)
from projections.audit.telling import Subject, Told, same

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.events.base import Event

_GRANT = ("amount_nano_usd", "kind", "expires_at", "payment_id", "limits", "lot_id")
_DEBIT = ("amount_nano_usd", "kind", "owed_nano_usd", "payment_id", "lot_id", "to_account_id")
_CORRECTION = ("cost_nano_usd", "price_version", "returned_nano_usd", "owed_nano_usd")
_COUPON = (
    *("code", "value_nano_usd", "scope", "kind", "max_uses", "valid_from", "valid_until"),
    *("assigned_to_user_id", "description"),
)
_CODE = same("code")
_PRICE = ("amount_minor", "currency", "credits_nano_usd")
_RETURN = ("object_id", "reason", *_PRICE)


def _of_referee(action: str, *members: str) -> Told:
    """What happens to who came by a code, and whose the code is."""
    told = {"referrer_user_id": "user_id", **same(*members)}
    return Told(action, Subject.USER, after=told, subject_in="referee_user_id")


TOLD_OF_MONEY: Mapping[type[Event], Told] = {
    CreditsGranted: Told(
        "credits.granted", Subject.ACCOUNT, after=same(*_GRANT), subject_in="account_id"
    ),
    CreditsDebited: Told(
        "credits.debited", Subject.ACCOUNT, after=same(*_DEBIT), subject_in="account_id"
    ),
    ChargeCorrected: Told(
        "charge.corrected", Subject.ACCOUNT, after=same(*_CORRECTION), subject_in="account_id"
    ),
    CouponCreated: Told("coupon.created", Subject.COUPON, after=same(*_COUPON)),
    CouponChanged: Told("coupon.changed", Subject.COUPON, "before", "after"),
    CouponDeactivated: Told("coupon.deactivated", Subject.COUPON),
    CouponRedeemed: Told("coupon.redeemed", Subject.COUPON, after=same("value_nano_usd", "lot_id")),
    PlanAssigned: Told(
        "plan.assigned", Subject.USER, after=same("plan", "expires_at"), subject_in="user_id"
    ),
    PlanEnded: Told("plan.ended", Subject.USER, before=same("plan"), subject_in="user_id"),
    ReferralCodeMade: Told("referral.code_made", Subject.USER, after=_CODE, subject_in="user_id"),
    ReferralClaimed: _of_referee("referral.claimed"),
    ReferralCompleted: _of_referee("referral.completed", "payment_id", "bonus_nano_usd"),
    ReferralRefused: _of_referee("referral.refused", "payment_id", "reason"),
    ReferralPurchaseRefunded: _of_referee(
        "referral.purchase_refunded", "payment_id", "debit_id", "amount_nano_usd"
    ),
    ReferralTakenBack: _of_referee("referral.taken_back", "payment_id", "bonus_nano_usd"),
    PaymentStarted: Told(
        "payment.started", Subject.PAYMENT, after=same("way", "rate", "package", *_PRICE)
    ),
    PaymentOpened: Told("payment.opened", Subject.PAYMENT, after=same("session_id", "intent_id")),
    PaymentChanged: Told(
        "payment.changed", Subject.PAYMENT, after=same("status", "failure", "intent_id")
    ),
    PaymentCompleted: Told(
        "payment.completed", Subject.PAYMENT, after=same("intent_id", "lot_id", *_PRICE)
    ),
    PaymentRefunded: Told("payment.refunded", Subject.PAYMENT, after=same(*_RETURN)),
    PaymentRefundFailed: Told("payment.refund_failed", Subject.PAYMENT, after=same(*_RETURN)),
    PaymentDisputed: Told("payment.disputed", Subject.PAYMENT, after=same(*_RETURN)),
    DisputeWithdrawn: Told("payment.dispute_withdrawn", Subject.PAYMENT, after=same(*_RETURN)),
    DisputeLost: Told("payment.dispute_lost", Subject.PAYMENT, after=same(*_RETURN)),
    DisputeWon: Told("payment.dispute_won", Subject.PAYMENT, after=same(*_RETURN)),
    CustomerLinked: Told(
        "customer.linked", Subject.ACCOUNT, after=same("customer_id"), subject_in="account_id"
    ),
    CardSaved: Told(
        "customer.card_saved", Subject.ACCOUNT, after=same("method_id"), subject_in="account_id"
    ),
    SubscriptionChanged: Told(
        "subscription.changed",
        Subject.SUBSCRIPTION,
        after=same(
            *("status", "tier", "product_id", "price_id", "period_begins", "period_ends"),
            *("cancels_at_end", "subscription_id"),
        ),
    ),
    SubscriptionPaid: Told(
        "subscription.paid",
        Subject.SUBSCRIPTION,
        after=same(
            *("invoice_id", "tier", "amount_minor", "tax_minor", "currency", "lot_id"),
            *("allowance_nano_usd", "period_begins", "period_ends"),
        ),
    ),
    SubscriptionReturned: Told(
        "subscription.returned",
        Subject.SUBSCRIPTION,
        after=same(
            *("invoice_id", "object_id", "kind", "phase", "amount_minor", "currency"),
            *("credits_nano_usd", "reason", "by_user_id"),
        ),
    ),
    SubscriptionUnpaid: Told("subscription.unpaid", Subject.SUBSCRIPTION, after=same("invoice_id")),
    TopUpsSet: Told(
        "auto_top_up.set",
        Subject.ACCOUNT,
        after=same("enabled", "threshold_minor", "amount_minor", "monthly_cap_minor"),
        subject_in="account_id",
    ),
    TopUpBegun: Told(
        "auto_top_up.begun",
        Subject.ACCOUNT,
        after=same("cause", "payment_id", "method_id", "amount_minor", "month"),
        subject_in="account_id",
    ),
    TopUpEnded: Told(
        "auto_top_up.ended",
        Subject.ACCOUNT,
        after=same("payment_id", "paid", "failure", "again_at"),
        subject_in="account_id",
    ),
    TopUpsSwitchedOff: Told(
        "auto_top_up.switched_off", Subject.ACCOUNT, after=same("reason"), subject_in="account_id"
    ),
    ApprovalRequested: Told(
        "approval.requested",
        Subject.ACCOUNT,
        after=same("act", "amount_nano_usd", "kind", "decide_by"),
        subject_in="account_id",
    ),
    ApprovalGiven: Told("approval.given", Subject.ACCOUNT, subject_in="account_id"),
    ApprovalDeclined: Told("approval.declined", Subject.ACCOUNT, subject_in="account_id"),
}
"""Event → how it is told."""
