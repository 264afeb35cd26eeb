"""Forgets old idempotency keys by the position of the log (money rule 8).

A key whose last hold was asked for at or before the pruned position is forgotten. The position
stands in the database and stops before the first hold that is still open, so that a replay with
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
    Asked = tuple[str, UUID]
    """A key's hash in hex, and the call that it was asked for."""

logger = logging.getLogger("gatewayz.sweeper")

ASKED = [HoldPlaced.TOPIC, HoldRefused.TOPIC, *older_topics(HoldRefused.TOPIC)]
"""The types of events under which a key is asked for."""
KEY_MARK = b'"idempotency":{"'
"""Stands in the state of a hold that was asked for under a key."""
PRUNE_EVENTS_MAX = 2_000
"""Events looked at in one transaction."""
PRUNE_BATCHES_MAX = 25
"""Transactions of one sweep."""

_BEGIN = """
SELECT p.position, (
  SELECT booked_at < booking_clock() - %s FROM events
  WHERE notification_id > p.position ORDER BY notification_id LIMIT 1)
FROM idempotency_pruned p FOR UPDATE OF p SKIP LOCKED"""
_SPAN = """
SELECT e.notification_id, e.originator_id, e.topic, CASE WHEN e.topic = ANY (%(asked)s)
    AND (e.topic <> %(placed)s OR position(%(mark)s IN e.state) > 0) THEN e.state END,
  e.booked_at >= booking_clock() - %(keep)s
    OR (h.call_id IS NOT NULL AND e.topic = %(placed)s) AS stop
FROM (SELECT * FROM events WHERE notification_id > %(after)s
  ORDER BY notification_id LIMIT %(limit)s) e
LEFT JOIN open_hold h ON h.call_id = e.originator_id
ORDER BY e.notification_id"""
_LOCK = """
SELECT encode(k.key_hash, 'hex'), k.call_id
FROM idempotency_key k
JOIN unnest(%s::text[], %s::uuid[]) AS a(key_hash, call_id)
  ON k.key_hash = decode(a.key_hash, 'hex') AND k.call_id = a.call_id
ORDER BY k.key_hash FOR UPDATE OF k NOWAIT"""
_LATER = """
SELECT originator_id, topic, state FROM events
WHERE originator_id = ANY (%s) AND topic = ANY (%s) AND notification_id > %s"""


async def prune_keys(database: Database, keep: timedelta) -> int:
    """Forget the keys that were last asked for so long ago; returns how many were.

    Nothing is done where another process is at it, or an append has one of the keys. Raises
    psycopg.Error.
    """
    pruned = 0
    connection = await database.connect_async()
    async with connection:
        try:
            for _ in range(PRUNE_BATCHES_MAX):
                async with connection.transaction():
                    found = await _prune_batch(connection, keep)
                if found is None:
                    break
                pruned += found
        except psycopg.errors.LockNotAvailable:
            logger.info("an append has a key that is to be pruned: the next sweep prunes it")
    return pruned


async def _prune_batch(connection: Connection, keep: timedelta) -> int | None:
    """The number of keys forgotten, or None where nothing is left to look at."""
    row = await (await connection.execute(_BEGIN, [keep])).fetchone()
    if row is None or not row[1]:
        return None
    span = {
        "asked": ASKED,
        "placed": HoldPlaced.TOPIC,
        "mark": KEY_MARK,
        "keep": keep,
        "after": row[0],
        "limit": PRUNE_EVENTS_MAX,
    }
    end: int = row[0]
    asked: set[Asked] = set()
    for position, stream, topic, state, stop in await _rows(connection, _SPAN, span):
        if stop:
            break
        end = position
        if state is not None and (key := _key_in(topic, state, stream)):
            asked.add(key)
    if end == row[0]:
        return None
    names = [key for key, _ in asked], [call for _, call in asked]
    stored = set(await _rows(connection, _LOCK, names))
    later = await _rows(connection, _LATER, [[call for _, call in stored], ASKED, end])
    stored -= {_key_in(topic, state, stream) for stream, topic, state in later}
    await connection.execute(
        "DELETE FROM idempotency_key WHERE key_hash = ANY (%s)",
        [[bytes.fromhex(key) for key, _ in stored]],
    )
    await connection.execute("UPDATE idempotency_pruned SET position = %s", [end])
    return len(stored)


async def _rows(connection: Connection, query: str, values: Any) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, values)).fetchall()


def _key_in(topic: str, state: bytes, stream: UUID) -> Asked | None:
    named = key_of(decode_or_mark(topic, bytes(state), stream, 1))
    return None if named is None else (named[0], stream)
