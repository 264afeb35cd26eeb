"""Hosts the projections on PostgreSQL itself: the embedded default, no Kafka needed.

One follower at a time for a database, by a session lock; another waits its turn. On a quiet log it
is woken by the append's notification. On a busy one it lets events gather, so that the read side
costs the calls as little as it can, and a reader who waits for its own writes cuts that short.

The projections go in two lanes. Those that readers of their own writes wait for go first. The
others may trail while the calls need every core (ADR 0017). Each batch is read once for all that
stand at the same place; one that lags (it is new, it was parked, its Redis was lost) comes after by
itself.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from event_store.locks import Lock
from event_store.log.partitions import partition_of
from event_store.log.reading import LogEntry, listen, read_after, unlisten
from projections.all import PROJECTIONS
from projections.engine.batches import Batch, Link
from projections.engine.freshness import WANTED_CHANNEL
from projections.engine.roster import Roster
from projections.engine.runner import Runner
from projections.hosting.contention import Contention

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from datetime import datetime

    from event_store.postgres.database import Database
    from projections.engine.sinks import Sink

logger = logging.getLogger("gatewayz.follower")

BATCH_EVENTS_MAX = 5_000
IDLE_S = 1.0
GATHER_S = 0.3
"""Pause after a batch that did not fill, or of a backlog that is worked off beside calls."""
RETRY_S = 0.5
BUSY_EVENTS = 500
"""A batch of so many, gathered in GATHER_S, shows a busy log."""
BUSY_WAIT_SHARE = 0.1
"""The calls need every core when so much of our own time goes in waiting for one."""

Connection = psycopg.Connection[Any]


def follow(
    database: Database,
    stop: threading.Event,
    sinks: Mapping[str, Sink] | None = None,
    *,
    trail_max_s: float = 0.0,
) -> None:
    """Advance all projections until told to stop; survives a lost database.

    `trail_max_s` is how far those that nobody waits for may fall behind while the calls need
    every core.
    """
    while not stop.is_set():
        try:
            with database.connect() as connection, database.connect() as wanted:
                Follower(connection, wanted, sinks, trail_max_s=trail_max_s).run(stop)
        except psycopg.OperationalError as error:
            logger.warning("the follower lost the database: %s", error)
            stop.wait(RETRY_S)
        except Exception:
            logger.exception("the follower starts again")
            stop.wait(IDLE_S)


class Follower:
    """One run of the follower, on two connections: one works, one hears waiting readers."""

    def __init__(
        self,
        connection: Connection,
        wanted: Connection,
        sinks: Mapping[str, Sink] | None,
        *,
        trail_max_s: float,
    ) -> None:
        """Nothing is read before `run`."""
        self._trail_max = timedelta(seconds=trail_max_s)
        self._connection, self._wanted = connection, wanted
        self._awaited = Lane([Runner(each, sinks) for each in PROJECTIONS if each.awaited])
        self._patient = Lane([Runner(each, sinks) for each in PROJECTIONS if not each.awaited])
        self._contention = Contention()
        self.gently = False
        """Whether only what may trail is behind, beside a few calls: it pauses after each batch."""

    def run(self, stop: threading.Event) -> None:
        """Follow the log until told to stop."""
        while not _lock(self._connection):
            if stop.wait(IDLE_S):
                return
        # Losing the last moments in a crash loses nothing: rows and position are lost together,
        # and the log still has the events. Waiting for the disk would slow the calls' commits.
        self._connection.execute("SET synchronous_commit = off")
        self._wanted.execute(f"LISTEN {WANTED_CHANNEL}")
        listening = False
        while not stop.is_set():
            most = self.advance()
            if most == 0 and listening:
                _wait(self._connection, IDLE_S)
            elif most == 0:
                # Listen first and look once more: what came in between would wake nobody.
                listen(self._connection)
                listening = True
            elif most < BATCH_EVENTS_MAX or self.gently:
                if listening:
                    # While events come anyway, being woken for each commit is waste.
                    unlisten(self._connection)
                    listening = False
                _wait(self._wanted, GATHER_S)

    def advance(self) -> int:
        """One batch for each lane; returns the most events that a projection had before it."""
        self.gently = False
        reads: dict[int, list[LogEntry]] = {}
        came = self._awaited.advance(self._connection, reads)
        if self._may_trail(came):
            return came
        most = self._patient.advance(self._connection, reads)
        # A patient lane that catches up takes its time: commits wait behind the rows it writes.
        self.gently = 0 < came < BUSY_EVENTS and self._in_distance()
        return max(came, most)

    def _may_trail(self, events: int) -> bool:
        """Whether the patient lane should leave the machine to the calls for now."""
        waited = self._contention.share()
        return events >= BUSY_EVENTS and waited >= BUSY_WAIT_SHARE and self._in_distance()

    def _in_distance(self) -> bool:
        ahead, behind = self._awaited.reached_at, self._patient.reached_at
        return ahead is not None and behind is not None and ahead - behind < self._trail_max


class Lane:
    """Projections that advance together."""

    def __init__(self, runners: list[Runner]) -> None:
        """Nothing is read before `advance`."""
        self._roster = Roster(runners)
        self.reached_at: datetime | None = None
        """When the last event was booked that those in front have passed."""

    def advance(self, connection: Connection, reads: dict[int, list[LogEntry]]) -> int:
        """One batch for all; returns the most events that a projection had before it.

        `reads` is what was read in this turn, by the position after which it stands.
        """
        roster = self._roster
        roster.look(connection)
        going = roster.going
        if not going:
            return 0
        front = max(each.live_position for each in going)
        leaders = [each for each in going if each.live_position == front]
        if front not in reads:
            reads[front] = read_after(connection, front, BATCH_EVENTS_MAX)
        entries = reads[front]
        most = len(entries)
        if entries:
            self.reached_at = entries[-1].booked_at
        batches: dict[int, Batch] = {}
        for runner in leaders if entries else ():
            count = len(runner.positions)
            if count not in batches:
                batches[count] = Batch(links_for(runner, entries))
            roster.do(connection, runner, runner.deliver, batches[count])
        head = entries[-1].position if entries else front
        for runner in going:
            if runner not in leaders or runner.parked:
                advanced = roster.do(
                    connection, runner, runner.advance, BATCH_EVENTS_MAX, to_position=head
                )
                most = max(most, advanced[0] if advanced else 0)
        return most


def links_for(runner: Runner, entries: list[LogEntry]) -> list[Link]:
    """Entries of the log as links of the runner's partitions; a whole log has no gaps."""
    count = len(runner.positions)
    if count == 1:
        links = [Link(0, 0, each.position, each) for each in entries]
    else:
        links = [
            Link(partition_of(each.partition_key, count), 0, each.position, each)
            for each in entries
        ]
    last = entries[-1].position
    return links + [Link(each, 0, last, None) for each in runner.positions]


def _wait(connection: Connection, timeout_s: float) -> None:
    for _ in connection.notifies(timeout=timeout_s, stop_after=1):
        pass


def _lock(connection: Connection) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [Lock.FOLLOWER]).fetchone()
    return bool(row and row[0])
