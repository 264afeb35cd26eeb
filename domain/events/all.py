"""All events there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.events.access import AdminRead, PeriodClosed, UserRoleChanged
from domain.events.catalog import ListConfirmed, ModelDelisted, ModelListed, PricePublished
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
    HoldExpired,
    HoldExtended,
    HoldPlaced,
    HoldRefused,
    HoldSettled,
    HoldVoided,
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
    SubscriptionCost,
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
from domain.events.upkeep.health import MaintenanceCleared, MaintenanceSet, MonitoringSwitched
from domain.events.work.batches import BatchCancelled, BatchCreated, BatchEnded, BatchStarted
from domain.events.work.provider_keys import (
    ProviderKeyChanged,
    ProviderKeyRemoved,
    ProviderKeyReplaced,
    ProviderKeyStored,
)

if TYPE_CHECKING:
    from domain.events.base import Event

EVENT_CLASSES: tuple[type[Event], ...] = (
    CreditsGranted,
    CreditsDebited,
    ReceivablePaid,
    LotExpired,
    HoldPlaced,
    HoldRefused,
    HoldExtended,
    HoldSettled,
    HoldVoided,
    HoldExpired,
    HouseLossBooked,
    ChargeCorrected,
    UserRegistered,
    EmailChanged,
    ProfileChanged,
    UserDeleted,
    EmailVerified,
    PasswordSet,
    SessionBegan,
    SessionEnded,
    TotpEnabled,
    TotpDisabled,
    RecoveryCodesMade,
    PasskeyAdded,
    PasskeyRemoved,
    SecondFactorsReset,
    IdentityLinked,
    IdentityUnlinked,
    ApiKeyCreated,
    ApiKeyChanged,
    ApiKeyRotated,
    ApiKeyRevoked,
    ApiKeyDeleted,
    RateLimitsSet,
    RateLimitsCleared,
    RateLimitsRefused,
    ModelListed,
    ModelDelisted,
    PricePublished,
    ListConfirmed,
    UserRoleChanged,
    AdminRead,
    QuotaSet,
    QuotaRemoved,
    OrganisationCreated,
    OrganisationRenamed,
    OrganisationClosed,
    MemberInvited,
    InvitationEnded,
    MemberJoined,
    MemberRoleChanged,
    MemberLeft,
    ProjectCreated,
    ProjectRenamed,
    ProjectArchived,
    ApprovalRequested,
    ApprovalGiven,
    ApprovalDeclined,
    PeriodClosed,
    CouponCreated,
    CouponChanged,
    CouponDeactivated,
    CouponRedeemed,
    PlanAssigned,
    PlanEnded,
    ReferralCodeMade,
    ReferralClaimed,
    ReferralCompleted,
    ReferralRefused,
    ReferralPurchaseRefunded,
    ReferralTakenBack,
    PaymentStarted,
    PaymentOpened,
    PaymentChanged,
    PaymentCompleted,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentDisputed,
    DisputeWithdrawn,
    DisputeLost,
    DisputeWon,
    PaymentCost,
    PayoutTold,
    CustomerLinked,
    CardSaved,
    SubscriptionChanged,
    SubscriptionCost,
    SubscriptionPaid,
    SubscriptionReturned,
    SubscriptionUnpaid,
    TopUpsSet,
    TopUpBegun,
    TopUpEnded,
    TopUpsSwitchedOff,
    MaintenanceSet,
    MaintenanceCleared,
    MonitoringSwitched,
    BatchCreated,
    BatchStarted,
    BatchCancelled,
    BatchEnded,
    ProviderKeyStored,
    ProviderKeyReplaced,
    ProviderKeyChanged,
    ProviderKeyRemoved,
)
"""Every event type there is, newest version of each."""
