"""`journal`: the double entry behind every event; each event's entries sum to zero (P4).

Every line has two times: when it was booked, and when it is dated, which is when the fact took
effect where that was longer ago than `LATE`. The lines of a customer's own accounts carry the
balance under them, and the sums of each class and day are kept, so that a balance as of any time
costs the same however old the account is.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from domain.books.chart import UNASSIGNED, class_of
from domain.books.entries import entries_of, lots_in, lots_made
from domain.events.ledger import MoneyEvent
from domain.events.money.payments import PaymentCompleted, PaymentEvent
from domain.events.money.returns import PaymentCost, PaymentReturn, PayoutTold
from domain.events.money.subscriptions import (
    SubscriptionCost,
    SubscriptionEvent,
    SubscriptionPaid,
    SubscriptionReturned,
)
from projections.engine.projection import Projection
from projections.engine.tables import Column, Merge, Table, amounts, counts, key, sums

if TYPE_CHECKING:
    from collections.abc import Sequence

    from event_store.log.reading import LogEntry
    from projections.engine.projection import Fetch
    from projections.engine.tables import Changes

LATE = timedelta(seconds=10)
"""What is booked no later than this after it took effect is dated by its booking."""
LATE_ONLY = "dated_at < booked_at"
"""The condition of the index on lines that are dated before they were booked."""

JOURNAL = Table(
    name="journal_posting",
    about="One row a posting; the postings of a position sum to zero; nano-USD, credits positive. "
    "The event itself stands at the same position of the log.",
    columns=(
        key("position", "bigint"),
        key("line", "smallint"),
        Column("ledger_account", "text", Merge.ONCE, about="See the chart of accounts."),
        *amounts("amount_nano_usd"),
        *amounts("balance_after_nano_usd", about="Of a customer's account; else null."),
        Column("account_id", "uuid", Merge.ONCE, about="The customer; of a payout the payout."),
        Column("booked_at", "timestamptz", Merge.ONCE),
        Column("dated_at", "timestamptz", Merge.ONCE, about="When it took effect."),
    ),
    appended=True,
    indexes=(
        "account_id, position",
        "ledger_account, position",
        f"booked_at WHERE {LATE_ONLY}",
        f"account_id, booked_at WHERE {LATE_ONLY}",
    ),
)
TRIAL_BALANCE = Table(
    name="trial_balance",
    about="The balance of each ledger account; all together they are zero; nano-USD.",
    columns=(
        key("ledger_account", "text"),
        Column("account_id", "uuid", Merge.FIRST, about="The customer, of a customer's account."),
        *sums("balance_nano_usd"),
        *counts("postings"),
    ),
    indexes=("account_id",),
)
BOOKS_DAY = Table(
    name="books_day",
    about="What was booked on each class of accounts in a day (UTC); nano-USD.",
    columns=(
        key("day", "date"),
        key("class", "text", about="A ledger account without its customer."),
        *sums("amount_nano_usd"),
        *counts("postings"),
    ),
)
LOT_KIND = Table(
    name="lot_kind",
    about="The kind of each lot, by which its entries are divided.",
    columns=(key("lot_id", "uuid"), Column("kind", "text", Merge.FIRST)),
)


class Known(NamedTuple):
    """What the fold must know: the kinds of lots, and the balances of customers' accounts."""

    kinds: dict[str, str]
    balances: dict[str, int]


class Journal(Projection):
    """See the module."""

    name = "journal"
    about = "Double-entry postings, the trial balance, and what as-of balances begin from."
    tables = (JOURNAL, TRIAL_BALANCE, BOOKS_DAY, LOT_KIND)
    handles = (
        *(MoneyEvent, PaymentCompleted, PaymentReturn, PaymentCost, PayoutTold),
        *(SubscriptionPaid, SubscriptionReturned, SubscriptionCost),
    )
    watches = ("ledger.", "payment.", "payout.", "subscription.")
    revision = 5

    def load(self, fetch: Fetch, entries: Sequence[LogEntry]) -> Known:
        """Kinds of the lots, and balances of the customers, of these events."""
        events = [each.event for each in entries if isinstance(each.event, MoneyEvent)]
        lots = {lot for event in events for lot in lots_in(event)}
        accounts = {event.account_id for event in events}
        kinds = fetch(LOT_KIND, "lot_id = ANY (%s::uuid[])", [list(lots)])
        balances = fetch(TRIAL_BALANCE, "account_id = ANY (%s::uuid[])", [list(accounts)])
        return Known(
            {str(lot): kind for lot, kind in kinds},
            {name: balance for name, _, balance, _ in balances},
        )

    def carried(self) -> Known:
        """Nothing is known before the first event."""
        return Known({}, {})

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Write the event's entries."""
        event, known = entry.event, changes.context
        assert isinstance(known, Known)
        for lot_id, kind in lots_made(event).items():
            known.kinds[lot_id] = kind
            changes.merge(LOT_KIND, (lot_id,), (kind,))
        entries = entries_of(event, lambda lot: known.kinds.get(lot, UNASSIGNED))
        if not entries:
            return
        position, booked_at = entry.position, entry.booked_at
        # A payout is of many payments and of no customer: it stands there itself.
        account_id = (
            event.account_id
            if isinstance(event, MoneyEvent | PaymentEvent | SubscriptionEvent)
            else str(event.originator_id)
        )
        dated_at = dated(event.effective_at, booked_at)
        day = booked_at.astimezone(UTC).date().isoformat()
        for line, (account, amount) in enumerate(entries):
            name, after, owner = class_of(account, account_id), None, None
            if name != account:
                after = known.balances.get(account, 0) + amount
                known.balances[account], owner = after, account_id
            row = (position, line, account, amount, after, account_id, booked_at, dated_at)
            changes.append(JOURNAL, row)
            changes.merge(TRIAL_BALANCE, (account,), (owner, amount, 1))
            changes.merge(BOOKS_DAY, (day, name), (amount, 1))


def dated(effective_at: str, booked_at: datetime) -> datetime:
    """The instant to which the books count a fact: never later than its booking."""
    effective = datetime.fromisoformat(effective_at)
    return effective if booked_at - effective > LATE else booked_at
