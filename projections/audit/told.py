"""How each event is told in the audit: one line in one table.

A new kind of event gets a line in `TOLD` or in `TOLD_OF_MONEY`, or stands in `NOT_AUDITED`; a test
finds one that is in none. Only members that are named here are shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    HoldExtended,
    HoldRefused,
    HoldRequested,
    HoldResolved,
    HouseLossBooked,
    LotExpired,
    ReceivablePaid,
)
from domain.events.limits import RateLimitsCleared, RateLimitsRefused, RateLimitsSet
from domain.events.money.returns import PaymentCost, PayoutTold
from domain.events.money.subscriptions import SubscriptionCost
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
from projections.audit.telling import Subject, Told, same
from projections.audit.told_money import TOLD_OF_MONEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.events.base import Event

_KEY = ("name", "masked", "environment", "expires_at", "project_id")
_ORGANISATION = Subject.ORGANISATION

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
    AdminRead: Told("data.read", Subject.USER, after=same("route"), subject_in="user_id"),
    MaintenanceSet: Told(
        "maintenance.set",
        Subject.PROVIDER,
        after=same("model", "until", "reason"),
        subject_in="provider",
    ),
    MaintenanceCleared: Told(
        "maintenance.cleared",
        Subject.PROVIDER,
        before=same("model", "until"),
        subject_in="provider",
    ),
    MonitoringSwitched: Told("monitoring.switched", Subject.MONITOR, after=same("running")),
    BatchCreated: Told(
        "batch.created",
        Subject.BATCH,
        after=same("key_id", "endpoint", "input_file_id", "expires_at", "price_percent"),
    ),
    BatchCancelled: Told("batch.cancelled", Subject.BATCH),
    ProviderKeyStored: Told(
        "provider_key.stored",
        Subject.PROVIDER_KEY,
        after=same("provider", "project_id", "label", "hint", "enabled", "fallback"),
    ),
    ProviderKeyReplaced: Told(
        "provider_key.replaced", Subject.PROVIDER_KEY, after=same("provider", "hint")
    ),
    ProviderKeyChanged: Told(
        "provider_key.changed",
        Subject.PROVIDER_KEY,
        after=same("provider", "label", "enabled", "fallback"),
    ),
    ProviderKeyRemoved: Told("provider_key.removed", Subject.PROVIDER_KEY, before=same("provider")),
    **TOLD_OF_MONEY,
}
"""Event → how it is told."""

NOT_AUDITED: Mapping[type[Event], str] = {
    **dict.fromkeys(
        (HoldRequested, HoldRefused, HoldExtended, HoldResolved, HouseLossBooked),
        "a call's life is told by GET /v1/calls/{id} and the statement",
    ),
    LotExpired: "nobody did it; it stands on the statement",
    **dict.fromkeys(
        (PaymentCost, SubscriptionCost, PayoutTold), "nobody did it; it stands in the books"
    ),
    ReceivablePaid: "nobody did it; it stands on the statement",
    **dict.fromkeys((BatchStarted, BatchEnded), "nobody did it; GET /v1/batches/{id} tells it"),
    RateLimitsRefused: "a count by the hour, which GET /admin/rate-limits/alerts shows",
    CatalogEvent: "what providers list and charge is the catalog's",
}
"""Events, or families of them, that are no acts of somebody on something; and why."""

ACTIONS: tuple[str, ...] = tuple(sorted({each.action for each in TOLD.values()}))
"""Every action that there is."""
