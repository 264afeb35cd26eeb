"""`account_balances`: what each account holds, its lots, and its statement line by line.

Tables: `read_account_balance_v1`, `read_credit_lot_v1`, `read_credit_statement_v1`. The
statement lists what changes the posted balance (available + held): grants, charges, breakage.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from domain.events import (
    CreditsGranted,
    HoldExtended,
    HoldPlaced,
    HoldResolved,
    HoldSettled,
    HouseLossBooked,
    LotExpired,
    MoneyEvent,
)
from domain.postings import BREAKAGE
from projections.runner import Projection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

    from event_store.log import LogEntry

TRANSACTION_TYPES = {"trial": "trial", "purchase": "purchase", "bonus": "bonus"}
USAGE = "api_usage"


@dataclass(slots=True)
class BalanceRow:
    """One account, nano-USD."""

    account_id: str
    granted: int = 0
    available: int = 0
    held: int = 0
    settled: int = 0
    breakage: int = 0
    house_loss: int = 0
    requests: int = 0
    tokens: int = 0
    position: int = 0

    @property
    def posted(self) -> int:
        """What belongs to the customer: available and held together."""
        return self.available + self.held

    def values(self) -> tuple[Any, ...]:
        """The row in column order."""
        return tuple(getattr(self, name) for name in BALANCE_COLUMNS)


BALANCE_COLUMNS = tuple(BalanceRow.__dataclass_fields__)


@dataclass(slots=True)
class LotRow:
    """One lot, nano-USD; the instants are ISO 8601 strings, as in the event."""

    lot_id: str
    account_id: str
    kind: str
    granted: int
    available: int
    granted_at: str
    expires_at: str | None

    def values(self) -> tuple[Any, ...]:
        """The row in column order."""
        return tuple(getattr(self, name) for name in LOT_COLUMNS)


LOT_COLUMNS = tuple(LotRow.__dataclass_fields__)

STATEMENT_COLUMNS = (
    *("position", "account_id", "event_id", "transaction_type", "amount", "balance_before"),
    *("balance_after", "house_loss", "description", "call_id", "payment_id", "booked_at"),
    "effective_at",
)


@dataclass(slots=True)
class Balances:
    """The rows in hand, by key, and the statement lines to add."""

    accounts: dict[str, BalanceRow] = field(default_factory=dict)
    lots: dict[str, LotRow] = field(default_factory=dict)
    lines: list[tuple[Any, ...]] = field(default_factory=list)

    def account(self, account_id: str) -> BalanceRow:
        """The row of an account, opened on first sight."""
        row = self.accounts.get(account_id)
        if row is None:
            row = self.accounts[account_id] = BalanceRow(account_id)
        return row


def lots_touched(event: MoneyEvent) -> Iterable[str]:
    """Ids of the lots whose available credits an event changes."""
    match event:
        case CreditsGranted() | LotExpired():
            return [event.lot_id]
        case HoldPlaced() | HoldExtended():
            return [part["lot_id"] for part in event.lots]
        case HoldResolved():
            return [part["lot_id"] for part in [*event.released_lots, *event.beyond_lots]]
        case _:
            return []


class AccountBalances(Projection[Balances]):
    """See the module."""

    name = "account_balances"
    version = 1
    tables = ("read_account_balance_v1", "read_credit_lot_v1", "read_credit_statement_v1")

    def initial(self) -> Balances:
        """No accounts."""
        return Balances()

    def load(self, connection: psycopg.Connection[Any], entries: Sequence[LogEntry]) -> Balances:
        """The rows of the accounts and lots that the events touch."""
        money = [entry.event for entry in entries if isinstance(entry.event, MoneyEvent)]
        accounts = list({event.account_id for event in money})
        lots = list({lot for event in money for lot in lots_touched(event)})
        state = Balances()
        for row in connection.execute(
            f"{_SELECT_BALANCES} WHERE account_id = ANY (%s::uuid[])", [accounts]
        ):
            state.accounts[row[0]] = BalanceRow(*row)
        for row in connection.execute(f"{_SELECT_LOTS} WHERE lot_id = ANY (%s::uuid[])", [lots]):
            state.lots[row[0]] = LotRow(*row)
        return state

    def fold(self, state: Balances, entries: Sequence[LogEntry]) -> None:
        """Apply the events in order."""
        for entry in entries:
            if isinstance(entry.event, MoneyEvent):
                _apply(state, entry, entry.event)

    def store(self, connection: psycopg.Connection[Any], state: Balances) -> None:
        """Upsert accounts and lots in key order, append the statement lines."""
        with connection.cursor() as cursor:
            cursor.executemany(
                _upsert("read_account_balance_v1", BALANCE_COLUMNS),
                [state.accounts[key].values() for key in sorted(state.accounts)],
            )
            cursor.executemany(
                _upsert("read_credit_lot_v1", LOT_COLUMNS),
                [state.lots[key].values() for key in sorted(state.lots)],
            )
            columns = ", ".join(STATEMENT_COLUMNS)
            with cursor.copy(f"COPY read_credit_statement_v1 ({columns}) FROM STDIN") as copy:
                for line in state.lines:
                    copy.write_row(line)

    def differences(self, connection: psycopg.Connection[Any], state: Balances) -> list[str]:
        """Name each account, lot or statement line that differs from the log's."""
        found: list[str] = []
        rows = connection.execute(_SELECT_BALANCES).fetchall()
        live = {row[0]: row for row in rows}
        replayed = {key: row.values() for key, row in state.accounts.items()}
        found += _unequal("read_account_balance_v1", live, replayed)
        lots = {row[0]: row for row in connection.execute(_SELECT_LOTS).fetchall()}
        found += _unequal(
            "read_credit_lot_v1", lots, {key: row.values() for key, row in state.lots.items()}
        )
        statement = connection.execute(_SELECT_STATEMENT)
        lines = {line[0]: line[:-1] for line in state.lines}
        return found + _unequal(
            "read_credit_statement_v1", {row[0]: row for row in statement.fetchall()}, lines
        )


