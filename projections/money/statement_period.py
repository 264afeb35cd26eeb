"""An account's statement for a period, folded from the log itself: exact, whatever trails.

The lines are those of the read model `credit_statement`, made by the same fold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from projections.engine.tables import Changes
from projections.money.credit_statement import STATEMENT_LINE, CreditStatement, Line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from event_store.log.reading import LogEntry


@dataclass(slots=True)
class Period:
    """Lines booked from `since` on and before `until`; None is without bound.

    `opening` and `closing` are the posted balances at both ends, nano-USD, right when all lines
    were taken.
    """

    since: datetime | None = None
    until: datetime | None = None
    opening: int = 0
    closing: int = 0
    count: int = 0

    def lines(self, entries: Iterable[LogEntry]) -> Iterator[Line]:
        """The period's lines, oldest first, of the events of one account in the log's order."""
        statement = CreditStatement()
        changes = Changes(statement.tables, statement.carried())
        made = changes.appended[STATEMENT_LINE]
        for entry in entries:
            if self.until is not None and entry.booked_at >= self.until:
                return
            if statement.concerns(entry.event):
                statement.fold(entry, changes)
            for row in made:
                line = Line(*(row[STATEMENT_LINE.names.index(name)] for name in Line._fields))
                self.closing = line.balance_after
                if self.since is not None and entry.booked_at < self.since:
                    self.opening = line.balance_after
                else:
                    self.count += 1
                    yield line
            made.clear()
