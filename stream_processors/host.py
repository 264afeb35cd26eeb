"""Hosts the projections on what Kafka delivers, with the same runner as the follower.

Kafka delivers at least once and may lose, repeat or reorder around failures; exactness is the
sinks' (progress by partition beside the rows). A projection that sees a gap, was parked, or lost
its Redis catches up from the log in PostgreSQL, a batch at a time, while the others go on.
All this runs on one thread, with one connection.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import psycopg

from event_store.log.reading import head_position
from projections.all import PROJECTIONS
from projections.engine.batches import Batch
from projections.engine.roster import Roster
from projections.engine.runner import WORKERS, Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from projections.engine.batches import Link
    from projections.engine.sinks.port import Sink

    Connection = psycopg.Connection[Any]

logger = logging.getLogger("gatewayz.worker")

CATCH_UP_EVENTS = 10_000
LOST_RETRY_S = 0.5


class ProjectionHost:
    """All projections of one worker process."""

    def __init__(
        self, connect: Callable[[], Connection], sinks: Mapping[str, Sink], batch_events_max: int
    ) -> None:
        """`connect` opens a connection of the application; it is called again when one is lost."""
        self._connect = connect
        self._connection: Connection | None = None
        self._batch_events_max = batch_events_max
        self._roster = Roster([Runner(each, sinks, host=WORKERS) for each in PROJECTIONS])
        self._behind: dict[Runner, set[int]] = {}
        self._stopping = False
        self.assigned: set[int] = set()
        self.applied = 0
        self.caught_up = 0

    def assign(self, partitions: set[int], topic_partitions: int) -> dict[int, int]:
        """Take over some partitions; returns the Kafka offset to go on from, where one is known.

        The offsets are those stored with the rows, the lowest of all projections. One that was
        rebuilt stands at the head of the log and has none: nothing before it is new to it.
        """
        while not self._stopping:
            try:
                return self._assign(partitions, topic_partitions)
            except psycopg.OperationalError as error:
                self._lost(error)
        return {}

    def _assign(self, partitions: set[int], topic_partitions: int) -> dict[int, int]:
        self.assigned = set(partitions)
        self._roster.forget()
        self._behind.clear()
        self._look()
        for runner in self._roster.going:
            if len(runner.positions) != topic_partitions:
                logger.error(
                    "projection %s has %d partitions, the topic has %d: run `gatewayz projections "
                    "rebuild %s --partitions %d`",
                    runner.projection.name,
                    len(runner.positions),
                    topic_partitions,
                    runner.projection.name,
                    topic_partitions,
                )
                self._roster.bar(runner)
        rows = self._open().execute(
            "SELECT g.partition, min(g.next_offset) FROM projection p "
            "JOIN projection_progress g ON g.name = p.name AND g.version = p.version "
            "WHERE g.host = %s AND g.partition = ANY (%s) AND g.parked_position IS NULL "
            "GROUP BY g.partition",
            [WORKERS, sorted(partitions)],
        )
        return {partition: offset for partition, offset in rows.fetchall() if offset is not None}

    def deliver(self, links: Sequence[Link], offsets: Mapping[int, int]) -> None:
        """Apply links of assigned partitions to every projection; `offsets` come after them.

        Returns when all is stored that can be; waits for a lost database.
        """
        size = self._batch_events_max
        for start in range(0, len(links), size):
            piece = links[start : start + size]
            last = offsets if start + size >= len(links) else {}
            while not self._stopping:
                try:
                    self._deliver(piece, last)
                    break
                except psycopg.OperationalError as error:
                    self._lost(error)

    def _deliver(self, links: Sequence[Link], offsets: Mapping[int, int]) -> None:
        connection, batch = self._open(), Batch(links, offsets)
        self._look()
        for runner in self._roster.going:
            found = self._roster.do(connection, runner, runner.deliver, batch)
            if found is not None and found.gaps:
                self._note_gap(runner, found.gaps)
        self.applied += len(links)
        self._catch_up(connection)

    def tick(self) -> None:
        """What is due without any delivery: catching up, parked partitions, a lost Redis."""
        try:
            connection = self._open()
            self._look()
            self._catch_up(connection)
            for runner in self._roster.going:
                parked = set(runner.parked) & self.assigned
                if parked:
                    self._roster.do(
                        connection, runner, runner.advance, CATCH_UP_EVENTS, partitions=parked
                    )
        except psycopg.OperationalError as error:
            self._lost(error)

    def lag(self) -> dict[tuple[str, int], int]:
        """Positions between each assigned partition's progress and the head of the log."""
        with self._connect() as connection:
            head = head_position(connection)
        return {
            (runner.projection.name, partition): max(0, head - position)
            for runner in self._roster.runners
            for partition, position in runner.positions.items()
            if partition in self.assigned
        }

    def parked(self) -> dict[tuple[str, int], int]:
        """Positions of the events that stop some projection."""
        return {
            (runner.projection.name, partition): each.position
            for runner in self._roster.runners
            for partition, each in runner.parked.items()
        }

    def stop(self) -> None:
        """Wait for no lost database any more; what is not stored will be delivered again."""
        self._stopping = True

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
            # Rows and progress are lost together in a crash; the log still has the events.
            self._connection.execute("SET synchronous_commit = off")
        return self._connection

    def _lost(self, error: psycopg.OperationalError) -> None:
        logger.warning("the worker lost the database: %s", error)
        if self._connection is not None:
            self._connection.close()
        # What was stored last is not known: look again before anything is applied.
        self._roster.forget()
        self._behind.clear()
        time.sleep(LOST_RETRY_S)

    def _look(self) -> None:
        """Whoever was absent has been passed by what was delivered meanwhile."""
        for runner in self._roster.look(self._open()):
            self._note_gap(runner, self.assigned)

    def _note_gap(self, runner: Runner, partitions: set[int]) -> None:
        mine = partitions & self.assigned
        if mine and runner not in self._behind:
            logger.warning(
                "projection %s misses events in partitions %s and takes them from the log",
                runner.projection.name,
                sorted(mine),
            )
        self._behind.setdefault(runner, set()).update(mine)

    def _catch_up(self, connection: Connection) -> None:
        """One batch from the log for each projection that missed something."""
        for runner, partitions in list(self._behind.items()):
            if runner not in self._roster.going:
                continue
            head = head_position(connection)
            read = self._roster.do(
                connection,
                runner,
                runner.advance,
                CATCH_UP_EVENTS,
                to_position=head,
                partitions=partitions,
            )
            if read is None:
                continue
            self.caught_up += read[0]
            mine = [runner.positions[each] for each in partitions if each not in runner.parked]
            if min(mine, default=head) >= head:
                del self._behind[runner]
