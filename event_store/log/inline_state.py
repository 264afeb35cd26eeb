"""What the events of ordinary aggregates change beside the log, in the same transaction.

One function for each event type, in one table by topic. The state is a cache of the log: the
gateways look it up on every call, and read nothing else of these streams. Money is not here: its
inline state is the append function's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from domain.events.identity import ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated
from domain.events.limits import RateLimitsCleared, RateLimitsSet
from domain.limits.rates import FIELDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

KEYS_CHANNEL = "api_keys"
"""Tells the gateways which key was made, rotated or revoked; the payload is its id."""
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
        "INSERT INTO api_key (key_hash, key_id, user_id, account_id, masked, name, expires_at) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [
            fact["key_hash"],
            stored.originator_id,
            fact["user_id"],
            fact["account_id"],
            fact["masked"],
            fact["name"],
            fact.get("expires_at"),
        ],
    )
    _tell(cursor, stored)


def _key_rotated(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    fact = msgspec.json.decode(stored.state)
    rotated = {"key_id": stored.originator_id, **fact}
    cursor.execute(
        "INSERT INTO api_key "
        "(key_hash, key_id, user_id, account_id, masked, name, revoked, expires_at, replaced) "
        "SELECT %(key_hash)s, key_id, user_id, account_id, %(masked)s, name, revoked, expires_at, "
        "true FROM api_key WHERE key_id = %(key_id)s AND NOT replaced",
        rotated,
    )
    cursor.execute(
        "UPDATE api_key SET replaced = true, expires_at = least(expires_at, %(old_until)s) "
        "WHERE key_id = %(key_id)s AND NOT replaced",
        rotated,
    )
    cursor.execute("UPDATE api_key SET replaced = false WHERE key_hash = %(key_hash)s", rotated)
    _tell(cursor, stored)


def _key_revoked(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    cursor.execute("UPDATE api_key SET revoked = true WHERE key_id = %s", [stored.originator_id])
    _tell(cursor, stored)


def _tell(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    cursor.execute("SELECT pg_notify(%s, %s)", [KEYS_CHANNEL, str(stored.originator_id)])


def _limits_set(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    fact = msgspec.json.decode(stored.state)
    limits = fact.get("limits", {})
    values = {name: limits.get(name) for name in FIELDS}
    cleared = stored.topic == RateLimitsCleared.TOPIC
    cursor.execute(_SET_LIMITS, {"plan": None, **fact, **values, "cleared": cleared})
    cursor.execute("SELECT pg_notify(%s, '')", [LIMITS_CHANNEL])


HANDLERS: Mapping[str, Handler] = {
    ApiKeyCreated.TOPIC: _key_created,
    ApiKeyRotated.TOPIC: _key_rotated,
    ApiKeyRevoked.TOPIC: _key_revoked,
    RateLimitsSet.TOPIC: _limits_set,
    RateLimitsCleared.TOPIC: _limits_set,
}


def update_inline_state(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    """Do what an event's type asks for; most types ask for nothing.

    Raises psycopg.Error, and the event is not saved then either.
    """
    handler = HANDLERS.get(stored.topic)
    if handler is not None:
        handler(cursor, stored)
