"""`journal`: the double entry behind every event; each event's postings sum to zero (P4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.events.ledger import MoneyEvent
from domain.ledger.postings import postings_of
from projections.engine.projection import Projection
from projections.engine.tables import Column, Merge, Table, amounts, counts, key, sums

if TYPE_CHECKING:
    from event_store.log.reading import LogEntry
    from projections.engine.tables import Changes

JOURNAL = Table(
    name="journal_posting",
    about="One row a posting; the postings of a position sum to zero; nano-USD. The event itself "
    "stands at the same position of the log.",
    columns=(
        key("position", "bigint"),
        key("line", "smallint"),
        Column("ledger_account", "text", Merge.ONCE, about="See the chart of accounts."),
        *amounts("amount_nano_usd"),
        Column("account_id", "uuid", Merge.ONCE),
        Column("booked_at", "timestamptz", Merge.ONCE),
    ),
    appended=True,
    indexes=("account_id, position",),
)
TRIAL_BALANCE = Table(
    name="trial_balance",
    about="The balance of each ledger account; all together they are zero; nano-USD.",
    columns=(key("ledger_account", "text"), *sums("balance_nano_usd"), *counts("postings")),
)


class Journal(Projection):
    """See the module."""

    name = "journal"
    about = "Double-entry postings and the trial balance."
    tables = (JOURNAL, TRIAL_BALANCE)
    handles = (MoneyEvent,)
    watches = ("ledger.",)
    revision = 2

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Write the event's postings."""
        event = entry.event
        assert isinstance(event, MoneyEvent)
        position, account_id, booked_at = entry.position, event.account_id, entry.booked_at
        for line, (account, amount) in enumerate(postings_of(event)):
            changes.append(JOURNAL, (position, line, account, amount, account_id, booked_at))
            balance = changes.row(TRIAL_BALANCE, (account,))
            balance[0] += amount
            balance[1] += 1
