"""What the events of ordinary aggregates change beside the log, in the same transaction.

One function for each event type, in one table by topic. The state is a cache of the log: the
gateways look it up on every call, and read nothing else of these streams. Money is not here: its
inline state is the append function's own. Which quotas there are is; what they count is money's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from domain.events.identity import ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated
from domain.events.quotas import QuotaRemoved, QuotaSet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

KEYS_CHANNEL = "api_keys"
"""Tells the gateways which key was made, rotated or revoked; the payload is its id."""


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


HANDLERS: Mapping[str, Handler] = {
    ApiKeyCreated.TOPIC: _key_created,
    ApiKeyRotated.TOPIC: _key_rotated,
    ApiKeyRevoked.TOPIC: _key_revoked,
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
