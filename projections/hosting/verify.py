"""`ledger verify`: replays the log and compares everything that was derived from it.

One repeatable-read snapshot sees the events, the inline state and the read models at one
position, so it works under live traffic. A read model is compared at its own position, which
may trail the log's head.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from domain.errors import DomainError
from domain.ledger.lots import NEVER
from domain.ledger.state import LedgerState
from event_store.log.codec import UnreadableEvent
from event_store.log.reading import head_position, read_all_rows
from projections.all import PROJECTIONS
from projections.engine.comparison import begin_snapshot, open_checks

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

    from event_store.postgres.database import Database
    from projections.engine.comparison import Checks
    from projections.engine.sinks.port import Sink

ACCOUNTS = (
    "SELECT account_id::text, granted, available, held, settled, breakage FROM credit_account"
)
LOTS = (
    "SELECT lot_id::text, account_id::text, kind, priority, CASE WHEN expires_at = 'infinity' "
    f"THEN '{NEVER}' ELSE iso_instant(expires_at) END, sequence, available, held "
    "FROM credit_lot WHERE available + held > 0"
)
OPEN_HOLDS = (
    "SELECT call_id::text, account_id::text, amount, version, lot_ids::text[], lot_amounts "
    "FROM open_hold"
)
KEYS = (
    "SELECT encode(key_hash, 'hex'), encode(digest, 'hex'), call_id::text, state "
    "FROM idempotency_key"
)


@dataclass(slots=True)
class Report:
    """What verification saw; `differences` is empty when all is well."""

    position: int = 0
    events: int = 0
    accounts: int = 0
    open_holds: int = 0
    granted_nano_usd: int = 0
    settled_nano_usd: int = 0
    held_nano_usd: int = 0
    available_nano_usd: int = 0
    breakage_nano_usd: int = 0
    house_loss_nano_usd: int = 0
    read_models: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)


def verify(database: Database, sinks: Mapping[str, Sink] | None = None) -> Report:
    """Replay and compare; every difference is named in the report."""
    report = Report()
    with database.connect() as connection:
        known = begin_snapshot(connection, PROJECTIONS, sinks)
        with connection.transaction():
            report.position = head_position(connection)
            checks = open_checks(connection, PROJECTIONS, known)
            state = _replay(connection, report, checks)
            report.differences += _inline_differences(connection, state)
            for result in checks.finish():
                report.read_models[result.name] = result.position
                report.differences += result.differences
    _sum_up(report, state)
    return report


def _replay(connection: psycopg.Connection[Any], report: Report, checks: Checks) -> LedgerState:
    state = LedgerState()
    last, last_booked = 0, None
    for row in read_all_rows(connection):
        entry = checks.add(row)
        report.events += 1
        if entry.position <= last:
            report.differences.append(f"position {entry.position} follows {last}")
        if last_booked is not None and entry.booked_at < last_booked:
            report.differences.append(f"position {entry.position} was booked before {last}")
        last, last_booked = entry.position, entry.booked_at
        if isinstance(entry.event, UnreadableEvent):
            report.differences.append(f"position {entry.position}: {entry.event.error}")
        try:
            state.apply(entry.event, entry.position)
        except (DomainError, KeyError) as error:
            report.differences.append(f"position {entry.position} breaks the rules: {error}")
    if state.trial_balance_sum() != 0:
        report.differences.append(f"the trial balance is {state.trial_balance_sum()}, not 0")
    return state


def _inline_differences(connection: psycopg.Connection[Any], state: LedgerState) -> list[str]:
    accounts = {
        each.account_id: (each.granted, each.available, each.held, each.settled, each.breakage)
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
        )
        for each in state.accounts.values()
        for lot in each.lots.values()
        if lot.available or lot.held
    }
    holds = {
        hold.call_id: (
            hold.account_id,
            hold.amount,
            hold.version,
            *tuple((part["lot_id"], part["amount_nano_usd"]) for part in hold.parts),
        )
        for hold in state.open_holds.values()
    }
    keys = {
        key: (digest, call_id, str(hold_state))
        for key, (digest, call_id, hold_state) in state.idempotency.items()
    }
    stored_holds = {
        row[0]: (*row[1:4], *zip(row[4], row[5], strict=True))
        for row in connection.execute(OPEN_HOLDS).fetchall()
    }
    return [
        *_compare("credit_account", _keyed(connection, ACCOUNTS), accounts),
        *_compare("credit_lot", _keyed(connection, LOTS), lots),
        *_compare("open_hold", stored_holds, holds),
        *_compare("idempotency_key", _keyed(connection, KEYS), keys),
    ]


def _keyed(connection: psycopg.Connection[Any], query: str) -> dict[str, tuple[Any, ...]]:
    return {row[0]: tuple(row[1:]) for row in connection.execute(query).fetchall()}


def _compare(
    table: str, stored: dict[str, tuple[Any, ...]], replayed: dict[str, tuple[Any, ...]]
) -> list[str]:
    return [
        f"{table} {key}: stored {stored.get(key)}, the log says {replayed.get(key)}"
        for key in sorted(stored.keys() | replayed.keys())
        if stored.get(key) != replayed.get(key)
    ]


def _sum_up(report: Report, state: LedgerState) -> None:
    accounts = state.accounts.values()
    report.accounts = len(accounts)
    report.open_holds = len(state.open_holds)
    report.granted_nano_usd = sum(each.granted for each in accounts)
    report.settled_nano_usd = sum(each.settled for each in accounts)
    report.held_nano_usd = sum(each.held for each in accounts)
    report.available_nano_usd = sum(each.available for each in accounts)
    report.breakage_nano_usd = sum(each.breakage for each in accounts)
    report.house_loss_nano_usd = sum(each.house_loss for each in accounts)
    spent = report.settled_nano_usd + report.held_nano_usd
    if spent > report.granted_nano_usd:
        report.differences.append("more was settled and held than granted")
