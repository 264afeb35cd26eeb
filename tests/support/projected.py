"""A history with its read models, for tests that hold these against the events themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.events.ledger import HoldResolved, HoldSettled
from event_store.log.reading import read_after
from projections.all import PROJECTIONS
from projections.engine.projection import select_on
from projections.engine.runner import Runner
from tests.support.history import History

if TYPE_CHECKING:
    from event_store.postgres.database import Database

EVENTS_MAX = 10_000


class Projected:
    """A history, projected, with its ends of calls; on one connection, to be closed."""

    def __init__(self, database: Database, *, calls: int = 150) -> None:
        """Project everything."""
        self.history = History(database)
        self.history.calls(calls)
        self.account, self.key = self.history.callers[0]
        self.connection = database.connect()
        for projection in PROJECTIONS:
            Runner(projection).advance(self.connection, EVENTS_MAX)
        self.entries = read_after(self.connection, 0, EVENTS_MAX)
        self.events = [each.event for each in self.entries]
        self.ends = [each for each in self.events if isinstance(each, HoldResolved)]
        self.charged = [each for each in self.ends if isinstance(each, HoldSettled)]
        self.select = select_on(self.connection)
