"""What the events of maintenance and of the monitor change beside the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from domain.events.upkeep.health import MaintenanceCleared, MaintenanceSet, MonitoringSwitched

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

_WINDOW = (
    "INSERT INTO maintenance_window (provider, model, version, until) "
    "VALUES (%(provider)s, %(model)s, %(version)s, %(ends)s) ON CONFLICT (provider, model) "
    "DO UPDATE SET version = excluded.version, until = excluded.until"
)


def _window(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    fact = msgspec.json.decode(stored.state)
    ends = fact["until"] if stored.topic == MaintenanceSet.TOPIC else None
    cursor.execute(_WINDOW, {**fact, "version": stored.originator_version, "ends": ends})


def _switched(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    """A monitor that is started begins a round at once."""
    cursor.execute(
        "UPDATE health_monitor SET version = %s, running = %s, due_at = clock_timestamp()",
        [stored.originator_version, msgspec.json.decode(stored.state)["running"]],
    )


HANDLERS: Mapping[str, Handler] = {
    MaintenanceSet.TOPIC: _window,
    MaintenanceCleared.TOPIC: _window,
    MonitoringSwitched.TOPIC: _switched,
}
