"""Runs a projection over the log: rows and progress together, nothing skipped or twice (P7).

Hosts hand it *links*: events with the position of the event before them in the same partition.
A link at or below the progress is a repetition and is passed over; one whose predecessor lies
beyond the progress shows a gap and is refused; the host then fills the gap from the log.
An event that cannot be folded, or whose rows the store refuses, parks its partition of this
projection, and of no other.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import psycopg

from event_store.log.reading import READ_EVENTS_MAX, read_rows_after
from projections.engine.batches import Batch, Delivered, links_of_rows
from projections.engine.folding import fold_entries, is_refusal, parked_by, reached_below
from projections.engine.sinks.port import Parked, ProjectionMovedError, Sink, Step, sink_named
from projections.engine.sinks.postgres import PostgresSink, or_postgres
from projections.engine.tables import Changes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projections.engine.batches import Selected
    from projections.engine.projection import Projection
    from projections.engine.tables import Worked

    Connection = psycopg.Connection[Any]

logger = logging.getLogger("gatewayz.projections")

FOLLOWER = "follower"
WORKERS = "workers"
PARKED_RETRY_S = 10.0
PRUNE_S = 600.0


class ProjectionOwnedElsewhereError(RuntimeError):
    """Another kind of host owns this projection, and this one must not advance it."""


class Runner:
    """Advances one projection on a connection; one for each host process."""

    def __init__(
        self,
        projection: Projection,
        sinks: Mapping[str, Sink] | None = None,
        *,
        host: str = FOLLOWER,
        version: int | None = None,
    ) -> None:
        """`sinks` by kind; a `version` pins the runner to one that is being built."""
        self.projection = projection
        self.host = host
        self.version = version or 0
        self.positions: dict[int, int] = {}
        self.parked: dict[int, Parked] = {}
        self._pinned = version is not None
        self._sinks = or_postgres(sinks)
        self._sink: Sink = PostgresSink()
        self._retry_at = 0.0
        self._prune_at = 0.0

    @property
    def sink(self) -> Sink:
        """What keeps the rows."""
        return self._sink

    @property
    def position(self) -> int:
        """The lowest position that all partitions have passed."""
        return min(self.positions.values(), default=0)

    @property
    def live_position(self) -> int:
        """The same without the parked ones, which others need not wait for."""
        going = [p for key, p in self.positions.items() if key not in self.parked]
        return min(going, default=self.position)

    def open(self, connection: Connection) -> None:
        """Read where the projection stands.

        Raises ProjectionOwnedElsewhereError, SinkUnavailableError, or ProjectionMovedError when
        the projection is not installed.
        """
        name = self.projection.name
        row = connection.execute(
            "SELECT version, sink FROM projection WHERE name = %s", [name]
        ).fetchone()
        if row is None:
            message = f"projection {name} is not installed: run `gatewayz migrate`"
            raise ProjectionMovedError(message)
        if self._pinned:
            sink = next(iter(self._sinks.values()))
        else:
            self.version = row[0]
            sink = sink_named(self._sinks, row[1], self.projection)
        self._sink = sink
        stored = connection.execute(
            "SELECT partition, host, parked_position, parked_error FROM projection_progress "
            "WHERE name = %s AND version = %s",
            [name, self.version],
        ).fetchall()
        hosts = {each[1] for each in stored}
        if hosts != {self.host}:
            message = f"projection {name} is owned by {', '.join(sorted(hosts))}, not {self.host}"
            raise ProjectionOwnedElsewhereError(message)
        self.parked = {each[0]: Parked(each[2], each[3]) for each in stored if each[2] is not None}
        progress = sink.progress(connection, self.projection, self.version)
        self.positions = {each[0]: progress.get(each[0], 0) for each in stored}
        self._retry_at = 0.0

    def recheck(self, connection: Connection) -> bool:
        """Whether rows kept outside PostgreSQL were lost; then the runner begins anew."""
        if self._sink.kind == PostgresSink.kind:
            return False
        progress = self._sink.progress(connection, self.projection, self.version)
        if all(progress.get(each, 0) >= at for each, at in self.positions.items()):
            return False
        logger.warning("projection %s is lost in %s", self.projection.name, self._sink.kind)
        self.open(connection)
        return True

    def deliver(self, connection: Connection, batch: Batch, *, retry: bool = False) -> Delivered:
        """Apply what is new in a batch, and store it with the progress.

        Reading and folding happen outside a transaction, so that a slow fold keeps no snapshot
        open, for which the calls' hot rows would pay. Raises ProjectionMovedError, having
        written nothing, if the progress is no longer what this runner knows. With `retry`,
        parked partitions are tried again.
        """
        shut = frozenset() if retry else frozenset(self.parked)
        selected = batch.select(self.positions, shut)
        delivered = Delivered(gaps=selected.gaps)
        if selected.new == self.positions:
            return delivered
        offsets = {
            partition: offset
            for partition, offset in batch.offsets.items()
            if partition in selected.new and partition not in shut | selected.gaps
        }
        try:
            self._apply(connection, selected, batch.worked, offsets)
        except ProjectionMovedError:
            self.open(connection)
            raise
        except psycopg.errors.UndefinedTable as error:
            # A rebuild has put another version in its place, and dropped this one.
            self.open(connection)
            message = f"projection {self.projection.name} was rebuilt"
            raise ProjectionMovedError(message) from error
        delivered.applied = len(selected.entries)
        return delivered

    def _apply(
        self,
        connection: Connection,
        selected: Selected,
        worked: Worked,
        offsets: Mapping[int, int],
    ) -> None:
        """Fold and store; what the store refuses is halved until the event to blame is alone.

        That one parks its partition, as one that cannot be folded does. What came before it is
        stored, and so is whatever the other partitions have.
        """
        try:
            self._store(connection, self._fold(connection, selected, worked, offsets))
        except Exception as error:
            if not is_refusal(error):
                raise
            refused = error
        else:
            return
        blamed = [
            place
            for place, each in enumerate(selected.entries)
            if self.projection.concerned([each])
        ]
        if not blamed:
            raise refused
        if len(blamed) == 1:
            partition, entry = selected.entries[blamed[0]]
            parked = {partition: parked_by(entry, refused)}
            changes = Changes(self.projection.tables)
            self._store(connection, self._step(selected, changes, parked, offsets))
            return
        first, rest = selected.split(self.positions, blamed[len(blamed) // 2])
        self._apply(connection, first, worked, {})
        stopped = {
            partition: position
            for partition, position in self.positions.items()
            if position < first.new[partition]
        }
        self._apply(connection, rest.without(stopped), worked, offsets)

    def advance(
        self,
        connection: Connection,
        limit: int = READ_EVENTS_MAX,
        *,
        to_position: int | None = None,
        partitions: set[int] | None = None,
    ) -> tuple[int, int]:
        """Apply the next events of the log itself; returns (events read, position).

        Only to some `partitions`, if they are named; parked ones are tried again when it is
        time.
        """
        if not self.positions:
            self.open(connection)
        mine = set(self.positions) if partitions is None else partitions & set(self.positions)
        if time.monotonic() >= self._retry_at:
            for partition in sorted(mine & set(self.parked)):
                self._try_again(connection, partition, limit, to_position)
        mine -= set(self.parked)
        if not mine:
            return 0, self.position
        start = min(self.positions[each] for each in mine)
        rows = read_rows_after(connection, start, limit, to_position=to_position)
        if not rows:
            return 0, self.position
        self.deliver(connection, Batch(links_of_rows(rows, self.positions, mine)))
        return len(rows), self.position

    def _try_again(
        self, connection: Connection, partition: int, limit: int, to_position: int | None
    ) -> None:
        """Apply the event that parked a partition, with no more than what lies before it."""
        start, at = self.positions[partition], self.parked[partition].position
        rows = read_rows_after(connection, start, limit, to_position=at)
        # Where that event is gone, whatever comes next is the next.
        rows = rows or read_rows_after(connection, start, limit, to_position=to_position)
        links = links_of_rows(rows, self.positions, {partition})
        self.deliver(connection, Batch(links), retry=True)

    def _fold(
        self,
        connection: Connection,
        selected: Selected,
        worked: Worked,
        offsets: Mapping[int, int],
    ) -> Step:
        """Fold what concerns the projection, and say where that leaves each partition."""
        fetch = self._sink.fetch(connection, self.version)
        folded = fold_entries(self.projection, fetch, selected.entries, worked)
        return self._step(selected, folded.changes, folded.parked, offsets)

    def _step(
        self,
        selected: Selected,
        changes: Changes,
        parked: dict[int, Parked],
        offsets: Mapping[int, int],
    ) -> Step:
        new = dict(selected.new)
        for partition, each in parked.items():
            below = reached_below(selected.entries, partition, each.position)
            new[partition] = max(self.positions[partition], below)
        return Step(
            projection=self.projection,
            version=self.version,
            host=self.host,
            old=self.positions,
            new=new,
            changes=changes,
            offsets=dict(offsets),
            parked=parked,
            released={
                each
                for each in self.parked
                if each not in parked and new[each] > self.positions[each]
            },
        )

    def _store(self, connection: Connection, step: Step) -> None:
        self._sink.store(connection, step)
        self._stored(step)
        if time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + PRUNE_S
            self._sink.prune(connection, self.projection, self.version)

    def _stored(self, step: Step) -> None:
        self.positions = step.new
        name = self.projection.name
        for partition in step.released:
            del self.parked[partition]
            logger.warning("projection %s goes on in partition %d", name, partition)
        for partition, parked in step.parked.items():
            self.parked[partition] = parked
            self._retry_at = time.monotonic() + PARKED_RETRY_S
            logger.error(
                "projection %s is parked at position %d in partition %d: %s",
                name,
                parked.position,
                partition,
                parked.error,
            )
