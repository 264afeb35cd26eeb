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
from domain.events.profile import UserDeleted
from domain.events.quotas import QuotaRemoved, QuotaSet
from domain.events.sign_in import EmailVerified, SessionEnded
from domain.limits.rates import FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

KEYS_CHANNEL = "api_keys"
"""Tells the gateways which key was made or is another now, or whose role was changed: the payload
is the id of the key, or of the user.
"""
LIMITS_CHANNEL = "rate_limits"
"""Tells the gateways that limits were set or cleared; what they are stands in the table."""
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
        "environment, limits) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
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
        ],
    )
    _tell(cursor, stored)


def _key_rotated(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    fact = msgspec.json.decode(stored.state)
    rotated = {"key_id": stored.originator_id, **fact}
    cursor.execute(
        "INSERT INTO api_key "
        "(key_hash, key_id, user_id, account_id, masked, name, revoked, expires_at, replaced, "
        "environment, active, deleted, limits) "
        "SELECT %(key_hash)s, key_id, user_id, account_id, %(masked)s, name, revoked, expires_at, "
        "true, environment, active, deleted, limits "
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
        "expires_at = CASE WHEN NOT %(ending)s THEN expires_at "
        "WHEN replaced THEN least(expires_at, %(expires_at)s) ELSE %(expires_at)s END "
        "WHERE key_id = %(key_id)s",
        {
            "key_id": stored.originator_id,
            "name": after.get("name"),
            "is_active": after.get("is_active"),
            "limited": "limits" in after,
            "limits": _json(after.get("limits")),
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


def _user_deleted(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    """Without the data key, and without hashes, nobody is left to be found."""
    cursor.execute(
        "UPDATE user_secret SET wrapped_key = NULL, email_hash = NULL, username_hash = NULL, "
        "sealed_password = NULL, sealed_profile = NULL, email_verified = false WHERE user_id = %s",
        [stored.originator_id],
    )
    cursor.execute(
        "DELETE FROM sealed_api_key WHERE key_id IN "
        "(SELECT key_id FROM api_key WHERE user_id = %s)",
        [stored.originator_id],
    )
    for table in ("session", "mail_token", "known_origin"):
        cursor.execute(f"DELETE FROM {table} WHERE user_id = %s", [stored.originator_id])


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
    cursor.execute("SELECT pg_notify(%s, %s)", [KEYS_CHANNEL, str(stored.originator_id)])


def _json(limits: dict[str, Any] | None) -> str | None:
    return msgspec.json.encode(limits).decode() if limits else None


def _limits_set(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    fact = msgspec.json.decode(stored.state)
    limits = fact.get("limits", {})
    values = {name: limits.get(name) for name in FIELDS}
    cleared = stored.topic == RateLimitsCleared.TOPIC
    cursor.execute(_SET_LIMITS, {"plan": None, **fact, **values, "cleared": cleared})
    cursor.execute("SELECT pg_notify(%s, '')", [LIMITS_CHANNEL])


def _quota_set(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    """Refused (not null) where the database does not know the zone, and nothing is saved then."""
    fact = msgspec.json.decode(stored.state)
    cursor.execute(
        "INSERT INTO quota "
        "(quota_id, account_id, scope_kind, scope_id, unit, period, quota_limit, zone) "
        "SELECT %(quota_id)s, %(account_id)s, %(scope_kind)s, %(scope_id)s, %(unit)s, %(window)s, "
        "%(limit)s, CASE WHEN %(zone)s = 'UTC' THEN 'UTC' ELSE "
        "(SELECT min(name) FROM pg_timezone_names WHERE name = %(zone)s) END "
        "ON CONFLICT (quota_id) DO UPDATE SET quota_limit = excluded.quota_limit, "
        "zone = excluded.zone, removed = false",
        {"zone": "UTC", **fact, "quota_id": stored.originator_id},
    )
    cursor.execute(
        "INSERT INTO credit_account (account_id, bound) VALUES (%s, true) "
        "ON CONFLICT (account_id) DO UPDATE SET bound = true",
        [fact["account_id"]],
    )
    cursor.execute("SELECT ledger_quota_close(%s)", [fact["account_id"]])


def _quota_removed(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    fact = msgspec.json.decode(stored.state)
    cursor.execute(
        "UPDATE quota SET removed = true WHERE quota_id = %s",
        [stored.originator_id],
    )
    cursor.execute(
        "UPDATE credit_account a SET bound = EXISTS (SELECT FROM quota q "
        "WHERE q.account_id = a.account_id AND NOT q.removed) WHERE account_id = %s",
        [fact["account_id"]],
    )
    cursor.execute(
        "SELECT CASE WHEN bound THEN ledger_quota_close(account_id) "
        "ELSE quota_unbind(account_id) END FROM credit_account WHERE account_id = %s",
        [fact["account_id"]],
    )


HANDLERS: Mapping[str, Handler] = {
    ApiKeyCreated.TOPIC: _key_created,
    ApiKeyChanged.TOPIC: _key_changed,
    ApiKeyRotated.TOPIC: _key_rotated,
    ApiKeyRevoked.TOPIC: _key_revoked,
    EmailVerified.TOPIC: _email_verified,
    SessionEnded.TOPIC: _session_ended,
    UserDeleted.TOPIC: _user_deleted,
    ApiKeyDeleted.TOPIC: _key_deleted,
    UserRoleChanged.TOPIC: _role_changed,
    RateLimitsSet.TOPIC: _limits_set,
    RateLimitsCleared.TOPIC: _limits_set,
    QuotaSet.TOPIC: _quota_set,
    QuotaRemoved.TOPIC: _quota_removed,
}


def update_inline_state(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    """Do what an event's type asks for; most types ask for nothing.

    Raises psycopg.Error, and the event is not saved then either.
    """
    handler = HANDLERS.get(stored.topic)
    if handler is not None:
        handler(cursor, stored)
