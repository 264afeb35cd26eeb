"""Compares the tables of maintenance windows and of the monitor with the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from domain.availability.all import AllMaintenance


def maintenance_differences(
    connection: psycopg.Connection[Any], logged: AllMaintenance
) -> Iterator[str]:
    """Every window that differs, and the monitor where it does."""
    rows = connection.execute(
        "SELECT provider, model, version, iso_instant(until) FROM maintenance_window"
    ).fetchall()
    stored = {(provider, model): (version, until) for provider, model, version, until in rows}
    for place in sorted(stored.keys() | logged.windows.keys()):
        here, told = stored.get(place), logged.windows.get(place)
        if here != told:
            yield f"maintenance_window {'/'.join(place)}: stored {here!r}, the log says {told!r}"
    monitor = connection.execute("SELECT version, running FROM health_monitor").fetchone()
    if monitor != logged.monitor:
        yield f"health_monitor: stored {monitor!r}, the log says {tuple(logged.monitor)!r}"
