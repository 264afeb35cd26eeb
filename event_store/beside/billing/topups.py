"""Automatic top-ups: what their events change, and which accounts somebody has to look after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from domain.events.money.topups import TopUpBegun, TopUpEnded, TopUpsSet, TopUpsSwitchedOff
from domain.topups.topups import NANO_PER_CENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    import psycopg
    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Connection = psycopg.Connection[Any]
    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

LEASE_S = 60
"""How long who looks after an account may take, before another process does."""
_AVAILABLE = """coalesce((
  SELECT a.available - coalesce((SELECT sum(l.available) FROM credit_lot l
    WHERE l.account_id = a.account_id AND (l.expires_at <= clock_timestamp() OR l.kind = 'trial')),
    0)::bigint
  FROM credit_account a WHERE a.account_id = {account}), 0)"""
_DUE = f"""
UPDATE auto_top_up t SET leased_until = clock_timestamp() + make_interval(secs => %(lease)s)
FROM (
  SELECT account_id FROM auto_top_up u
  WHERE leased_until <= clock_timestamp() AND (under_way IS NOT NULL OR enabled
    AND {_AVAILABLE.format(account="u.account_id")} < threshold_minor * %(cent)s)
  ORDER BY leased_until, account_id LIMIT %(most)s FOR UPDATE SKIP LOCKED
) d WHERE t.account_id = d.account_id RETURNING t.account_id
"""
_READ_AVAILABLE = "SELECT " + _AVAILABLE.format(account="%s")


def _apply(statement: str) -> Handler:
    """A handler that executes one statement with the fact's members, its account leased to none."""

    def handle(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
        fact = msgspec.json.decode(stored.state)
        cursor.execute(statement.encode(), {**fact, "version": stored.originator_version})

    return handle


HANDLERS: Mapping[str, Handler] = {
    TopUpsSet.TOPIC: _apply(
        "INSERT INTO auto_top_up (account_id, version, enabled, threshold_minor) "
        "VALUES (%(account_id)s, %(version)s, %(enabled)s, %(threshold_minor)s) "
        "ON CONFLICT (account_id) DO UPDATE SET version = excluded.version, "
        "enabled = excluded.enabled, threshold_minor = excluded.threshold_minor, "
        "leased_until = '-infinity'"
    ),
    TopUpBegun.TOPIC: _apply(
        "UPDATE auto_top_up SET version = %(version)s, under_way = %(payment_id)s "
        "WHERE account_id = %(account_id)s"
    ),
    TopUpEnded.TOPIC: _apply(
        "UPDATE auto_top_up SET version = %(version)s, under_way = NULL "
        "WHERE account_id = %(account_id)s"
    ),
    TopUpsSwitchedOff.TOPIC: _apply(
        "UPDATE auto_top_up SET version = %(version)s, enabled = false "
        "WHERE account_id = %(account_id)s"
    ),
}


def lease_due(connection: Connection, most: int) -> list[UUID]:
    """Accounts with too little, or with a charge under way, that nobody else looks after now."""
    given = {"lease": LEASE_S, "cent": NANO_PER_CENT, "most": most}
    return [account for (account,) in connection.execute(_DUE.encode(), given).fetchall()]


def release(connection: Connection, account_id: UUID, after_s: float) -> None:
    """Look after an account again once so many seconds are over."""
    connection.execute(
        "UPDATE auto_top_up SET leased_until = clock_timestamp() + make_interval(secs => %s) "
        "WHERE account_id = %s",
        [after_s, account_id],
    )


def read_available(connection: Connection, account_id: UUID) -> int:
    """What an account can spend now, in nano-USD: without lots that lapsed."""
    row = connection.execute(_READ_AVAILABLE.encode(), [account_id]).fetchone()
    return int(row[0]) if row else 0
