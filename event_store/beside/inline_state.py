"""What the events of ordinary aggregates change beside the log, in the same transaction.

One function for each event type, in one table by topic. The state is a cache of the log: the
gateways look it up on every call, and read nothing else of these streams. Money is not here: its
inline state is the append function's own. Which quotas there are is; what they count is money's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from domain.events.access import UserRoleChanged
from domain.events.identity import (
    ApiKeyChanged,
    ApiKeyCreated,
    ApiKeyDeleted,
    ApiKeyRevoked,
    ApiKeyRotated,
)
from domain.events.limits import RateLimitsCleared, RateLimitsSet
from domain.events.profile import EmailChanged, UserDeleted
from domain.events.second_factors import (
    IdentityUnlinked,
    PasskeyRemoved,
    SecondFactorsReset,
    TotpDisabled,
    TotpEnabled,
)
from domain.events.sign_in import EmailVerified, SessionEnded
from domain.limits.rates import FIELDS
from event_store.beside import channels, coupons, organisations, payments, plans, quotas
from event_store.beside.batches import handlers as batches
from event_store.beside.billing import subscriptions, topups
from event_store.beside.provider_keys import handlers as provider_keys
from event_store.beside.referrals import handlers as referrals
from event_store.beside.upkeep import handlers as upkeep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

OF_A_USER = (
    *("session", "mail_token", "known_origin", "mail_outbox", "once", "recovery_code"),
    *("passkey", "linked_identity", "shared_answer"),
)
"""Tables whose rows go when their user leaves."""
_SET_LIMITS = (
    f"INSERT INTO rate_limit (scope, scope_id, set_by, plan, {', '.join(FIELDS)}, cleared, change) "
    f"VALUES (%(scope)s, %(scope_id)s, %(set_by)s, %(plan)s, "
    f"{', '.join(f'%({name})s' for name in FIELDS)}, %(cleared)s, nextval('rate_limit_change')) "
    "ON CONFLICT (scope, scope_id, set_by) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in ("plan", *FIELDS, "cleared", "change"))
)


def _key_created(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    fact = msgspec.json.decode(stored.state)
    cursor.execute(
        "INSERT INTO api_key (key_hash, key_id, user_id, account_id, masked, name, expires_at, "
        "environment, limits, project_id, organisation_id, cache) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            fact["key_hash"],
            stored.originator_id,
            fact["user_id"],
            fact["account_id"],
            fact["masked"],
            fact["name"],
            fact.get("expires_at"),
            fact.get("environment", "live"),
            _json(fact.get("limits")),
            fact.get("project_id"),
            fact.get("organisation_id"),
            _json(fact.get("cache")),
        ],
    )
    _tell(cursor, stored)


def _key_rotated(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    fact = msgspec.json.decode(stored.state)
    rotated = {"key_id": stored.originator_id, **fact}
    cursor.execute(
        "INSERT INTO api_key "
        "(key_hash, key_id, user_id, account_id, masked, name, revoked, expires_at, replaced, "
        "environment, active, deleted, limits, project_id, organisation_id, cache) "
        "SELECT %(key_hash)s, key_id, user_id, account_id, %(masked)s, name, revoked, expires_at, "
        "true, environment, active, deleted, limits, project_id, organisation_id, cache "
        "FROM api_key WHERE key_id = %(key_id)s AND NOT replaced",
        rotated,
    )
    cursor.execute(
        "UPDATE api_key SET replaced = true, expires_at = least(expires_at, %(old_until)s) "
        "WHERE key_id = %(key_id)s AND NOT replaced",
        rotated,
    )
    cursor.execute("UPDATE api_key SET replaced = false WHERE key_hash = %(key_hash)s", rotated)
    _tell(cursor, stored)


def _key_changed(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    """A new end is the present writing's; those that were replaced end no later."""
    after = msgspec.json.decode(stored.state)["after"]
    cursor.execute(
        "UPDATE api_key SET name = coalesce(%(name)s, name), "
        "active = coalesce(%(is_active)s, active), "
        "limits = CASE WHEN %(limited)s THEN %(limits)s::jsonb ELSE limits END, "
        "cache = CASE WHEN %(caching)s THEN %(cache)s::jsonb ELSE cache END, "
        "expires_at = CASE WHEN NOT %(ending)s THEN expires_at "
        "WHEN replaced THEN least(expires_at, %(expires_at)s) ELSE %(expires_at)s END "
        "WHERE key_id = %(key_id)s",
        {
            "key_id": stored.originator_id,
            "name": after.get("name"),
            "is_active": after.get("is_active"),
            "limited": "limits" in after,
            "limits": _json(after.get("limits")),
            "caching": "cache" in after,
            "cache": _json(after.get("cache")),
            "ending": "expires_at" in after,
            "expires_at": after.get("expires_at"),
        },
    )
    _tell(cursor, stored)


