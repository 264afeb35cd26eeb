"""Events of maintenance windows, each a stream of its provider and model, and of the monitor."""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class MaintenanceEvent(Event):
    """An act on the window of a provider's model, or of the provider as a whole (`model` is "").

    `model` is the provider's own id. `by_user_id` is the user who did it, None for an operator at
    a shell; `origin` stands for the address that the request came from (a keyed hash), empty for
    none.
    """

    CATEGORY = "maintenance"

    provider: str
    model: str
    by_user_id: str | None = None
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class MaintenanceSet(MaintenanceEvent):
    """Nothing is sent there from now on, until the instant `until`, at which it ends by itself."""

    TOPIC = "maintenance.set.v1"

    until: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class MaintenanceCleared(MaintenanceEvent):
    """The window that would have lasted until then ends now."""

    TOPIC = "maintenance.cleared.v1"

    until: str


@dataclass(frozen=True, kw_only=True)
class MonitoringSwitched(Event):
    """The monitor of all gateways begins to check providers, or ceases to; see MaintenanceEvent."""

    CATEGORY = "health_monitor"
    TOPIC = "health_monitor.switched.v1"

    running: bool
    by_user_id: str | None = None
    origin: str = ""
