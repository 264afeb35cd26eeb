"""The plans of users beside the log: what their events change there, and reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from domain.events.offers.plans import PlanAssigned, PlanEnded
from domain.identity.key_format import Environment
from event_store.beside.channels import KEYS_CHANNEL, LIMITS_CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
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
    cursor.execute("SELECT pg_notify(%s, '')", [LIMITS_CHANNEL])


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


_IN_FORCE = "p.plan IS NOT NULL AND (p.expires_at IS NULL OR p.expires_at > booking_clock())"
PLANS_OF_KEYS = (
    "SELECT k.key_id::text, p.user_id::text, p.plan, k.environment, "
    "extract(epoch FROM p.expires_at - booking_clock())::float8 "
    "FROM api_key k JOIN user_plan p USING (user_id, account_id) "
    f"WHERE k.key_id = ANY (%s::uuid[]) AND NOT k.replaced AND {_IN_FORCE}"
)
"""Rows of `PlanOfKey`."""


class PlanOfKey(NamedTuple):
    """The plan in force of a key that its user's own account pays for."""

    key_id: str
    user_id: str
    plan: str
    environment: str
    left_s: float | None
    """How long it still counts, seconds; None for without an end."""

    @property
    def live(self) -> bool:
        """Whether the key may use all of the plan."""
        return self.environment == Environment.LIVE


def read_plans_of_keys(
    connection: psycopg.Connection[Any], key_ids: Sequence[str]
) -> dict[str, PlanOfKey]:
    """By key the plan that is in force; those without one are left out."""
    rows = connection.execute(PLANS_OF_KEYS, [list(key_ids)]).fetchall()
    return {found.key_id: found for found in map(PlanOfKey._make, rows)}


def read_planned(connection: psycopg.Connection[Any], *, most: int) -> list[tuple[str, str]]:
    """Users with a plan in force, and the plan: at most so many, the last assigned first."""
    return connection.execute(
        f"SELECT p.user_id::text, p.plan FROM user_plan p WHERE {_IN_FORCE} "
        "ORDER BY p.position DESC LIMIT %s",
        [most],
    ).fetchall()


def read_plan_accounts(
    connection: psycopg.Connection[Any], user_ids: Sequence[str]
) -> tuple[dict[str, str], frozenset[str]]:
    """Of these users who have plans: by account the user, and which of their keys are not live."""
    users = list(user_ids)
    accounts = connection.execute(
        "SELECT account_id::text, user_id::text FROM user_plan WHERE user_id = ANY (%s::uuid[])",
        [users],
    ).fetchall()
    keys = connection.execute(
        "SELECT key_id::text FROM api_key WHERE user_id = ANY (%s::uuid[]) "
        "AND environment <> %s AND NOT replaced",
        [users, str(Environment.LIVE)],
    ).fetchall()
    return dict(accounts), frozenset(key_id for (key_id,) in keys)
