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
from projections.engine.projection import select_on
from projections.usage.key_usage import read_keys_in_use

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from event_store.postgres.database import Connects
    from projections.usage.key_usage import KeyInUse

USAGE = projection_named("key_usage")
LAST_SHOWN = 4


def read_keys(database: Connects, user_id: str, *, wait_s: float = 0.0) -> list[dict[str, Any]]:
    """The keys of a user, oldest first; the primary one is the oldest that was not revoked.

    With `wait_s` their use is what was booked before; raises ProjectionLaggingError.
    """
    with database.connect() as connection:
        if wait_s:
            await_own_writes(connection, USAGE, wait_s)
        rows = read_keys_in_use(select_on(connection), UUID(user_id))
    primary = next((each.key_id for each in rows if not each.revoked), None)
    now = datetime.now(UTC)
    return [{**_shown(each, now), "is_primary": each.key_id == primary} for each in rows]


def read_environments(
    database: Connects, user_id: str, *, wait_s: float
) -> dict[str, dict[str, int | None]]:
    """What a user's keys were used for, by environment; raises ProjectionLaggingError.

    The most of an environment is that of all its keys together: None where one has no limit.
    """
    found: dict[str, dict[str, int | None]] = {}
    with database.connect() as connection:
        await_own_writes(connection, USAGE, wait_s)
        rows = read_keys_in_use(select_on(connection), UUID(user_id))
    for environment in sorted({each.environment for each in rows}):
        keys = [each for each in rows if each.environment == environment]
        limits = [each.max_requests for each in keys]
        most = None if None in limits else sum(each for each in limits if each is not None)
        found[environment] = {
            "total_requests": sum(each.requests for each in keys),
            "total_max_requests": most,
            "key_count": len(keys),
        }
    return found


def read_key(database: Connects, user_id: str, key_id: str) -> dict[str, Any] | None:
    """One of them; None where the user has no such key."""
    return next((each for each in read_keys(database, user_id) if each["id"] == key_id), None)


def scopes_shown(limits: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Scopes as lists by kind; nothing where they do not limit."""
    scopes = scopes_in(limits)
    return {} if scopes is None else lists_of(scopes)


def _shown(key: KeyInUse, now: datetime) -> dict[str, Any]:
    limits, ends = key.limits, key.expires_at
    return {
        "id": key.key_id,
        "api_key": key.masked,
        "last4": key.masked[-LAST_SHOWN:],
        "key_name": key.name,
        "environment_tag": key.environment,
        "scope_permissions": scopes_shown(limits),
        "is_active": key.is_active,
        "revoked": key.revoked,
        "expiration_date": _iso(ends),
        "days_remaining": None if ends is None else max(0, (ends - now).days),
        **_requests(key),
        **{each: limits.get(each, []) for each in (ADDRESSES, REFERRERS, MODELS, PROVIDERS)},
        "created_at": _iso(key.created_at),
        "updated_at": _iso(key.changed_at),
        "last_used_at": _iso(key.last_used_at),
        "project_id": key.project_id,
        "cache": key.cache,
    }


def _requests(key: KeyInUse) -> dict[str, Any]:
    """How much of its requests a key has used: of a limit what counts towards that."""
    most = key.max_requests
    used = key.requests if most is None else key.quota_used
    return {
        "max_requests": most,
        "requests_used": used,
        "requests_remaining": None if most is None else max(most - used - key.quota_held, 0),
        "usage_percentage": None if most is None else _percentage(used, most),
    }


def _percentage(used: int, most: int) -> float:
    """Of nothing all is used."""
    return round(used * 100 / most, 2) if most else 100.0


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else to_iso(instant)
