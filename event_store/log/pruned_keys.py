"""Forgets old idempotency keys by the position of the log (money rule 8).

A key whose last hold was asked for at or before the pruned position is forgotten. The position
stands in the database and stops before a hold that is still open, so that a replay with
the same position comes to the same keys. `grant_key` is never pruned.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import psycopg

from domain.events.ledger import HoldPlaced, HoldRefused
from domain.ledger.keys import key_of
from domain.upcasters import older_topics
from event_store.log.codec import decode_or_mark

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from event_store.postgres.database import Database

    Connection = psycopg.AsyncConnection[Any]

logger = logging.getLogger("gatewayz.sweeper")

ASKED = [HoldPlaced.TOPIC, HoldRefused.TOPIC, *older_topics(HoldRefused.TOPIC)]
"""The types of events under which a key is asked for."""
KEY_MARK = b'"idempotency":{"'
"""Stands in the state of a hold that was asked for under a key."""
PRUNE_EVENTS_MAX = 2_000
"""Events looked at in one transaction."""
PRUNE_BATCHES_MAX = 25
"""Transactions of one sweep."""
READ_S = 10.0
"""Longest look at the log, seconds."""
FORGET_MS = "1000"
"""Longest hold on the locks of keys, and longest silence of ours while we have them."""

_PRUNED = """
SELECT p.position, (
  SELECT booked_at < booking_clock() - %s FROM events
  WHERE notification_id > p.position ORDER BY notification_id LIMIT 1)
FROM idempotency_pruned p"""
_SPAN = """
SELECT e.notification_id, e.originator_id, e.topic, CASE WHEN e.topic = ANY (%(asked)s)
    AND (e.topic <> %(placed)s OR position(%(mark)s IN e.state) > 0) THEN e.state END,
  e.booked_at >= booking_clock() - %(keep)s OR h.call_id IS NOT NULL AS stop
FROM (SELECT * FROM events WHERE notification_id > %(after)s
  ORDER BY notification_id LIMIT %(limit)s) e
LEFT JOIN open_hold h ON h.call_id = e.originator_id AND e.topic = %(placed)s
  AND convert_to(h.hold_id::text, 'UTF8') = substr(e.state, 8, 36)
ORDER BY e.notification_id"""
_BOUNDS = """
SELECT set_config('statement_timeout', %(ms)s, true),
  set_config('idle_in_transaction_session_timeout', %(ms)s, true)"""
_LOCK = """
SELECT FROM idempotency_key k
JOIN unnest(%(keys)s::bytea[], %(calls)s::uuid[]) AS a(key_hash, call_id) USING (key_hash, call_id)
ORDER BY key_hash FOR UPDATE OF k NOWAIT"""
_FORGET = """
WITH gone AS (
  DELETE FROM idempotency_key k
  USING unnest(%(keys)s::bytea[], %(calls)s::uuid[]) AS a(key_hash, call_id)
  WHERE k.key_hash = a.key_hash AND k.call_id = a.call_id AND k.state <> 'held' AND NOT EXISTS (
    SELECT FROM events e
    WHERE e.originator_id = a.call_id AND e.topic = ANY (%(asked)s)
      AND e.notification_id > %(end)s
      AND (position(convert_to(encode(a.key_hash, 'hex'), 'UTF8') IN e.state) > 0
        OR position(convert_to(rtrim(encode(a.key_hash, 'base64'), '='), 'UTF8') IN e.state) > 0))
  RETURNING 1
), moved AS (
  UPDATE idempotency_pruned SET position = %(end)s WHERE position < %(end)s RETURNING 1
)
SELECT count(*) FROM gone"""


async def prune_keys(database: Database, keep: timedelta) -> int:
    """Forget the keys that were last asked for so long ago; returns how many were.

    Where an append has one of the keys, the next sweep goes on. Raises psycopg.Error.
    """
    pruned = 0
    connection = await database.connect_async(statement_s=READ_S)
    async with connection:
        for _ in range(PRUNE_BATCHES_MAX):
            try:
                found = await _prune_batch(connection, keep)
            except psycopg.errors.LockNotAvailable:
                logger.info("an append has a key that is to be pruned: the next sweep prunes it")
                break
            if found is None:
                break
            pruned += found
    return pruned


async def _prune_batch(connection: Connection, keep: timedelta) -> int | None:
    """The number of keys forgotten, or None where nothing is left to look at."""
    ((after, due),) = await _rows(connection, _PRUNED, [keep])
    if not due:
        return None
    span = {
        "asked": ASKED,
        "placed": HoldPlaced.TOPIC,
        "mark": KEY_MARK,
        "keep": keep,
        "after": after,
        "limit": PRUNE_EVENTS_MAX,
    }
    end: int = after
    asked: set[tuple[bytes, UUID]] = set()
    for position, stream, topic, state, stop in await _rows(connection, _SPAN, span):
        if stop:
            break
        end = position
        if state is not None:
            named = key_of(decode_or_mark(topic, bytes(state), stream, 1))
            if named is not None:
                asked.add((bytes.fromhex(named[0]), stream))
    return None if end == after else await _forget(connection, asked, end)


async def _forget(connection: Connection, asked: set[tuple[bytes, UUID]], end: int) -> int:
    """Forget keys up to a position, in one message: an append waits for their locks meanwhile.

    Between the look at the log and the locks a key may have been asked for again: what comes
    behind the locks sees that.
    """
    values = {
        "keys": [key for key, _ in asked],
        "calls": [call for _, call in asked],
        "asked": ASKED,
        "end": end,
        "ms": FORGET_MS,
    }
    async with connection.pipeline(), connection.transaction():
        await connection.execute(_BOUNDS, values)
        await connection.execute(_LOCK, values)
        cursor = await connection.execute(_FORGET, values)
    found = await cursor.fetchone()
    return int(found[0]) if found else 0


async def _rows(connection: Connection, query: str, values: Any) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, values)).fetchall()