def _key_revoked(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    cursor.execute("UPDATE api_key SET revoked = true WHERE key_id = %s", [stored.originator_id])
    _tell(cursor, stored)


def _email_verified(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    cursor.execute(
        "UPDATE user_secret SET email_verified = true WHERE user_id = %s", [stored.originator_id]
    )


def _address_given_up(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    """Who is invited by an address that is no more theirs could not accept; `email_hash` is still
    that address's.
    """
    cursor.execute(
        "DELETE FROM invitation WHERE email_hash = "
        "(SELECT email_hash FROM user_secret WHERE user_id = %s)",
        [stored.originator_id],
    )


def _user_deleted(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    """Without the data key, and without hashes, nobody is left to be found."""
    _address_given_up(cursor, stored)
    cursor.execute(
        "UPDATE user_secret SET wrapped_key = NULL, email_hash = NULL, username_hash = NULL, "
        "sealed_password = NULL, sealed_profile = NULL, email_verified = false, "
        "sealed_totp = NULL, totp_on = false, totp_step = 0 WHERE user_id = %s",
        [stored.originator_id],
    )
    cursor.execute(
        "DELETE FROM sealed_api_key WHERE key_id IN "
        "(SELECT key_id FROM api_key WHERE user_id = %s)",
        [stored.originator_id],
    )
    provider_keys.shred_of_organisation(cursor, stored.originator_id)
    for table in OF_A_USER:
        cursor.execute(f"DELETE FROM {table} WHERE user_id = %s", [stored.originator_id])


def _totp_enabled(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    """Null is refused: a second one, or one without a secret, is not saved."""
    cursor.execute(
        "UPDATE user_secret SET totp_on = CASE WHEN NOT totp_on AND sealed_totp IS NOT NULL "
        "THEN true END WHERE user_id = %s",
        [stored.originator_id],
    )


def _totp_disabled(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    cursor.execute(
        "UPDATE user_secret SET sealed_totp = NULL, totp_on = false, totp_step = 0 "
        "WHERE user_id = %s",
        [stored.originator_id],
    )
    for table in ("recovery_code", "once"):
        cursor.execute(f"DELETE FROM {table} WHERE user_id = %s", [stored.originator_id])


def _second_factors_reset(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    _totp_disabled(cursor, stored)
    cursor.execute("DELETE FROM passkey WHERE user_id = %s", [stored.originator_id])


def _passkey_removed(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    cursor.execute(
        "DELETE FROM passkey WHERE user_id = %s AND passkey_id = %s",
        [stored.originator_id, msgspec.json.decode(stored.state)["passkey_id"]],
    )


def _identity_unlinked(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    cursor.execute(
        "DELETE FROM linked_identity WHERE user_id = %s AND provider = %s",
        [stored.originator_id, msgspec.json.decode(stored.state)["provider"]],
    )


def _session_ended(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    cursor.execute("UPDATE session SET ended = true WHERE session_id = %s", [stored.originator_id])


def _key_deleted(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    cursor.execute("UPDATE api_key SET deleted = true WHERE key_id = %s", [stored.originator_id])
    _tell(cursor, stored)


def _role_changed(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    fact = msgspec.json.decode(stored.state)
    cursor.execute(
        "INSERT INTO user_role (user_id, role, position) "
        "SELECT originator_id, %s, notification_id FROM events "
        "WHERE originator_id = %s AND originator_version = %s "
        "ON CONFLICT (user_id) DO UPDATE SET role = excluded.role, position = excluded.position",
        [fact["to_role"], stored.originator_id, stored.originator_version],
    )
    _tell(cursor, stored)


def _tell(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    """Positions appear in order (P7), so who asks for those behind one misses no change."""
    cursor.execute(
        "UPDATE api_key SET position = (SELECT notification_id FROM events "
        "WHERE originator_id = %s AND originator_version = %s) WHERE key_id = %s",
        [stored.originator_id, stored.originator_version, stored.originator_id],
    )
    cursor.execute("SELECT pg_notify(%s, %s)", [channels.KEYS_CHANNEL, str(stored.originator_id)])


def _json(limits: dict[str, Any] | None) -> str | None:
    return msgspec.json.encode(limits).decode() if limits else None


def _limits_set(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    fact = msgspec.json.decode(stored.state)
    limits = fact.get("limits", {})
    values = {name: limits.get(name) for name in FIELDS}
    cleared = stored.topic == RateLimitsCleared.TOPIC
    cursor.execute(_SET_LIMITS, {"plan": None, **fact, **values, "cleared": cleared})
    cursor.execute("SELECT pg_notify(%s, '')", [channels.LIMITS_CHANNEL])


HANDLERS: Mapping[str, Handler] = {
    ApiKeyCreated.TOPIC: _key_created,
    ApiKeyChanged.TOPIC: _key_changed,
    ApiKeyRotated.TOPIC: _key_rotated,
    ApiKeyRevoked.TOPIC: _key_revoked,
    EmailVerified.TOPIC: _email_verified,
    EmailChanged.TOPIC: _address_given_up,
    SessionEnded.TOPIC: _session_ended,
    TotpEnabled.TOPIC: _totp_enabled,
    TotpDisabled.TOPIC: _totp_disabled,
    SecondFactorsReset.TOPIC: _second_factors_reset,
    PasskeyRemoved.TOPIC: _passkey_removed,
    IdentityUnlinked.TOPIC: _identity_unlinked,
    UserDeleted.TOPIC: _user_deleted,
    ApiKeyDeleted.TOPIC: _key_deleted,
    UserRoleChanged.TOPIC: _role_changed,
    RateLimitsSet.TOPIC: _limits_set,
    RateLimitsCleared.TOPIC: _limits_set,
    **quotas.HANDLERS,
    **organisations.HANDLERS,
    **coupons.HANDLERS,
    **plans.HANDLERS,
    **payments.HANDLERS,
    **referrals.HANDLERS,
    **subscriptions.HANDLERS,
    **topups.HANDLERS,
    **upkeep.HANDLERS,
    **batches.HANDLERS,
    **provider_keys.HANDLERS,
}


def update_inline_state(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    """Do what an event's type asks for; most types ask for nothing.

    Raises psycopg.Error, and the event is not saved then either.
    """
    handler = HANDLERS.get(stored.topic)
    if handler is not None:
        handler(cursor, stored)
