"""Maintenance windows and the monitor's switch: events evolve state, commands decide events."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID, uuid5

from domain.errors import DomainError, InvalidCommandError
from domain.events.upkeep.health import MaintenanceCleared, MaintenanceSet, MonitoringSwitched
from domain.quotas.windows import iso_of, seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain.events.base import By, Event, Stamp

SPACE = UUID("6a5c8a0e-52b5-5c0d-9d0c-3b1f3a6f7e21")
MONITOR = uuid5(SPACE, "the monitor")
"""The stream of the one monitor of an installation."""
LASTS_DAYS_MAX = 90
"""Longest that a window lasts from the moment at which it is set, days."""
DAY_S, MINUTE_S = 86_400, 60
NAME_CHARACTERS_MAX = 256
REASON_CHARACTERS_MAX = 200


class NoMaintenanceError(DomainError):
    """There is no window to clear."""

    code = "no_maintenance"


class Place(NamedTuple):
    """A provider's model by the provider's own id, or with none the provider as a whole."""

    provider: str
    model: str = ""

    @property
    def stream(self) -> UUID:
        """The stream of its windows."""
        return uuid5(SPACE, f"{self.provider}/{self.model}")


class Window(NamedTuple):
    """What was last done; no `until` where none was set, or it was cleared."""

    version: int = 0
    until: str | None = None


class Monitor(NamedTuple):
    """Whether the monitor checks; it does until somebody stops it."""

    version: int = 0
    running: bool = True


def end_after(instant: str, minutes: int) -> str:
    """The end of a window that lasts so many minutes from an instant on."""
    return iso_of(seconds_of(instant) + minutes * MINUTE_S)


def replay_window(events: Iterable[Event]) -> Window:
    """The state after all events of a window."""
    state = Window()
    for event in events:
        until = event.until if isinstance(event, MaintenanceSet) else None
        state = Window(event.originator_version, until)
    return state


def set_window(
    state: Window, place: Place, until: str, reason: str, by: By, stamp: Stamp
) -> list[Event]:
    """Let nothing be sent there until an instant in UTC; nothing where it is so already.

    Raises InvalidCommandError for an end that is past or far, and for names without end.
    """
    _check(place, reason)
    now = stamp["effective_at"]
    if until <= now:
        message = f"until: {until} is past already: give an instant to come"
        raise InvalidCommandError(message)
    if seconds_of(until) > seconds_of(now) + LASTS_DAYS_MAX * DAY_S:
        message = f"until: {until} is more than {LASTS_DAYS_MAX} days from now"
        raise InvalidCommandError(message)
    if state.until == until:
        return []
    return [
        MaintenanceSet(
            originator_id=place.stream,
            originator_version=state.version + 1,
            **stamp,
            provider=place.provider,
            model=place.model,
            **by.named(),
            until=until,
            reason=reason,
        )
    ]


def clear_window(state: Window, place: Place, by: By, stamp: Stamp) -> MaintenanceCleared:
    """End a window now. Raises NoMaintenanceError where there is none, or it is over."""
    if state.until is None or state.until <= stamp["effective_at"]:
        what = f"{place.provider}/{place.model}" if place.model else place.provider
        message = f"there is no maintenance of {what} to clear"
        raise NoMaintenanceError(message)
    return MaintenanceCleared(
        originator_id=place.stream,
        originator_version=state.version + 1,
        **stamp,
        provider=place.provider,
        model=place.model,
        **by.named(),
        until=state.until,
    )


def replay_monitor(events: Iterable[Event]) -> Monitor:
    """The state after all events of the monitor."""
    state = Monitor()
    for event in events:
        if isinstance(event, MonitoringSwitched):
            state = Monitor(event.originator_version, event.running)
    return state


def switch_monitor(state: Monitor, *, running: bool, by: By, stamp: Stamp) -> list[Event]:
    """Let the monitor check, or cease to; nothing where it is so already."""
    if state.running == running:
        return []
    return [
        MonitoringSwitched(
            originator_id=MONITOR,
            originator_version=state.version + 1,
            **stamp,
            running=running,
            **by.named(),
        )
    ]


def _check(place: Place, reason: str) -> None:
    if not place.provider or max(len(place.provider), len(place.model)) > NAME_CHARACTERS_MAX:
        message = f"a provider or model has a name of 1 to {NAME_CHARACTERS_MAX} characters"
        raise InvalidCommandError(message)
    if len(reason) > REASON_CHARACTERS_MAX:
        message = f"reason: more than {REASON_CHARACTERS_MAX} characters"
        raise InvalidCommandError(message)
