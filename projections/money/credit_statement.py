"""`credit_statement`: what changed each account's posted balance, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.events.ledger import CreditsGranted, HoldResolved, HoldSettled, LotExpired, MoneyEvent
from domain.ledger.postings import BREAKAGE
from projections.engine.projection import Projection
from projections.engine.tables import Column, Merge, Table, amounts, key, sums

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from event_store.log.reading import LogEntry
    from projections.engine.projection import Fetch, Select
    from projections.engine.tables import Changes

USAGE = "api_usage"

STATEMENT_LINE = Table(
    name="credit_statement",
    about="One row for each grant, charge and expiry; nano-USD.",
    columns=(
        key("position", "bigint"),
        Column("account_id", "uuid", Merge.ONCE),
        Column("event_id", "uuid", Merge.ONCE),
        Column(
            "transaction_type",
            "text",
            Merge.ONCE,
            about="A grant's kind, api_usage or breakage.",
        ),
        *amounts("amount", "balance_before", "balance_after", "house_loss"),
        Column("description", "text", Merge.ONCE),
        Column("call_id", "uuid", Merge.ONCE),
        Column("payment_id", "text", Merge.ONCE),
        Column("booked_at", "timestamptz", Merge.ONCE),
        Column("effective_at", "timestamptz", Merge.ONCE),
    ),
    appended=True,
    indexes=("account_id, position DESC",),
)
STATEMENT_BALANCE = Table(
    name="statement_balance",
    about="The balance under the last line of each account's statement; nano-USD.",
    columns=(key("account_id", "uuid"), *sums("posted")),
)


class CreditStatement(Projection):
    """See the module."""

    name = "credit_statement"
    about = "The statement of each account, with running balances."
    tables = (STATEMENT_LINE, STATEMENT_BALANCE)
    handles = (CreditsGranted, LotExpired, HoldResolved)
    watches = ("ledger.",)
    awaited = True
    revision = 2

    def load(self, fetch: Fetch, entries: Sequence[LogEntry]) -> dict[str, int]:
        """The balances under the last lines of the accounts."""
        accounts = {
            entry.event.account_id for entry in entries if isinstance(entry.event, MoneyEvent)
        }
        rows = fetch(STATEMENT_BALANCE, "account_id = ANY (%s::uuid[])", [list(accounts)])
        return {str(account): posted for account, posted in rows}

    def carried(self) -> dict[str, int]:
        """All balances are nought before the first event."""
        return {}

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Write a line if the posted balance changed, or a call was charged."""
        event = entry.event
        match event:
            case CreditsGranted():
                kind, amount = event.kind, event.amount_nano_usd
                said = event.reason or f"{kind} credits"
            case LotExpired():
                kind, amount, said = BREAKAGE, -event.breakage_nano_usd, "credits expired unspent"
            case HoldSettled():
                kind, said = USAGE, f"{event.provider}/{event.model}"
                amount = -event.settled_nano_usd - event.breakage_nano_usd
            case HoldResolved() if event.breakage_nano_usd:
                kind, amount = BREAKAGE, -event.breakage_nano_usd
                said = "credits expired during a call"
            case _:
                return
        balances: dict[str, int] = changes.context
        before = balances.get(event.account_id, 0)
        balances[event.account_id] = before + amount
        changes.merge(STATEMENT_BALANCE, (event.account_id,), (amount,))
        is_call = isinstance(event, HoldResolved)
        line = (
            entry.position,
            event.account_id,
            event.id,
            kind,
            amount,
            before,
            before + amount,
            event.house_loss_nano_usd if isinstance(event, HoldResolved) else 0,
            said,
            str(event.originator_id) if is_call else None,
            event.payment_id if isinstance(event, CreditsGranted) else None,
            entry.booked_at,
            event.effective_at,
        )
        changes.append(STATEMENT_LINE, line)


class Line(NamedTuple):
    """A line of a statement, nano-USD."""

    position: int
    event_id: UUID
    transaction_type: str
    amount: int
    balance_before: int
    balance_after: int
    house_loss: int
    description: str
    call_id: UUID | None
    payment_id: str | None
    booked_at: datetime
    effective_at: datetime


class TypeSum(NamedTuple):
    """How many lines of a type there are, and their sum in nano-USD."""

    transaction_type: str
    lines: int
    amount: int


def read_lines(
    select: Select, account_id: UUID, *, transaction_type: str | None, limit: int, offset: int
) -> list[Line]:
    """A page of an account's statement, newest first; of one type, or of all."""
    rows = select(
        f"SELECT {', '.join(Line._fields)} FROM {STATEMENT_LINE.view} "
        "WHERE account_id = %s AND (%s::text IS NULL OR transaction_type = %s) "
        "ORDER BY position DESC LIMIT %s OFFSET %s",
        [account_id, transaction_type, transaction_type, limit, offset],
    )
    return [Line(*row) for row in rows]


def read_sums(select: Select, account_id: UUID, *, transaction_type: str | None) -> list[TypeSum]:
    """The whole statement summed by type; of one type, or of all."""
    rows = select(
        f"SELECT transaction_type, count(*), sum(amount) FROM {STATEMENT_LINE.view} "
        "WHERE account_id = %s AND (%s::text IS NULL OR transaction_type = %s) GROUP BY 1",
        [account_id, transaction_type, transaction_type],
    )
    return [TypeSum(*row) for row in rows]
