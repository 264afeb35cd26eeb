"""Keys as their users are shown them: from the inline state, with their use from `key_usage`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.identity.access import ADDRESSES, MODELS, PROVIDERS, REFERRERS, scopes_in
from domain.identity.permissions import lists_of
from event_store.ids import to_iso
from projections.all import projection_named
from projections.engine.freshness import await_own_writes
from projections.usage.key_usage import KEY_USAGE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from event_store.postgres.database import Connects

USAGE = projection_named("key_usage")
LAST_SHOWN = 4
_KEYS = f"""
SELECT k.key_id::text, k.masked, k.name, k.environment, k.active AND NOT k.revoked, k.revoked,
  k.expires_at, coalesce(k.limits, '{{}}'),
  (SELECT booked_at FROM events e WHERE e.originator_id = k.key_id AND e.originator_version = 1),
  (SELECT booked_at FROM events e WHERE e.notification_id = k.position),
  coalesce(u.requests, 0), u.last_used_at
FROM api_key k LEFT JOIN {KEY_USAGE.view} u ON u.key_id = k.key_id::text
WHERE k.user_id = %s AND NOT k.replaced AND NOT k.deleted
ORDER BY k.key_id
"""


def read_keys(database: Connects, user_id: str, *, wait_s: float = 0.0) -> list[dict[str, Any]]:
    """The keys of a user, oldest first; the primary one is the oldest that was not revoked.

    With `wait_s` their use is what was booked before; raises ProjectionLaggingError.
    """
    with database.connect() as connection:
        if wait_s:
            await_own_writes(connection, USAGE, wait_s)
        rows = connection.execute(_KEYS.encode(), [UUID(user_id)]).fetchall()
    primary = next((row[0] for row in rows if not row[5]), None)
    now = datetime.now(UTC)
    return [{**_shown(row, now), "is_primary": row[0] == primary} for row in rows]


def read_key(database: Connects, user_id: str, key_id: str) -> dict[str, Any] | None:
    """One of them; None where the user has no such key."""
    return next((each for each in read_keys(database, user_id) if each["id"] == key_id), None)


def scopes_shown(limits: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Scopes as lists by kind; nothing where they do not limit."""
    scopes = scopes_in(limits)
    return {} if scopes is None else lists_of(scopes)


def _shown(row: tuple[Any, ...], now: datetime) -> dict[str, Any]:
    (key_id, masked, name, environment, active, revoked, ends, limits, made, changed) = row[:10]
    requests, used = row[10:]
    return {
        "id": key_id,
        "api_key": masked,
        "last4": masked[-LAST_SHOWN:],
        "key_name": name,
        "environment_tag": environment,
        "scope_permissions": scopes_shown(limits),
        "is_active": active,
        "revoked": revoked,
        "expiration_date": _iso(ends),
        "days_remaining": None if ends is None else max(0, (ends - now).days),
        "max_requests": None,
        "requests_used": requests,
        "requests_remaining": None,
        "usage_percentage": None,
        **{each: limits.get(each, []) for each in (ADDRESSES, REFERRERS, MODELS, PROVIDERS)},
        "created_at": _iso(made),
        "updated_at": _iso(changed),
        "last_used_at": _iso(used),
    }


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else to_iso(instant)
