"""Runs a projection over the log: rows and position in one transaction (P7)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from event_store.log import READ_EVENTS_MAX, LogEntry, read_after

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

WANTED_CHANNEL = "read_models_wanted"
"""Notified by a reader who waits for a projection to catch up."""

State = TypeVar("State")


class Projection(ABC, Generic[State]):
    """One read model. `fold` is pure: it sees only what `load` brought and the events."""

    name: ClassVar[str]
    version: ClassVar[int]
    tables: ClassVar[tuple[str, ...]]

    @abstractmethod
    def load(self, connection: psycopg.Connection[Any], entries: Sequence[LogEntry]) -> State:
        """Read the rows that these events touch."""

    @abstractmethod
    def fold(self, state: State, entries: Sequence[LogEntry]) -> None:
        """Apply the events to the state, in order; no I/O, no clock."""

    @abstractmethod
    def store(self, connection: psycopg.Connection[Any], state: State) -> None:
        """Write the rows that changed, in key order."""

    @abstractmethod
    def differences(self, connection: psycopg.Connection[Any], state: State) -> list[str]:
        """Compare the tables with a state folded from the start of the log; [] when equal."""

    @abstractmethod
    def initial(self) -> State:
        """The state before the first event."""


class ProjectionOwnedElsewhereError(RuntimeError):
    """Another host owns this projection; two hosts would apply events twice."""


class ProjectionMovedError(RuntimeError):
    """Somebody else advanced the projection meanwhile; nothing was written."""


class Runner(Generic[State]):
    """Advances one projection, a batch at a time, on one connection."""

    def __init__(self, projection: Projection[State], *, host: str = "follower") -> None:
        """`host` names who may advance the projection."""
        self.projection = projection
        self.host = host

    def register(self, connection: psycopg.Connection[Any]) -> int:
        """Make the progress row if it is missing; returns the position.

        Raises ProjectionOwnedElsewhereError when another kind of host owns the projection.
        """
        key = [self.projection.name, self.projection.version]
        connection.execute(
            "INSERT INTO projection_progress (name, version, host) VALUES (%s, %s, %s) "
            "ON CONFLICT DO NOTHING",
            [*key, self.host],
        )
        row = connection.execute(
            "SELECT position, host FROM projection_progress WHERE name = %s AND version = %s", key
        ).fetchone()
        assert row is not None
        if row[1] != self.host:
            message = f"projection {self.projection.name} is owned by {row[1]}, not {self.host}"
            raise ProjectionOwnedElsewhereError(message)
        return int(row[0])

    def advance(
        self, connection: psycopg.Connection[Any], limit: int = READ_EVENTS_MAX
    ) -> tuple[int, int]:
        """Apply the next batch; returns (events applied, position).

        Reading and folding happen outside a transaction, so that a slow fold keeps no snapshot
        open, for which the calls' hot rows would pay. Rows and position are then written in one
        transaction, and only if the position is still what it was.
        Raises ProjectionMovedError if it is not.
        """
        position = progress_of(connection, self.projection)
        entries = read_after(connection, position, limit)
        if not entries:
            return 0, position
        reached = entries[-1].position
        assert reached > position, "positions grow"
        state = self.projection.load(connection, entries)
        self.projection.fold(state, entries)
        with connection.transaction():
            moved = connection.execute(
                "UPDATE projection_progress SET position = %s "
                "WHERE name = %s AND version = %s AND position = %s",
                [reached, self.projection.name, self.projection.version, position],
            )
            if moved.rowcount != 1:
                message = f"projection {self.projection.name} is advanced by somebody else"
                raise ProjectionMovedError(message)
            self.projection.store(connection, state)
        return len(entries), reached


def progress_of(connection: psycopg.Connection[Any], projection: Projection[Any]) -> int:
    """The position a projection has reached; 0 before its first event."""
    row = connection.execute(
        "SELECT position FROM projection_progress WHERE name = %s AND version = %s",
        [projection.name, projection.version],
    ).fetchone()
    return int(row[0]) if row else 0
