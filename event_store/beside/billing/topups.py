"""Automatic top-ups: what their events change, and which events of the log concern them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from domain.events.money.subscriptions import CardSaved
from domain.events.money.topups import TopUpBegun, TopUpEnded, TopUpsSet, TopUpsSwitchedOff
from domain.topups.topups import NANO_PER_CENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from uuid import UUID

    import psycopg
    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Connection = psycopg.Connection[Any]
    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

ALWAYS = (CardSaved, TopUpsSet, TopUpBegun, TopUpEnded)
"""Facts of an account's card and top-ups, which are rare."""
_AVAILABLE = """coalesce((
  SELECT a.available - coalesce((SELECT sum(l.available) FROM credit_lot l
    WHERE l.account_id = a.account_id AND (l.expires_at <= booking_clock() OR l.kind = 'trial')),
    0)::bigint
  FROM credit_account a WHERE a.account_id = {account}), 0)"""
_READ_AVAILABLE = "SELECT " + _AVAILABLE.format(account="%s")
_MARKED = (
    'encode(substring(e.state FROM position(\'"account_id":"\'::bytea IN e.state) + 14 FOR 36), '
    "'escape')"
)
"""Without parsing the JSON: no text within it can be mistaken for the mark."""
_ACCOUNT_OF_EVENT = f"CASE WHEN {_MARKED} ~ '^[0-9a-f-]{{36}}$' THEN {_MARKED}::uuid END"
WAKES = f"""(topic = ANY ('{{{",".join(each.TOPIC for each in ALWAYS)}}}')
OR (SELECT EXISTS (SELECT FROM auto_top_up WHERE enabled)) AND EXISTS (
  SELECT FROM auto_top_up t WHERE t.account_id = {_ACCOUNT_OF_EVENT}
  AND t.enabled AND t.under_way IS NULL AND (topic ^@ 'ledger.credits_granted.'
    OR t.asleep_until <= booking_clock()
    AND {_AVAILABLE.format(account="t.account_id")} < t.threshold_minor * {NANO_PER_CENT})))"""
"""Which events of the log the top-ups hear: of money, those alone whose account has too little now,
is not being charged and does not sleep. One that has enough by now falls by a later event.
"""
_NEXT_LAPSE = """
SELECT lot_id, expires_at FROM credit_lot WHERE account_id = %s AND kind <> 'trial'
AND available + held > 0 AND expires_at > booking_clock() AND expires_at < 'infinity'
ORDER BY expires_at, lot_id LIMIT 1
"""


def _apply(statement: str) -> Handler:
    """A handler that executes one statement with the fact's members."""

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
        "asleep_until = '-infinity'"
    ),
    TopUpBegun.TOPIC: _apply(
        "UPDATE auto_top_up SET version = %(version)s, under_way = %(payment_id)s "
        "WHERE account_id = %(account_id)s"
    ),
    TopUpEnded.TOPIC: _apply(
        "UPDATE auto_top_up SET version = %(version)s, under_way = NULL, "
        "asleep_until = coalesce(nullif(%(again_at)s, '')::timestamptz, '-infinity') "
        "WHERE account_id = %(account_id)s"
    ),
    TopUpsSwitchedOff.TOPIC: _apply(
        "UPDATE auto_top_up SET version = %(version)s, enabled = false "
        "WHERE account_id = %(account_id)s"
    ),
}


def read_available(connection: Connection, account_id: UUID) -> int:
    """What an account can spend now, in nano-USD: without lots that lapsed."""
    row = connection.execute(_READ_AVAILABLE.encode(), [account_id]).fetchone()
    return int(row[0]) if row else 0


def read_next_lapse(connection: Connection, account_id: UUID) -> tuple[UUID, datetime] | None:
    """The lot of an account whose rest stops counting next, and when; without trials."""
    row = connection.execute(_NEXT_LAPSE, [account_id]).fetchone()
    return None if row is None else (row[0], row[1])


def sleep(cursor: Cursor[Any], account_id: UUID, version: int, until: str) -> None:
    """Hear nothing of an account's balance until an instant, if its terms are still those seen."""
    cursor.execute(
        "UPDATE auto_top_up SET asleep_until = %s WHERE account_id = %s AND version = %s",
        [until, account_id, version],
    )
