"""Maintenance windows and the monitor's switch for tests, as events alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.availability.maintenance import (
    MONITOR,
    Monitor,
    Place,
    Window,
    clear_window,
    end_after,
    replay_window,
    set_window,
    switch_monitor,
)
from domain.events.base import By
from event_store.ids import new_envelope, now_iso
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from domain.events.base import Stamp
    from event_store.postgres.database import Database

TOLD = "SELECT FROM events WHERE originator_id = %s LIMIT 1"


def tell_upkeep(database: Database) -> None:
    """A window that was set and cleared, and one that lasts; the monitor stopped, and started.

    Once in a database: the monitor is one.
    """
    with database.connect() as connection:
        if connection.execute(TOLD, [MONITOR]).fetchall():
            return
    by, until = By(None, "origin-0012"), end_after(now_iso(), 60)

    def stamp() -> Stamp:
        return new_envelope("operator:cli")

    place = Place("local", "gpt-test")
    events = set_window(Window(), place, until, "a new machine", by, stamp())
    events.append(clear_window(replay_window(events), place, by, stamp()))
    events += set_window(Window(), Place("local"), until, "", by, stamp())
    events += switch_monitor(Monitor(), running=False, by=by, stamp=stamp())
    events += switch_monitor(Monitor(1, running=False), running=True, by=by, stamp=stamp())
    aggregates = Aggregates(database)
    try:
        aggregates.append(events)
    finally:
        aggregates.close()
