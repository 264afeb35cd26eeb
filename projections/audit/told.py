"""How each event is told in the audit: one line in one table.

A new kind of event gets a line in `TOLD`, or stands in `NOT_AUDITED`; a test finds one that is in
neither. Only members that are named here are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from domain.events.access import AdminRead, PeriodClosed, UserRoleChanged
from domain.events.catalog import CatalogEvent
from domain.events.identity import (
    ApiKeyChanged,
    ApiKeyCreated,
    ApiKeyDeleted,
    ApiKeyRevoked,
    ApiKeyRotated,
    UserRegistered,
)
from domain.events.ledger import (
    ChargeCorrected,
    CreditsDebited,
    CreditsGranted,
    HoldExtended,
    HoldRefused,
    HoldRequested,
    HoldResolved,
    HouseLossBooked,
    LotExpired,
    ReceivablePaid,
)
from domain.events.limits import RateLimitsCleared, RateLimitsRefused, RateLimitsSet
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
    PaymentCost,
    PaymentDisputed,
    PaymentRefunded,
    PaymentRefundFailed,
    PayoutTold,
)
from domain.events.money.subscriptions import (
    CardSaved,
    CustomerLinked,
    SubscriptionChanged,
    SubscriptionPaid,
    SubscriptionReturned,
    SubscriptionUnpaid,
)
from domain.events.money.topups import (
    TopUpBegun,
    TopUpEnded,
    TopUpsSet,
    TopUpsSwitchedOff,
)
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
from domain.events.organisations import (
    InvitationEnded,
    MemberInvited,
    MemberJoined,
    MemberLeft,
    MemberRoleChanged,
    OrganisationClosed,
    OrganisationCreated,
    OrganisationRenamed,
    ProjectArchived,
    ProjectCreated,
    ProjectRenamed,
)
from domain.events.profile import EmailChanged, ProfileChanged, UserDeleted
from domain.events.quotas import QuotaRemoved, QuotaSet
from domain.events.second_factors import (
    IdentityLinked,
    IdentityUnlinked,
    PasskeyAdded,
    PasskeyRemoved,
    RecoveryCodesMade,
    SecondFactorsReset,
    TotpDisabled,
    TotpEnabled,
)
from domain.events.sign_in import EmailVerified, PasswordSet, SessionBegan, SessionEnded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.events.base import Event


class Subject(StrEnum):
    """What an act was done to."""

    USER = "user"
    KEY = "key"
    ACCOUNT = "account"
    ORGANISATION = "organisation"
    PROJECT = "project"
    BOOKS = "books"
    COUPON = "coupon"
    PAYMENT = "payment"
    SUBSCRIPTION = "subscription"


def same(*names: str) -> dict[str, str]:
    """Members that are told under their own names."""
    return {name: name for name in names}


@dataclass(frozen=True, slots=True)
class Told:
    """An action and what it was done to.

    `before` and `after` say under which name which member is told; where they are the name of a
    member, that member is such an object itself. `subject_in` names the member with the subject's
    id, the stream's own where it is empty. Where the event itself says whether it is about a key, a
    user or an account, `kind_in` names the member that does, and `subject` is not looked at.
    """

    action: str
    subject: Subject
    before: Mapping[str, str] | str = field(default_factory=dict)
    after: Mapping[str, str] | str = field(default_factory=dict)
    subject_in: str = ""
    kind_in: str = ""


_GRANT = ("amount_nano_usd", "kind", "expires_at", "payment_id", "limits", "lot_id")
_DEBIT = ("amount_nano_usd", "kind", "owed_nano_usd", "payment_id", "lot_id", "to_account_id")
_CORRECTION = ("cost_nano_usd", "price_version", "returned_nano_usd", "owed_nano_usd")
_KEY = ("name", "masked", "environment", "expires_at", "project_id")
_COUPON = (
    *("code", "value_nano_usd", "scope", "kind", "max_uses", "valid_from", "valid_until"),
    *("assigned_to_user_id", "description"),
)
_CODE = same("code")
_ORGANISATION = Subject.ORGANISATION
_PRICE = ("amount_minor", "currency", "credits_nano_usd")
_RETURN = ("object_id", "reason", *_PRICE)


def _of_referee(action: str, *members: str) -> Told:
    """What happens to who came by a code, and whose the code is."""
    told = {"referrer_user_id": "user_id", **same(*members)}
    return Told(action, Subject.USER, after=told, subject_in="referee_user_id")


TOLD: Mapping[type[Event], Told] = {
    UserRegistered: Told("user.registered", Subject.USER),
    UserRoleChanged: Told("role.changed", Subject.USER, {"role": "from_role"}, {"role": "to_role"}),
    ApiKeyCreated: Told("api_key.created", Subject.KEY, after=same(*_KEY)),
    ApiKeyRotated: Told("api_key.rotated", Subject.KEY, after=same("masked", "old_until")),
    ApiKeyRevoked: Told("api_key.revoked", Subject.KEY),
    ApiKeyChanged: Told("api_key.changed", Subject.KEY, "before", "after"),
    ApiKeyDeleted: Told("api_key.deleted", Subject.KEY),
    EmailVerified: Told("user.email_verified", Subject.USER),
    EmailChanged: Told("user.email_changed", Subject.USER),
    PasswordSet: Told("user.password_set", Subject.USER, after=same("how")),
    TotpEnabled: Told("user.totp_enabled", Subject.USER),
    TotpDisabled: Told("user.totp_disabled", Subject.USER, after=same("how")),
    RecoveryCodesMade: Told("user.recovery_codes_made", Subject.USER, after=same("count")),
    PasskeyAdded: Told("user.passkey_added", Subject.USER, after=same("passkey_id")),
    PasskeyRemoved: Told("user.passkey_removed", Subject.USER, before=same("passkey_id")),
    SecondFactorsReset: Told("user.second_factors_reset", Subject.USER),
    IdentityLinked: Told("user.identity_linked", Subject.USER, after=same("provider")),
    IdentityUnlinked: Told("user.identity_unlinked", Subject.USER, before=same("provider")),
    ProfileChanged: Told("user.profile_changed", Subject.USER, after=same("members")),
    UserDeleted: Told("user.deleted", Subject.USER),
    SessionBegan: Told("session.began", Subject.USER, after=same("how"), subject_in="user_id"),
    SessionEnded: Told("session.ended", Subject.USER, after=same("reason"), subject_in="user_id"),
    QuotaSet: Told(
        "quota.set",
        Subject.ACCOUNT,
        after=same("unit", "window", "limit", "zone"),
        subject_in="scope_id",
        kind_in="scope_kind",
    ),
    QuotaRemoved: Told("quota.removed", Subject.ACCOUNT, subject_in="account_id"),
    RateLimitsSet: Told(
        "rate_limits.set",
        Subject.KEY,
        after=same("limits", "plan", "set_by"),
        subject_in="scope_id",
        kind_in="scope",
    ),
    RateLimitsCleared: Told(
        "rate_limits.cleared",
        Subject.KEY,
        after=same("set_by"),
        subject_in="scope_id",
        kind_in="scope",
    ),
    CreditsGranted: Told(
        "credits.granted", Subject.ACCOUNT, after=same(*_GRANT), subject_in="account_id"
    ),
    CreditsDebited: Told(
        "credits.debited", Subject.ACCOUNT, after=same(*_DEBIT), subject_in="account_id"
    ),
    ChargeCorrected: Told(
        "charge.corrected", Subject.ACCOUNT, after=same(*_CORRECTION), subject_in="account_id"
    ),
    OrganisationCreated: Told("organisation.created", _ORGANISATION),
    OrganisationRenamed: Told("organisation.renamed", _ORGANISATION),
    OrganisationClosed: Told("organisation.closed", _ORGANISATION),
    MemberInvited: Told(
        "member.invited", _ORGANISATION, after=same("invitation_id", "role", "expires_at")
    ),
    InvitationEnded: Told("invitation.ended", _ORGANISATION, after=same("invitation_id", "how")),
    MemberJoined: Told(
        "member.joined", _ORGANISATION, after=same("user_id", "role", "invitation_id")
    ),
    MemberRoleChanged: Told(
        "member.role_changed",
        _ORGANISATION,
        {"user_id": "user_id", "role": "from_role"},
        {"user_id": "user_id", "role": "to_role"},
    ),
    MemberLeft: Told("member.left", _ORGANISATION, same("user_id", "role"), same("how")),
    ProjectCreated: Told("project.created", Subject.PROJECT, after=same("name")),
    ProjectRenamed: Told(
        "project.renamed", Subject.PROJECT, {"name": "from_name"}, {"name": "to_name"}
    ),
    ProjectArchived: Told("project.archived", Subject.PROJECT),
    PeriodClosed: Told("books.period_closed", Subject.BOOKS, after=same("until")),
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
            *("credits_nano_usd", "reason"),
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
    AdminRead: Told("data.read", Subject.USER, after=same("route"), subject_in="user_id"),
}
"""Event → how it is told."""

NOT_AUDITED: Mapping[type[Event], str] = {
    **dict.fromkeys(
        (HoldRequested, HoldRefused, HoldExtended, HoldResolved, HouseLossBooked),
        "a call's life is told by GET /v1/calls/{id} and the statement",
    ),
    LotExpired: "nobody did it; it stands on the statement",
    **dict.fromkeys((PaymentCost, PayoutTold), "nobody did it; it stands in the books"),
    ReceivablePaid: "nobody did it; it stands on the statement",
    RateLimitsRefused: "a count by the hour, which GET /admin/rate-limits/alerts shows",
    CatalogEvent: "what providers list and charge is the catalog's",
}
"""Events, or families of them, that are no acts of somebody on something; and why."""

ACTIONS: tuple[str, ...] = tuple(sorted({each.action for each in TOLD.values()}))
"""Every action that there is."""


def object_of(event: Event, members: Mapping[str, str] | str) -> dict[str, Any]:
    """What is told of an event, by the names under which it is told."""
    if isinstance(members, str):
        return dict(getattr(event, members))
    return {name: getattr(event, member) for name, member in members.items()}
