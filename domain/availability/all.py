"""All windows and the monitor, folded from the log: what the inline state has to hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from domain.availability.maintenance import Monitor, Window, replay_monitor, replay_window
from domain.events.upkeep.health import MaintenanceEvent, MonitoringSwitched

if TYPE_CHECKING:
    from domain.events.base import Event


@dataclass(slots=True)
class AllMaintenance:
    """By provider and model the window, and the monitor."""

    windows: dict[tuple[str, str], Window] = field(default_factory=dict)
    monitor: Monitor = field(default_factory=Monitor)

    def apply(self, event: Event) -> None:
        """Take in the next event of the log; most are about something else."""
        if isinstance(event, MaintenanceEvent):
            self.windows[event.provider, event.model] = replay_window([event])
        elif isinstance(event, MonitoringSwitched):
            self.monitor = replay_monitor([event])
