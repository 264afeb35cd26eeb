"""Maintenance and the monitor's switch are ordinary aggregates, changed one command at a time.

All methods block, and are called on the lane of people.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from eventsourcing.persistence import IntegrityError

from domain.availability.maintenance import (
    MONITOR,
    NoMaintenanceError,
    clear_window,
    replay_monitor,
    replay_window,
    set_window,
    switch_monitor,
)
from domain.errors import InvalidCommandError
from event_store.beside.upkeep.reading import WINDOWS_MAX, WindowNow, read_windows
from event_store.ids import new_envelope
from event_store.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

    from command_api.identity.people import People
    from domain.availability.maintenance import Place
    from domain.events.base import By, Event


class Upkeep:
    """The commands; one for each process."""

    def __init__(self, people: People) -> None:
        """Through the connections of people."""
        self._people = people

    def set(
        self, places: Sequence[Place], until: str, reason: str, by: By, actor: str
    ) -> list[WindowNow]:
        """Let nothing be sent to these until an instant; all of them or none.

        Returns every window that lasts then. Raises InvalidCommandError.
        """
        with self._locked() as connection:
            if len(read_windows(connection)) + len(places) > WINDOWS_MAX:
                message = f"more than {WINDOWS_MAX} windows would last at once: name providers"
                raise InvalidCommandError(message)
            events: list[Event] = []
            for each in places:
                state = replay_window(self._people.events.events_of(each.stream))
                events += set_window(state, each, until, reason, by, new_envelope(actor))
            self._append(events)
        return self.lasting()

    def clear(self, places: Sequence[Place], by: By, actor: str) -> list[WindowNow]:
        """End the windows of these that last; returns those that last then.

        Raises NoMaintenanceError where none of them had one.
        """
        with self._locked():
            events: list[Event] = []
            none: NoMaintenanceError | None = None
            for each in places:
                state = replay_window(self._people.events.events_of(each.stream))
                try:
                    events.append(clear_window(state, each, by, new_envelope(actor)))
                except NoMaintenanceError as error:
                    none = error
            if none is not None and not events:
                raise none
            self._append(events)
        return self.lasting()

    def switch(self, *, running: bool, by: By, actor: str) -> bool:
        """Let the monitor check, or cease to; whether that is new."""
        with self._locked():
            state = replay_monitor(self._people.events.events_of(MONITOR))
            events = switch_monitor(state, running=running, by=by, stamp=new_envelope(actor))
            self._append(events)
        return bool(events)

    def lasting(self) -> list[WindowNow]:
        """Every window that lasts."""
        with self._people.connect() as connection:
            return read_windows(connection)

    def _append(self, events: list[Event]) -> None:
        try:
            if events:
                self._people.events.append(events)
        except IntegrityError:
            message = "maintenance is being changed by others at this moment: try again"
            raise InvalidCommandError(message) from None

    @contextmanager
    def _locked(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection; nobody else commands maintenance meanwhile."""
        with self._people.connect() as connection, connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '5s'")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [Lock.MAINTENANCE])
            yield connection
