"""Compares the inline state of the append with the log: accounts, lots, holds, quotas, keys.

Accounts, lots, open holds and quotas are compared in memory, where the replay has them. Keys are as
many as calls, so PostgreSQL looks each up beside its call, and nothing is kept of them.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.events import ledger as ev
from domain.ledger.holds import HoldState
from domain.ledger.keys import key_of
from domain.ledger.lots import NEVER
from domain.quotas.windows import Window
from event_store.log.codec import decode_or_mark
from event_store.log.pruned_keys import ASKED, KEY_MARK
from event_store.log.reading import READ_EVENTS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import psycopg

    from domain.ledger.state import LedgerState
    from domain.quotas.book import QuotaBook

    Connection = psycopg.Connection[Any]

ACCOUNTS = (
    "SELECT account_id::text, granted, available, held, settled, breakage, debited, owed, "
    "bound "
    "FROM credit_account"
)
VERSIONS = (
    "SELECT account_id::text, version, (SELECT coalesce(max(originator_version), 0) FROM events "
    "WHERE originator_id = account_id) AS logged FROM credit_account"
)
LOTS = (
    "SELECT lot_id::text, account_id::text, kind, priority, CASE WHEN expires_at = 'infinity' "
    f"THEN '{NEVER}' ELSE iso_instant(expires_at) END, sequence, available, held, "
    "bound FROM credit_lot WHERE available + held > 0"
)
GRANTS = "SELECT lot_id::text FROM grant_key"
OPEN_HOLDS = (
    "SELECT h.call_id::text, h.account_id::text, h.amount, h.version, h.lot_ids::text[], "
    "h.lot_amounts, coalesce(n.quota_ids::text[], '{}'), ARRAY(SELECT iso_instant(b.begins) "
    "FROM unnest(n.quota_begins) WITH ORDINALITY AS b(begins, ord) ORDER BY b.ord), "
    "coalesce(n.quota_amounts, '{}') FROM open_hold h CROSS JOIN LATERAL ("
    "SELECT (CASE WHEN h.cell_id IS NULL THEN h ELSE ledger_quota_named(h) END).*) n"
)
QUOTAS = (
    "SELECT quota_id::text, account_id::text, scope_kind, scope_id::text, unit, period, "
    "quota_limit, zone, removed FROM quota"
)
QUOTA_WINDOWS = (
    "SELECT quota_id || ' from ' || iso_instant(begins), used, held FROM quota_count "
    "WHERE used + held > 0"
)
LENDING = """
SELECT c.quota_id, iso_instant(c.begins), sum(c.lent), w.used + w.held, q.quota_limit
FROM quota_cell_part c
JOIN quota q ON q.quota_id = c.quota_id
CROSS JOIN LATERAL quota_now(c.account_id, c.quota_id, c.begins) w
WHERE c.live GROUP BY c.quota_id, c.begins, w.used, w.held, q.quota_limit, q.removed
HAVING q.removed OR w.used + w.held + sum(c.lent) > q.quota_limit
ORDER BY c.quota_id"""
CELL_HOLDS = """
SELECT c.cell_id, c.holds + coalesce(a.held_requests, 0) AS stored, count(h.call_id) AS open
FROM quota_cell c
LEFT JOIN credit_account a ON a.account_id = c.account_id AND a.home_id = c.cell_id
LEFT JOIN open_hold h ON h.cell_id = c.cell_id
GROUP BY c.cell_id, a.held_requests"""
NAMED_MAX = 20
"""Keys of the log without a row that are named."""

_KEYS = """
SELECT encode(k.key_hash, 'hex'), encode(k.digest, 'hex'), k.call_id::text, k.state,
  told.positions, told.topics, told.states
FROM idempotency_key k CROSS JOIN LATERAL (
  SELECT array_agg(notification_id ORDER BY originator_version) AS positions,
    array_agg(topic ORDER BY originator_version) AS topics,
    array_agg(CASE WHEN topic = ANY (%(asked)s) THEN state END ORDER BY originator_version)
      AS states
  FROM events WHERE originator_id = k.call_id AND topic <> %(late)s) told"""
_KEYS_MISSING = """
SELECT notification_id, originator_id::text FROM events
WHERE topic = ANY (%(asked)s) AND notification_id > %(pruned)s
  AND (topic <> %(placed)s OR position(%(mark)s IN state) > 0)
  AND NOT EXISTS (SELECT FROM idempotency_key WHERE call_id = originator_id)