def _unequal(
    table: str, live: dict[Any, tuple[Any, ...]], replayed: dict[Any, tuple[Any, ...]]
) -> list[str]:
    return [
        f"{table} {key}: stored {live.get(key)}, the log says {replayed.get(key)}"
        for key in sorted(live.keys() | replayed.keys())
        if live.get(key) != replayed.get(key)
    ]


_SELECT_BALANCES = (
    f"SELECT account_id::text, {', '.join(BALANCE_COLUMNS[1:])} FROM read_account_balance_v1"
)
_SELECT_STATEMENT = (
    "SELECT position, account_id::text, event_id::text, transaction_type, amount, balance_before, "
    "balance_after, house_loss, description, call_id::text, payment_id, booked_at "
    "FROM read_credit_statement_v1"
)
_SELECT_LOTS = (
    "SELECT lot_id::text, account_id::text, kind, granted, available, iso_instant(granted_at), "
    "iso_instant(expires_at) FROM read_credit_lot_v1"
)


def _upsert(table: str, columns: tuple[str, ...]) -> str:
    updates = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
    marks = ", ".join(["%s"] * len(columns))
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) "
        f"ON CONFLICT ({columns[0]}) DO UPDATE SET {updates}"
    )


def _apply(state: Balances, entry: LogEntry, event: MoneyEvent) -> None:
    row = state.account(event.account_id)
    before = row.posted
    match event:
        case CreditsGranted():
            row.granted += event.amount_nano_usd
            row.available += event.amount_nano_usd
            state.lots[event.lot_id] = LotRow(
                lot_id=event.lot_id,
                account_id=row.account_id,
                kind=event.kind,
                granted=event.amount_nano_usd,
                available=event.amount_nano_usd,
                granted_at=event.effective_at,
                expires_at=event.expires_at,
            )
            kind = TRANSACTION_TYPES.get(event.kind, event.kind)
            _line(state, entry, event, row, before, kind, event.reason or f"{kind} credits")
        case LotExpired():
            row.available -= event.breakage_nano_usd
            row.breakage += event.breakage_nano_usd
            state.lots[event.lot_id].available -= event.breakage_nano_usd
            _line(state, entry, event, row, before, BREAKAGE, "credits expired unspent")
        case HoldPlaced() | HoldExtended():
            row.available -= event.amount_nano_usd
            row.held += event.amount_nano_usd
            for part in event.lots:
                state.lots[part["lot_id"]].available -= part["amount_nano_usd"]
        case HoldResolved():
            _resolve(state, entry, event, row)
        case HouseLossBooked():
            row.house_loss += event.house_loss_nano_usd
        case _:
            pass
    row.position = entry.position


def _resolve(state: Balances, entry: LogEntry, event: HoldResolved, row: BalanceRow) -> None:
    before = row.posted
    row.held -= event.held_nano_usd
    row.available += event.held_nano_usd - event.settled_nano_usd - event.breakage_nano_usd
    row.settled += event.settled_nano_usd
    row.breakage += event.breakage_nano_usd
    row.house_loss += event.house_loss_nano_usd
    for part in event.released_lots:
        state.lots[part["lot_id"]].available += part["amount_nano_usd"]
    for part in event.beyond_lots:
        state.lots[part["lot_id"]].available -= part["amount_nano_usd"]
    if isinstance(event, HoldSettled):
        row.requests += 1
        row.tokens += event.usage.get("input_tokens", 0) + event.usage.get("output_tokens", 0)
        _line(state, entry, event, row, before, USAGE, f"{event.provider}/{event.model}")
    elif event.breakage_nano_usd:
        _line(state, entry, event, row, before, BREAKAGE, "credits expired during a call")


def _line(
    state: Balances,
    entry: LogEntry,
    event: MoneyEvent,
    row: BalanceRow,
    before: int,
    transaction_type: str,
    description: str,
) -> None:
    is_call = isinstance(event, HoldResolved)
    house_loss = event.house_loss_nano_usd if isinstance(event, HoldResolved) else 0
    payment_id = event.payment_id if isinstance(event, CreditsGranted) else None
    state.lines.append(
        (
            entry.position,
            row.account_id,
            event.id,
            transaction_type,
            row.posted - before,
            before,
            row.posted,
            house_loss,
            description,
            str(event.originator_id) if is_call else None,
            payment_id,
            entry.booked_at,
            event.effective_at,
        )
    )
