"""Maintenance windows and the monitor's switch, by their rules."""

from __future__ import annotations

from typing import Any

import pytest

from domain.availability.all import AllMaintenance
from domain.availability.maintenance import (
    MONITOR,
    Monitor,
    NoMaintenanceError,
    Place,
    Window,
    clear_window,
    end_after,
    replay_monitor,
    replay_window,
    set_window,
    switch_monitor,
)
from domain.errors import InvalidCommandError
from domain.events.base import By
from domain.events.profile import UserDeleted

NOW = "2027-01-02T00:00:00.000000Z"
LATER = "2027-01-02T01:00:00.000000Z"
BY = By("u", "o")
PLACE = Place("local", "m")


def stamp(at: str = NOW) -> Any:
    """What every event carries."""
    return {"id": "e", "effective_at": at, "actor": "a", "correlation_id": "c"}


def test_a_window_is_set_moved_and_cleared() -> None:
    """The same again is nothing, another end moves it, and what is over cannot be cleared (P8)."""
    events: list[Any] = set_window(Window(), PLACE, LATER, "why", BY, stamp())
    assert (events[0].until, events[0].reason, events[0].by_user_id) == (LATER, "why", "u")
    assert set_window(replay_window(events), PLACE, LATER, "other", BY, stamp()) == []
    moved = end_after(NOW, 90)
    assert moved == "2027-01-02T01:30:00.000000Z"
    events += set_window(replay_window(events), PLACE, moved, "", BY, stamp())
    assert replay_window(events) == Window(2, moved)
    with pytest.raises(NoMaintenanceError, match="local/m"):
        clear_window(replay_window(events), PLACE, BY, stamp(moved))
    events.append(clear_window(replay_window(events), PLACE, BY, stamp()))
    assert events[-1].until == moved
    assert replay_window(events) == Window(3)
    with pytest.raises(NoMaintenanceError, match="of local to clear"):
        clear_window(Window(), Place("local"), BY, stamp())
    assert {each.originator_id for each in events} == {PLACE.stream} != {Place("local").stream}


def test_an_end_is_to_come_and_near() -> None:
    """Neither past nor beyond three months (rule: bounded)."""
    for text in (NOW, "2026-01-02T00:00:00.000000Z", "0001-01-01T00:00:00.000000Z"):
        with pytest.raises(InvalidCommandError, match="past"):
            set_window(Window(), PLACE, text, "", BY, stamp())
    for text in ("2027-04-02T00:00:01.000000Z", "9999-12-31T23:59:59.000000Z"):
        with pytest.raises(InvalidCommandError, match="90 days"):
            set_window(Window(), PLACE, text, "", BY, stamp())
    assert set_window(Window(), PLACE, "2027-04-02T00:00:00.000000Z", "", BY, stamp())


def test_names_and_reasons_are_short() -> None:
    """What is kept for ever has a maximum (rule: bounded)."""
    for place in (Place(""), Place("x" * 257), Place("x", "m" * 257)):
        with pytest.raises(InvalidCommandError, match="1 to 256"):
            set_window(Window(), place, LATER, "", BY, stamp())
    with pytest.raises(InvalidCommandError, match="200"):
        set_window(Window(), PLACE, LATER, "x" * 201, BY, stamp())


def test_the_monitor_is_on_until_it_is_switched_off() -> None:
    """And the same again is nothing; all of it is folded from the log (P8)."""
    assert switch_monitor(Monitor(), running=True, by=BY, stamp=stamp()) == []
    events: list[Any] = switch_monitor(Monitor(), running=False, by=BY, stamp=stamp())
    assert events[0].originator_id == MONITOR
    state = replay_monitor(events)
    assert state == Monitor(1, running=False)
    assert switch_monitor(state, running=False, by=BY, stamp=stamp()) == []
    events += switch_monitor(state, running=True, by=BY, stamp=stamp())
    other = UserDeleted(originator_id=MONITOR, originator_version=9, **stamp())
    assert replay_monitor([*events, other]) == Monitor(2, running=True)
    found = AllMaintenance()
    for event in (*events, other, *set_window(Window(), PLACE, LATER, "", BY, stamp())):
        found.apply(event)
    assert found.monitor == Monitor(2, running=True)
    assert found.windows == {("local", "m"): Window(1, LATER)}
