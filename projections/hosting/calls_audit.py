"""Checks each event of a call against the call's own hold, as the log streams by.

Holds are kept while they are open. Of a call that has ended nothing is kept: when it moves again,
which is rare (a further attempt under its key, an outcome that came late), its stream is read anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.events.catalog import PricePublished
from domain.events.ledger import (
    CallEvent,
    HoldPlaced,
    HoldRequested,
    HoldResolved,
    HoldSettled,
    HouseLossBooked,
)
from domain.ledger.state import NEW, Closed, closed_by
from domain.pricing.charges import Prices, version_of
from event_store.log.reading import read_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from domain.events.base import Event
    from event_store.log.reading import LogEntry


class CallsAudit:
    """One for each reading of the log, on a connection within its snapshot."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        """Nothing is open yet."""
        self._connection, self._prices = connection, Prices()
        self._holds: dict[str, HoldPlaced] = {}
        self._position = 0
        self.charges = 0
        """Settlements whose cost was worked out anew."""

    def faults(self, entry: LogEntry) -> Iterator[str]:
        """What in the next event of the log does not follow from what it refers to."""
        event, self._position = entry.event, entry.position
        if isinstance(event, CallEvent):
            yield from self._call_faults(event, str(event.originator_id))
        elif isinstance(event, PricePublished) and event.price:
            named = version_of(event.provider, event.model, event.source, event.price)
            if event.version != named:
                yield f"publishes a price as {event.version!r} whose terms are not its"

    def _call_faults(self, event: CallEvent, call_id: str) -> Iterator[str]:
        if isinstance(event, HoldRequested):
            yield from self._prices.faults_of_hold(event)
            if isinstance(event, HoldPlaced):
                self._holds[call_id] = event
            return
        lost = {0}
        if isinstance(event, HouseLossBooked):
            hold, lost = _late(self._before(call_id), event)
        elif isinstance(event, HoldResolved):
            hold = self._holds.pop(call_id, None)
            self.charges += isinstance(event, HoldSettled)
        else:
            hold = self._holds.get(call_id)
        # That there is no hold is for the fold to say, which knows the order of a call's events.
        if hold is not None:
            yield from self._prices.faults_of(hold, event, lost)

    def recall(self, call_id: str) -> Closed:
        """How the call stands before the event that was looked at last."""
        before = self._before(call_id)
        return closed_by(before) if before else NEW

    def _before(self, call_id: str) -> list[Event]:
        stream = read_stream(self._connection, UUID(call_id))
        return [each.event for each in stream if each.position < self._position]


def _late(before: list[Event], event: HouseLossBooked) -> tuple[HoldPlaced | None, set[int]]:
    """The hold that a late outcome is of, and what its end and others booked of it before.

    Of the last hold, where it names none. Releases before entries were bound to their holds counted
    all that was booked since the last end, whichever hold it was of: that is right of theirs.
    """
    placed = [n for n, each in enumerate(before) if isinstance(each, HoldPlaced)]
    ends = [n for n, each in enumerate(before) if isinstance(each, HoldResolved)]
    if not (placed and ends):
        return None, {0}
    own = next((n for n in placed if before[n].id == event.causation_id), placed[-1])
    end = next((n for n in ends if n > own), ends[-1])
    hold = before[own]
    assert isinstance(hold, HoldPlaced)
    return hold, {
        _booked(before[end:], {event.causation_id}),
        _booked(before[ends[-1] :], {each.causation_id for each in before}),
    }


def _booked(events: list[Event], causes: set[str | None]) -> int:
    """The loss of the end that stands first, and of the late outcomes of these causes behind it."""
    return sum(
        each.house_loss_nano_usd
        for n, each in enumerate(events)
        if (n == 0 and isinstance(each, HoldResolved))
        or (isinstance(each, HouseLossBooked) and each.causation_id in causes)
    )
