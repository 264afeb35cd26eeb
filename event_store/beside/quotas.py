"""Quotas beside the log: what their events change there, and what those of an account say now.

Reads the inline state of the append. `used + held` is never above the limit: what stands beyond is
`overrun` (money rule 13).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from domain.events.quotas import QuotaRemoved, QuotaSet
from domain.quotas.book import shown
from event_store.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    import psycopg
    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    from event_store.postgres.database import Database

    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

QUOTAS_MAX = 1_000
"""Most quotas that one reading gives."""


PRUNE_ROWS_MAX = 2_000
"""Windows forgotten in one transaction."""
PRUNE_BATCHES_MAX = 100
"""Transactions of one pruning."""
PRUNE_STATEMENT_S = 10.0
MONTH_AT_MOST = timedelta(days=32)
"""No window is longer, in whatever zone."""
_CLOSE = """
SELECT ledger_quota_close(account_id) FROM (
  SELECT DISTINCT account_id FROM quota_cell WHERE until < %(before)s LIMIT 100
) old"""
"""Cells of accounts that call no more bring what they counted to their windows."""
_PRUNE = """
WITH gone AS (
  DELETE FROM quota_window w USING (
    SELECT quota_id, begins FROM quota_window o
    WHERE begins > 'epoch' AND begins < %(before)s AND held = 0
      -- A cell that counted in it will bring that here when it is closed.
      AND NOT EXISTS (SELECT FROM quota_cell c JOIN quota q ON q.account_id = c.account_id
        WHERE q.quota_id = o.quota_id AND o.quota_id = ANY (c.quota_ids)
          AND o.begins = ANY (c.begins))
    ORDER BY begins LIMIT %(limit)s FOR UPDATE SKIP LOCKED
  ) old WHERE w.quota_id = old.quota_id AND w.begins = old.begins
  RETURNING 1
), moved AS (
  UPDATE quota_pruned SET before = %(before)s
  WHERE before < %(before)s AND EXISTS (SELECT FROM gone)
)
SELECT count(*) FROM gone"""


class QuotaNow(NamedTuple):
    """A quota and its present window, in its unit; `resets_at` None for `total`.

    `resets_in_s` is how long that is from the database's present, in seconds.
    """

    quota_id: UUID
    account_id: UUID
    scope_kind: str
    scope_id: UUID
    unit: str
    window: str
    zone: str
    limit: int
    used: int
    held: int
    overrun: int
    resets_at: datetime | None
    resets_in_s: int | None


_NOW = """
SELECT q.quota_id, q.account_id, q.scope_kind, q.scope_id, q.unit, q.period, q.zone, q.quota_limit,
  w.used, w.held, n.ends,
  ceil(extract(epoch FROM n.ends - booking_clock()))::bigint
FROM quota q
CROSS JOIN LATERAL (SELECT quota_begin(q.period, q.zone, booking_clock()) AS begins) b
CROSS JOIN LATERAL (SELECT quota_end(q.period, q.zone, b.begins) AS ends) n
CROSS JOIN LATERAL quota_now(q.account_id, q.quota_id, b.begins) w
WHERE NOT q.removed AND """
BY_NUMBER = _NOW + "q.number = %s"
"""The quota that a refusal of the append names by its figure."""
TRIAL = """
SELECT least(g.ends, g.lapsed), coalesce(least(g.ends, g.lapsed) <= booking_clock(), false),
  NOT EXISTS (
    SELECT FROM events e WHERE e.originator_id = %s AND e.topic LIKE '%%.credits_granted.%%'
      AND position('"kind":"trial"'::bytea IN e.state) = 0),
  coalesce(l.available, 0), q.tokens, q.requests, coalesce(g.lapsed < g.ends, false)