ORDER BY notification_id LIMIT %(limit)s"""
_STATES = {
    ev.HoldPlaced.TOPIC: HoldState.HELD,
    ev.HoldExtended.TOPIC: HoldState.HELD,
    ev.HoldSettled.TOPIC: HoldState.SETTLED,
    ev.ChargeCorrected.TOPIC: HoldState.SETTLED,
    ev.HoldVoided.TOPIC: HoldState.VOIDED,
    ev.HoldExpired.TOPIC: HoldState.EXPIRED,
    **dict.fromkeys(ASKED[1:], HoldState.REFUSED),
}


def inline_differences(connection: Connection, state: LedgerState) -> Iterator[str]:
    """Every row that differs from the replay, spelled out."""
    bound = {quota.account_id for quota in state.quotas.quotas.values() if not quota.removed}
    accounts = {
        each.account_id: (
            each.granted,
            each.available,
            each.held,
            each.settled,
            each.breakage,
            each.debited,
            each.owed,
            each.account_id in bound,
        )
        for each in state.accounts.values()
    }
    lots = {
        lot.lot_id: (
            each.account_id,
            lot.kind,
            lot.priority,
            lot.expires_at,
            lot.sequence,
            lot.available,
            lot.held,
            state.quotas.has_lot(lot.lot_id),
        )
        for each in state.accounts.values()
        for lot in each.lots.values()
        if lot.available or lot.held
    }
    grants = {lot_id: () for each in state.accounts.values() for lot_id in each.lots}
    holds = {
        hold.call_id: (
            hold.account_id,
            hold.amount,
            hold.version,
            *((part["lot_id"], part["amount_nano_usd"]) for part in hold.parts),
            *((part["quota_id"], part["begins"], part["held"]) for part in hold.quotas),
        )
        for hold in state.open_holds.values()
    }
    stored_holds = {
        row[0]: (
            *row[1:4],
            *zip(row[4], row[5], strict=True),
            *zip_longest(row[6], row[7], row[8]),
        )
        for row in connection.execute(OPEN_HOLDS).fetchall()
    }
    yield from _compare("credit_account", _keyed(connection, ACCOUNTS), accounts)
    for account, stored, logged in connection.execute(VERSIONS).fetchall():
        if stored != logged:
            yield f"credit_account {account}: stored at version {stored}, the log at {logged}"
    yield from _compare("credit_lot", _keyed(connection, LOTS), lots)
    yield from _compare("grant_key", _keyed(connection, GRANTS), grants)
    yield from _compare("open_hold", stored_holds, holds)
    yield from _quota_differences(connection, state.quotas)
    yield from lending_differences(connection)
    yield from _key_differences(connection)


def _quota_differences(connection: Connection, book: QuotaBook) -> Iterator[str]:
    quotas = {
        quota.quota_id: (
            quota.account_id,
            quota.scope_kind,
            quota.scope_id,
            quota.unit,
            quota.window,
            quota.limit,
            quota.zone,
            quota.removed,
        )
        for quota in book.quotas.values()
    }
    ((pruned,),) = connection.execute("SELECT iso_instant(before) FROM quota_pruned").fetchall()
    stored = _keyed(connection, QUOTA_WINDOWS)
    windows = {
        name: (used, held)
        for quota in book.quotas.values()
        for begins, (used, held) in quota.windows.items()
        if used + held
        for name in (f"{quota.quota_id} from {begins}",)
        # What is pruned is no difference; what is left must still be right.
        if name in stored or held or begins >= pruned or quota.window == Window.TOTAL
    }
    yield from _compare("quota", _keyed(connection, QUOTAS), quotas)
    yield from _compare("quota_window", stored, windows)


def lending_differences(connection: Connection) -> Iterator[str]:
    """Cells that lend more than their quotas have, or that wait for other holds than there are.

    What they lend follows from no event, but decides what is admitted without a further look.
    """
    for quota_id, begins, lent, taken, limit in connection.execute(LENDING).fetchall():
        yield f"quota_cell of {quota_id} from {begins}: lends {lent} beside {taken} of {limit}"
    for cell_id, stored, logged in connection.execute(CELL_HOLDS).fetchall():
        if stored != logged:
            yield f"quota_cell {cell_id}: stored with {stored} holds, open are {logged}"


def _key_differences(connection: Connection) -> Iterator[str]:
    ((pruned,),) = connection.execute("SELECT position FROM idempotency_pruned").fetchall()
    with connection.cursor("keys") as cursor:
        cursor.itersize = READ_EVENTS_MAX
        cursor.execute(_KEYS, {"asked": ASKED, "late": ev.HouseLossBooked.TOPIC})
        for key, digest, call_id, state, *told in cursor:
            logged = _logged_key(key, call_id, zip(*told, strict=True) if told[0] else (), pruned)
            if logged != (digest, state):
                stored = (digest, call_id, state)
                yield f"idempotency_key {key}: stored {stored}, the log says {logged}"
    lacking = {
        "asked": ASKED,
        "placed": ev.HoldPlaced.TOPIC,
        "mark": KEY_MARK,
        "pruned": pruned,
        "limit": NAMED_MAX,
    }
    for position, call_id in connection.execute(_KEYS_MISSING, lacking).fetchall():
        yield f"idempotency_key: none is stored for call {call_id} of position {position}"


def _logged_key(
    key: str, call_id: str, told: Iterable[tuple[int, str, bytes | None]], pruned: int
) -> tuple[str, str] | None:
    """Digest and state of a key by the stream of its call, or None where none should be stored.

    A call that ended void may be held again, under another key or none: the key keeps the end
    of the hold that it was asked for.
    """
    digest, asked, last, current = "", 0, "", False
    for position, topic, state in told:
        if state is not None:
            named = key_of(decode_or_mark(topic, bytes(state), UUID(call_id), 1))
            current = named is not None and named[0] == key
            if named is not None and current:
                digest, asked = named[1], position
        if current:
            last = topic
    return (digest, str(_STATES.get(last))) if asked > pruned else None


def _keyed(connection: Connection, query: str) -> dict[str, tuple[Any, ...]]:
    return {row[0]: tuple(row[1:]) for row in connection.execute(query).fetchall()}


def _compare(
    table: str, stored: dict[str, tuple[Any, ...]], replayed: dict[str, tuple[Any, ...]]
) -> Iterator[str]:
    for key in sorted(stored.keys() | replayed.keys()):
        if stored.get(key) != replayed.get(key):
            yield f"{table} {key}: stored {stored.get(key)}, the log says {replayed.get(key)}"
