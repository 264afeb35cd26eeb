"""Where the rows of a projection go, together with its progress, all or nothing (P7)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import psycopg

    from projections.engine.projection import Fetch, Projection
    from projections.engine.tables import Changes, Row, Table

    Connection = psycopg.Connection[Any]

POSTGRES = "postgres"
REDIS = "redis"


class ProjectionMovedError(RuntimeError):
    """Somebody else advanced, switched or took over the projection; nothing was written."""


class SinkUnavailableError(RuntimeError):
    """What keeps the projection's rows is not configured or cannot be reached."""


@dataclass(frozen=True, slots=True)
class Parked:
    """The event that a projection could not fold."""

    position: int
    error: str


@dataclass(slots=True)
class Step:
    """One batch, ready to be stored: from the old positions by partition to the new ones."""

    projection: Projection
    version: int
    host: str
    old: dict[int, int]
    new: dict[int, int]
    changes: Changes
    offsets: dict[int, int] = field(default_factory=dict)
    parked: dict[int, Parked] = field(default_factory=dict)
    released: set[int] = field(default_factory=set)

    def moved(self) -> list[int]:
        """The partitions whose row of progress changes."""
        return sorted(
            partition
            for partition, position in self.new.items()
            if position != self.old[partition]
            or partition in self.parked
            or partition in self.released
        )


class Sink(Protocol):
    """Keeps rows and progress of one kind of projection."""

    kind: str

    def progress(
        self, connection: Connection, projection: Projection, version: int
    ) -> dict[int, int]:
        """Position by partition."""
        ...

    def fetch(self, connection: Connection, version: int) -> Fetch:
        """A way to select rows of a table by a condition."""
        ...

    def store(self, connection: Connection, step: Step) -> None:
        """Store rows and progress; raises ProjectionMovedError, having stored nothing."""
        ...

    def rows(self, connection: Connection, table: Table, version: int) -> Iterator[Row]:
        """All rows, those of appended tables in order."""
        ...

    def at_this_moment(self, of: Sequence[tuple[Projection, int]]) -> Sink:
        """A sink whose `progress` and `rows` of these versions answer from this moment."""
        ...

    def prune(self, connection: Connection, projection: Projection, version: int) -> None:
        """Drop the rows that are too old to be kept."""
        ...

    def drop(self, owner: Connection, projection: Projection, version: int) -> None:
        """Drop the rows and progress of a version that nobody reads."""
        ...


def sink_named(sinks: Mapping[str, Sink], kind: str, projection: Projection) -> Sink:
    """The sink that keeps a projection; raises SinkUnavailableError when it is not configured."""
    sink = sinks.get(kind)
    if sink is None:
        message = f"projection {projection.name} is kept in {kind}: set GATEWAYZ_REDIS_URL"
        raise SinkUnavailableError(message)
    return sink
