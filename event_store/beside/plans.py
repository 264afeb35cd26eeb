"""The plans of users beside the log: what their events change there, and reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from domain.events.offers.plans import PlanAssigned, PlanEnded
from event_store.beside.channels import KEYS_CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from uuid import UUID

    import psycopg
    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

_SET = """
INSERT INTO user_plan (user_id, account_id, version, plan, starts_at, expires_at, position)
SELECT %(user_id)s, %(account_id)s, %(version)s, %(in_force)s, e.booked_at, %(expires_at)s,
  e.notification_id
FROM events e WHERE e.originator_id = %(stream)s AND e.originator_version = %(version)s
ON CONFLICT (user_id) DO UPDATE SET version = excluded.version, plan = excluded.plan,
  starts_at = excluded.starts_at, expires_at = excluded.expires_at, position = excluded.position
"""


def _changed(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    """The gateways are told whose keys are to be looked up anew."""
    fact = msgspec.json.decode(stored.state)
    own = {
        "stream": stored.originator_id,
        "version": stored.originator_version,
        "in_force": fact["plan"] if stored.topic == PlanAssigned.TOPIC else None,
    }
    cursor.execute(_SET, {"expires_at": None, **fact, **own})
    cursor.execute("SELECT pg_notify(%s, %s)", [KEYS_CHANNEL, fact["user_id"]])


HANDLERS: Mapping[str, Handler] = {PlanAssigned.TOPIC: _changed, PlanEnded.TOPIC: _changed}


class PlanNow(NamedTuple):
    """A user's plan; `over` once it has reached its end, by the database's clock."""

    user_id: UUID
    account_id: UUID
    plan: str
    starts_at: datetime
    expires_at: datetime | None
    position: int
    over: bool


def read_plan(connection: psycopg.Connection[Any], user_id: UUID) -> PlanNow | None:
    """The plan of a user, also one that is over; None where there is none."""
    row = connection.execute(
        "SELECT user_id, account_id, plan, starts_at, expires_at, position, "
        "coalesce(expires_at <= booking_clock(), false) FROM user_plan "
        "WHERE user_id = %s AND plan IS NOT NULL",
        [user_id],
    ).fetchone()
    return None if row is None else PlanNow(*row)
