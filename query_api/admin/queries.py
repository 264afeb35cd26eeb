"""Users, balances and use of everybody, as admins' clients know them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from domain.identity.access import scopes_in
from domain.identity.permissions import lists_of
from edge.replies import usd
from event_store.beside.billing.subscriptions import count_tiers
from event_store.beside.users import count_users, read_user, read_users
from event_store.ids import to_iso
from projections.all import projection_named
from projections.engine.freshness import await_own_writes
from projections.engine.projection import select_on
from projections.usage.activity_log import read_recent
from projections.usage.key_usage import read_keys_in_use
from projections.usage.usage_by_hour import read_system_use, read_top_accounts

if TYPE_CHECKING:
    from uuid import UUID

    from domain.subscriptions.tiers import Tier
    from event_store.beside.users import UserCounts, UserNow
    from event_store.postgres.database import Connects
    from projections.usage.activity_log import Happened
    from projections.usage.key_usage import KeyInUse

RECENT = 20
"""Rows of what happened lately."""
TOP = 10
KEYS_SHOWN_MAX = 1_000
ACTIVITY = projection_named("activity_log")


def page_of_users(database: Connects, after: UUID | None, limit: int) -> list[dict[str, Any]]:
    """Users in the order of their registration, from behind `after`."""
    with database.connect() as connection:
        return [_shown(each) for each in read_users(connection, after=after, limit=limit)]


def counts_of_users(database: Connects) -> UserCounts:
    """How many users there are, of what kind; one pass, which the time-out of reads bounds."""
    with database.connect() as connection:
        return count_users(connection)


def tiers_of_users(database: Connects) -> dict[Tier, int]:
    """How many users have each tier by what they subscribed to."""
    with database.connect() as connection:
        return count_tiers(connection)


def one_user(database: Connects, user_id: UUID, *, wait_s: float) -> dict[str, Any] | None:
    """A user, the keys, and what happened lately; None where there is no such user.

    Raises ProjectionLaggingError.
    """
    with database.connect() as connection:
        found = read_user(connection, user_id=user_id)
        if found is None:
            return None
        await_own_writes(connection, ACTIVITY, wait_s)
        select = select_on(connection)
        keys = read_keys_in_use(select, user_id)
        calls = read_recent(select, found.account_id, limit=RECENT, calls=True)
        lately = read_recent(select, found.account_id, limit=RECENT)
    return {
        "user": _shown(found),
        "api_keys": [_key(each) for each in keys[:KEYS_SHOWN_MAX]],
        "recent_usage": [_happened(each) for each in calls],
        "recent_activity": [_happened(each) for each in lately],
    }


def monitored(database: Connects) -> dict[str, Any]:
    """What everybody used today (UTC), who used most, and what happened last."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    with database.connect() as connection:
        select = select_on(connection)
        use = read_system_use(select, since=today)
        top = read_top_accounts(select, since=today, limit=TOP)
        lately = read_recent(select, None, limit=RECENT)
    charged_calls = use.requests - use.errors
    return {
        "active_users_today": use.accounts,
        "total_requests_today": charged_calls,
        "total_tokens_today": use.tokens,
        "total_cost_today": usd(use.charged),
        "system_usage_metrics": {
            "since": to_iso(today),
            "requests": use.requests,
            "failed_requests": use.errors,
            "tokens": use.tokens,
            "cost": usd(use.charged),
            "average_latency_ms": use.latency_ms // max(use.requests, 1),
            "average_tokens_per_request": use.tokens // max(charged_calls, 1),
        },
        "top_users_by_usage": [
            {
                "user_id": user,
                "account_id": account,
                "requests": each.requests,
                "tokens": each.tokens,
                "cost": usd(each.charged),
            }
            for user, account, each in top
        ],
        "recent_activity": [_happened(each) for each in lately],
    }


def _shown(user: UserNow) -> dict[str, Any]:
    """A user; names and addresses are encrypted, and stay so."""
    return {
        "id": str(user.user_id),
        "user_id": str(user.user_id),
        "account_id": str(user.account_id),
        "credits": usd(user.available),
        "credits_granted": usd(user.granted),
        "credits_held": usd(user.held),
        "credits_used": usd(user.settled),
        "is_active": not user.left,
        "role": user.role,
        "email_verified": user.email_verified,
        "active_keys": user.active_keys,
        "registration_date": user.registered_at and to_iso(user.registered_at),
        "created_at": user.registered_at and to_iso(user.registered_at),
    }


def _key(key: KeyInUse) -> dict[str, Any]:
    scopes = scopes_in(key.limits)
    return {
        "id": key.key_id,
        "api_key": key.masked,
        "key_name": key.name,
        "environment_tag": key.environment,
        "scope_permissions": {} if scopes is None else lists_of(scopes),
        "is_active": key.is_active,
        "revoked": key.revoked,
        "expiration_date": key.expires_at and to_iso(key.expires_at),
        "max_requests": key.max_requests,
        "requests_used": key.requests if key.max_requests is None else key.quota_used,
        "created_at": key.created_at and to_iso(key.created_at),
        "last_used_at": key.last_used_at and to_iso(key.last_used_at),
    }


def _happened(each: Happened) -> dict[str, Any]:
    return {
        "id": each.position,
        "account_id": each.account_id and str(each.account_id),
        "activity": each.activity,
        "key_id": each.key_id,
        "call_id": each.call_id and str(each.call_id),
        "provider": each.provider,
        "model": each.model,
        "tokens": (each.input_tokens or 0) + (each.output_tokens or 0),
        "cost": usd(-each.amount_nano_usd),
        "duration_ms": each.duration_ms,
        "timestamp": to_iso(each.booked_at),
    }
