"""The table of what Stripe told and what became of it. All of it blocks.

A body is kept as it came, sealed with the installation's secret, until what it said is settled long
since.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from event_store.locks import Lock

if TYPE_CHECKING:
    import psycopg

    from command_api.identity.vault import Vault
    from providers.payments.told import Notice

    Connection = psycopg.Connection[Any]

WEBHOOK, POLL = "webhook", "poll"
"""Who told: Stripe by itself, or because we asked."""
WAITING, DONE, IGNORED, FAILED = "waiting", "done", "ignored", "failed"
WAITING_MAX = 100_000
"""Most that waits; Stripe keeps what is refused beyond it, and sends it again."""
LEASE_S = 60
"""How long who took an entry may work on it before another process does."""
KEPT_DAYS = 30
PRUNED_MAX = 10_000
LISTED_MAX = 1_000
ERROR_CHARACTERS_MAX = 500
_KEEP = """
INSERT INTO stripe_inbox (event_id, kind, told_by, sealed, happened_at, about)
SELECT %(id)s, %(kind)s, %(by)s, %(sealed)s, %(at)s, %(about)s
WHERE (SELECT count(*) FROM (SELECT FROM stripe_inbox WHERE state = 'waiting' LIMIT %(most)s) w)
  < %(most)s
ON CONFLICT (event_id) DO NOTHING RETURNING true
"""
_LEASE = """
UPDATE stripe_inbox i SET tries = i.tries + 1, error = '',
  due_at = clock_timestamp() + make_interval(secs => %s)
FROM (SELECT event_id FROM stripe_inbox w WHERE state = 'waiting' AND due_at <= clock_timestamp()
  AND NOT EXISTS (SELECT FROM stripe_inbox o WHERE o.state = 'waiting' AND o.tries > 0
    AND o.about = w.about AND o.about <> '' AND o.error = '' AND o.due_at > clock_timestamp())
  ORDER BY happened_at, event_id LIMIT %s FOR UPDATE SKIP LOCKED) d
WHERE i.event_id = d.event_id
RETURNING i.event_id, i.kind, i.sealed, i.tries, i.happened_at
"""
_END = """
UPDATE stripe_inbox SET state = %s, error = %s WHERE event_id = %s
AND tries = %s AND state = 'waiting'
"""
_LATER = """
UPDATE stripe_inbox SET error = %s, due_at = clock_timestamp() + make_interval(secs => %s)
WHERE event_id = %s AND tries = %s AND state = 'waiting'
"""
_PRUNE = """
DELETE FROM stripe_inbox WHERE event_id IN (SELECT event_id FROM stripe_inbox
WHERE state IN ('done', 'ignored') AND received_at < clock_timestamp() - make_interval(days => %s)
ORDER BY received_at LIMIT %s)
"""
_REPLAY = """
UPDATE stripe_inbox SET state = 'waiting', error = '', tries = 0, due_at = clock_timestamp()
WHERE state <> 'waiting' AND (event_id = %(id)s OR (%(id)s = '' AND state = 'failed'))
"""


class InboxFullError(Exception):
    """More waits than is kept."""


class Taken(NamedTuple):
    """An entry that this process works on; `tries` tells its lease from a later one."""

    event_id: str
    kind: str
    sealed: bytes
    tries: int
    happened_at: datetime


class Entry(NamedTuple):
    """An entry for people."""

    event_id: str
    kind: str
    told_by: str
    state: str
    error: str
    tries: int
    happened_at: datetime
    received_at: datetime


class Inbox:
    """One for each process."""

    def __init__(self, vault: Vault) -> None:
        """The vault seals."""
        self._vault = vault

    def keep(self, connection: Connection, notice: Notice, body: bytes, told_by: str) -> bool:
        """Keep what was told; whether it is new. Raises InboxFullError."""
        row = {
            "id": notice.id,
            "kind": notice.type,
            "by": told_by,
            "sealed": self._vault.seal_note(body),
            "at": datetime.fromtimestamp(notice.happened_at, UTC),
            "about": f"{notice.kind} {notice.name}" if notice.name else "",
            "most": WAITING_MAX,
        }
        if connection.execute(_KEEP, row).fetchone():
            return True
        known = connection.execute(
            "SELECT FROM stripe_inbox WHERE event_id = %s", [notice.id]
        ).fetchone()
        if known is None:
            message = f"{WAITING_MAX} events wait here already"
            raise InboxFullError(message)
        return False

    def opened(self, taken: Taken) -> bytes:
        """The body as it came; raises InvalidTag or ValueError for one of another secret."""
        return self._vault.open_note(bytes(taken.sealed))


def lease(connection: Connection, most: int) -> list[Taken]:
    """What is due, the oldest first, which no other process takes for `LEASE_S` seconds.

    Nothing about an object of which another process works on an entry: who is put off has an error,
    and keeps none waiting. One process leases at a time, so that each sees what others took.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [Lock.INBOX])
        rows = connection.execute(_LEASE, [LEASE_S, most]).fetchall()
    return sorted((Taken(*row) for row in rows), key=lambda each: (each.happened_at, each.event_id))


def end(connection: Connection, taken: Taken, state: str, error: str = "") -> None:
    """It is done, concerns nobody here, or failed for this reason."""
    values = [state, error[:ERROR_CHARACTERS_MAX], taken.event_id, taken.tries]
    connection.execute(_END, values)


def later(connection: Connection, taken: Taken, wait_s: float, error: str) -> None:
    """Try again after so many seconds."""
    values = [error[:ERROR_CHARACTERS_MAX], wait_s, taken.event_id, taken.tries]
    connection.execute(_LATER, values)


def prune(connection: Connection) -> int:
    """Forget what was handled long ago; what failed stays. Returns how many."""
    return connection.execute(_PRUNE, [KEPT_DAYS, PRUNED_MAX]).rowcount


def replay(connection: Connection, event_id: str = "") -> int:
    """Handle an entry anew, or all that failed; returns how many."""
    return connection.execute(_REPLAY, {"id": event_id}).rowcount


def entries(connection: Connection, state: str, most: int = LISTED_MAX) -> list[Entry]:
    """Entries of a state, the oldest first."""
    rows = connection.execute(
        "SELECT event_id, kind, told_by, state, error, tries, happened_at, received_at "
        "FROM stripe_inbox WHERE state = %s ORDER BY received_at, event_id LIMIT %s",
        [state, most],
    ).fetchall()
    return [Entry(*row) for row in rows]


def counts(connection: Connection) -> tuple[int, int, float]:
    """How many wait and how many failed, and how long the oldest waits, seconds."""
    row = connection.execute(
        "SELECT count(*) FILTER (WHERE state = 'waiting'), "
        "count(*) FILTER (WHERE state = 'failed'), "
        "coalesce(extract(epoch FROM clock_timestamp() - "
        "min(received_at) FILTER (WHERE state = 'waiting')), 0)::float8 "
        "FROM stripe_inbox WHERE state IN ('waiting', 'failed')"
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), row[2]
