"""`credit_statement`: what changed each account's posted balance, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.events.ledger import CreditsGranted, HoldResolved, HoldSettled, LotExpired, MoneyEvent
from domain.ledger.postings import BREAKAGE
from projections.engine.projection import Projection
from projections.engine.tables import Column, Merge, Table, key, sums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from event_store.log.reading import LogEntry
    from projections.engine.projection import Fetch
    from projections.engine.tables import Changes

USAGE = "api_usage"

_ONCE = Merge.FIRST

STATEMENT_LINE = Table(
    name="credit_statement",
    about="One row for each grant, charge and expiry; nano-USD.",
    columns=(
        key("position", "bigint"),
        Column("account_id", "uuid", _ONCE),
        Column("event_id", "uuid", _ONCE),
        Column("transaction_type", "text", _ONCE, about="A grant's kind, api_usage or breakage."),
        Column("amount", "bigint", _ONCE),
        Column("balance_before", "bigint", _ONCE),
        Column("balance_after", "bigint", _ONCE),
        Column("house_loss", "bigint", _ONCE),
        Column("description", "text", _ONCE),
        Column("call_id", "uuid", _ONCE),
        Column("payment_id", "text", _ONCE),
        Column("booked_at", "timestamptz", _ONCE),
        Column("effective_at", "timestamptz", _ONCE),
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
