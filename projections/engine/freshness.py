"""How far a read model has come, and waiting until it shows its reader's own writes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from event_store.log.reading import head_position

if TYPE_CHECKING:
    import psycopg

    from projections.engine.projection import Projection

    Connection = psycopg.Connection[Any]

WAIT_STEP_S = 0.01
WANTED_CHANNEL = "read_models_wanted"
"""Notified by a reader who waits for a projection to catch up."""


class ProjectionLaggingError(RuntimeError):
    """The projection did not catch up in time; carries how many positions it is behind."""

    def __init__(self, name: str, lag: int) -> None:
        """`lag` is a distance between positions."""
        super().__init__(f"{name} is {lag} positions behind")
        self.lag = lag


def await_own_writes(connection: Connection, projection: Projection, wait_s: float) -> None:
    """Wait until the projection has passed the present head; raises ProjectionLaggingError."""
    head = head_position(connection)
    until = time.monotonic() + wait_s
    if progress_of(connection, projection) < head:
        connection.execute(f"NOTIFY {WANTED_CHANNEL}")
    while (reached := progress_of(connection, projection)) < head:
        if time.monotonic() > until:
            raise ProjectionLaggingError(projection.name, head - reached)
        time.sleep(WAIT_STEP_S)


def progress_of(connection: Connection, projection: Projection) -> int:
    """The position that all partitions of the live version have passed; 0 before the first."""
    row = connection.execute(
        "SELECT min(g.position) FROM projection p JOIN projection_progress g "
        "ON g.name = p.name AND g.version = p.version WHERE p.name = %s",
        [projection.name],
    ).fetchone()
    return int(row[0] or 0) if row else 0