FROM (
  SELECT q.scope_id AS lot,
    min(greatest(q.quota_limit - (w.used + w.held), 0))
      FILTER (WHERE q.unit = 'tokens') AS tokens,
    min(greatest(q.quota_limit - (w.used + w.held), 0))
      FILTER (WHERE q.unit = 'requests') AS requests
  FROM quota q CROSS JOIN LATERAL quota_now(q.account_id, q.quota_id, 'epoch') w
  WHERE q.account_id = %s AND q.scope_kind = 'trial_lot'
  GROUP BY q.scope_id ORDER BY max(q.number) DESC LIMIT 1
) q
LEFT JOIN credit_lot l ON l.lot_id = q.lot
LEFT JOIN LATERAL (
  SELECT (
      SELECT (convert_from(e.state, 'UTF8')::jsonb ->> 'expires_at')::timestamptz
      FROM events e WHERE e.originator_id = a.id AND e.topic LIKE '%%.credits_granted.%%'
        AND position(convert_to(q.lot::text, 'UTF8') IN e.state) > 0 LIMIT 1
    ) AS ends, (
      SELECT (convert_from(e.state, 'UTF8')::jsonb ->> 'effective_at')::timestamptz
      FROM events e WHERE e.originator_id = a.id AND e.topic LIKE '%%.lot_expired.%%'
        AND position(convert_to(q.lot::text, 'UTF8') IN e.state) > 0
      ORDER BY e.originator_version LIMIT 1
    ) AS lapsed
  FROM (SELECT %s::uuid AS id) a
) g ON true"""
"""The last trial of an account, whose id it is given three times."""
_OF_ACCOUNT = (
    _NOW
    + "q.account_id = %s AND (%s::uuid[] IS NULL OR q.scope_kind <> 'key' "
    + "OR q.scope_id = ANY (%s)) ORDER BY q.number LIMIT %s"
)


class Trial(NamedTuple):
    """What is left of a trial; `alone` where the account was never given other credits, `closed`
    where it ended before its time: a subscription began.
    """

    ends: datetime | None
    ended: bool
    alone: bool
    credits_nano_usd: int
    tokens: int | None
    requests: int | None
    closed: bool = False


def read_trial(connection: psycopg.Connection[Any], account_id: UUID) -> Trial | None:
    """The last trial of an account with limits, if it had one."""
    row = connection.execute(TRIAL, [account_id] * 3).fetchone()
    return None if row is None else Trial._make(row)


def read_trial_use(connection: psycopg.Connection[Any]) -> dict[str, int]:
    """By unit what was used of all trials; one pass, which a statement's time-out bounds."""
    rows = connection.execute(
        "SELECT q.unit, sum(w.used)::bigint FROM quota q "
        "CROSS JOIN LATERAL quota_now(q.account_id, q.quota_id, 'epoch') w "
        "WHERE q.scope_kind = 'trial_lot' GROUP BY q.unit"
    ).fetchall()
    return dict(rows)


def quota_of(row: Sequence[Any]) -> QuotaNow:
    """A row of one of these queries."""
    limit, used, held = row[7:10]
    return QuotaNow._make((*row[:8], *shown(used, held, limit), *row[10:]))


def read_quotas(
    connection: psycopg.Connection[Any], account_id: UUID, key_ids: Sequence[UUID] | None = None
) -> list[QuotaNow]:
    """The quotas of an account, oldest first; of keys those of `key_ids`, or of all."""
    keys = None if key_ids is None else list(key_ids)
    rows = connection.execute(_OF_ACCOUNT, [account_id, keys, keys, QUOTAS_MAX]).fetchall()
    return [quota_of(row) for row in rows]


def quota_numbered(connection: psycopg.Connection[Any], number: int) -> QuotaNow | None:
    """The quota that a refusal names, unless it was removed since."""
    row = connection.execute(BY_NUMBER, [number]).fetchone()
    return None if row is None else quota_of(row)


async def prune_windows(database: Database, keep: timedelta) -> int:
    """Forget the windows of days and months that ended so long ago; returns how many.

    Those on which a hold still lies stay, and so does the only window of `total`. How far it went
    stands in the database, so that a replay knows which windows may be gone. Raises psycopg.Error.
    """
    pruned = 0
    connection = await database.connect_async(statement_s=PRUNE_STATEMENT_S)
    async with connection:
        cursor = await connection.execute(
            "SELECT date_trunc('day', booking_clock() - %s, 'UTC')", [keep + MONTH_AT_MOST]
        )
        row = await cursor.fetchone()
        values = {"before": row and row[0], "limit": PRUNE_ROWS_MAX}
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [Lock.APPEND])
            await connection.execute(_CLOSE, values)
        for _ in range(PRUNE_BATCHES_MAX):
            found = await (await connection.execute(_PRUNE, values)).fetchone()
            gone = int(found[0]) if found else 0
            pruned += gone
            if gone < PRUNE_ROWS_MAX:
                break
    return pruned


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
    QuotaSet.TOPIC: _quota_set,
    QuotaRemoved.TOPIC: _quota_removed,
}
"""What the events of a quota do."""
