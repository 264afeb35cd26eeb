"""An account's statement for a period, folded from the log itself: exact, whatever trails.

The lines are those of the read model `credit_statement`, made by the same fold. An expiry that
the next append will book stands there already: it belongs to the time in which it took effect,
so that a period says the same whenever it is asked for (money rule 9).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from domain.events.ledger import LotExpired
from domain.ledger.state import LedgerState
from event_store.ids import to_iso
from projections.engine.tables import Changes
from projections.money.credit_statement import (
    STATEMENT_LINE,
    CreditStatement,
    Line,
    expected_expiry,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from domain.ledger.lots import Lot
    from event_store.log.reading import LogEntry


@dataclass(slots=True)
class Period:
    """Lines booked from `since` on and before `until`; None is without bound.

    `opening` and `closing` are the balances at both ends, what had expired left out, nano-USD,
    right when all lines were taken. `now` is the instant of the asking, by the append's clock.
    """

    since: datetime | None = None
    until: datetime | None = None
    now: datetime = field(kw_only=True)
    opening: int = 0
    closing: int = 0
    count: int = 0
    _state: LedgerState = field(default_factory=LedgerState, init=False)
    _before: set[str] | None = field(default=None, init=False)
    """Lots whose expiry took effect before `since` and was not booked by then."""

    def lines(self, entries: Iterable[LogEntry]) -> Iterator[Line]:
        """The period's lines, oldest first, of the events of one account in the log's order."""
        statement = CreditStatement()
        changes = Changes(statement.tables, statement.carried())
        made = changes.appended[STATEMENT_LINE]
        for entry in entries:
            if self.until is not None and entry.booked_at >= self.until:
                break
            if self.since is None or entry.booked_at >= self.since:
                self._open()
            if statement.concerns(entry.event):
                statement.fold(entry, changes)
            known = isinstance(entry.event, LotExpired) and entry.event.lot_id in self._passed
            for row in made:
                line = Line(*(row[STATEMENT_LINE.names.index(name)] for name in Line._fields))
                if self._before is None:
                    self.closing = line.balance_after
                elif not known:
                    yield self._next(line)
            made.clear()
            self._state.apply(entry.event, entry.position)
        self._open()
        end = self.now if self.until is None else min(self.until, self.now)
        for lot in self._expired(end):
            if lot.lot_id not in self._passed:
                yield self._next(expected_expiry(lot.available, lot.expires_at))

    @property
    def _passed(self) -> set[str]:
        return self._before or set()

    def _open(self) -> None:
        """The period begins, once."""
        if self._before is None:
            lots = [] if self.since is None else self._expired(min(self.since, self.now))
            self._before = {lot.lot_id for lot in lots}
            self.closing -= sum(lot.available for lot in lots)
            self.opening = self.closing

    def _expired(self, at: datetime) -> list[Lot]:
        """What had expired before an instant and is not booked, in the order of its expiry."""
        instant = to_iso(at)
        lots = [lot for each in self._state.accounts.values() for lot in each.lots.values()]
        found = [lot for lot in lots if lot.available and lot.expires_at < instant]
        return sorted(found, key=lambda lot: (lot.expires_at, lot.sequence))

    def _next(self, line: Line) -> Line:
        before, self.closing = self.closing, self.closing + line.amount
        self.count += 1
        return line._replace(balance_before=before, balance_after=self.closing)
