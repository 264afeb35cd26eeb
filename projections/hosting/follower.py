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
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from event_store.locks import Lock
from event_store.log.reading import listen, read_rows_after, unlisten
from event_store.postgres.database import limit_statements
from projections.all import PROJECTIONS
from projections.engine.batches import Batch, links_of_rows
from projections.engine.freshness import WANTED_CHANNEL
from projections.engine.roster import Roster
from projections.engine.runner import Runner
from projections.hosting.contention import Contention

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from datetime import datetime

    from event_store.log.reading import StoredRow
    from event_store.postgres.database import Database
    from projections.engine.sinks.port import Sink

logger = logging.getLogger("gatewayz.follower")

BATCH_EVENTS_MAX = 5_000
IDLE_S = 1.0
STOP_S = 0.1
"""An idle follower hears so soon that it is to end."""
GATHER_S = 0.3
"""Pause after a batch that did not fill, or of a backlog that is worked off beside calls."""
RETRY_S = 0.5
BUSY_EVENTS = 500
"""A batch of so many, gathered in GATHER_S, shows a busy log."""
BUSY_WAIT_SHARE = 0.1
"""The calls need every core when so much of our own time goes in waiting for one."""

STATEMENT_S = 60.0
"""Longest statement of a follower, seconds: a batch takes one or two on a busy machine."""
STATEMENT_MAX_S = 960.0
"""The same once statements were cancelled: each time they get twice as long, so that a batch that
needs more gets through in the end."""

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
            with (
                database.connect(statement_s=STATEMENT_S) as connection,
                database.connect(statement_s=STATEMENT_S) as wanted,
            ):
                Follower(connection, wanted, sinks, trail_max_s=trail_max_s).run(stop)
        except psycopg.OperationalError as error:
            logger.warning("the follower lost the database: %s", error)
            stop.wait(RETRY_S)
        except Exception:
            logger.exception("the follower starts again")
            stop.wait(IDLE_S)


class Turn(NamedTuple):
    """What one turn of the follower found."""

    events: int
    """The most that a projection had before it, as far as they were read."""
    gently: bool = False
    """Whether only what may trail is behind, beside a few calls: a pause is due all the same."""


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
        self._statement_s = STATEMENT_S

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
            turn = self.advance()
            if turn.events == 0 and listening:
                _wait(self._connection, IDLE_S, stop)
            elif turn.events == 0:
                # Listen first and look once more: what came in between would wake nobody.
                listen(self._connection)
                listening = True
            elif turn.events < BATCH_EVENTS_MAX or turn.gently:
                if listening:
                    # While events come anyway, being woken for each commit is waste.
                    unlisten(self._connection)
                    listening = False
                _wait(self._wanted, GATHER_S, stop)

    def advance(self) -> Turn:
        """One batch for each lane; what is cancelled is tried again, with more time."""
        lanes = (self._awaited, self._patient)
        try:
            turn = self._advance()
        except psycopg.errors.QueryCanceled as error:
            logger.warning("the log is read later: %s", error)
            turn = Turn(0)
        else:
            if not any(each.cancelled for each in lanes):
                return turn
        for each in lanes:
            each.cancelled = False
        self._statement_s = min(2 * self._statement_s, STATEMENT_MAX_S)
        limit_statements(self._connection, self._statement_s)
        return turn

    def _advance(self) -> Turn:
        reads = Reads(self._connection)
        came = self._awaited.advance(self._connection, reads)
        if self._may_trail(came):
            return Turn(came)
        most = self._patient.advance(self._connection, reads)
        # A patient lane that catches up takes its time: commits wait behind the rows it writes.
        gently = 0 < came < BUSY_EVENTS and self._in_distance()
        return Turn(max(came, most), gently)

    def _may_trail(self, events: int) -> bool:
        """Whether the patient lane should leave the machine to the calls for now."""
        waited = self._contention.share()
        return events >= BUSY_EVENTS and waited >= BUSY_WAIT_SHARE and self._in_distance()

    def _in_distance(self) -> bool:
        ahead, behind = self._awaited.reached_at, self._patient.reached_at
        return ahead is not None and behind is not None and ahead - behind < self._trail_max


class Reads:
    """What is read in one turn, once for all that stand at the same place."""

    def __init__(self, connection: Connection) -> None:
        """Nothing yet."""
        self._connection = connection
        self._rows: dict[int, list[StoredRow]] = {}
        self._batches: dict[tuple[int, int], Batch] = {}

    def rows(self, after: int) -> list[StoredRow]:
        """The rows of the log that follow a position."""
        found = self._rows.get(after)
        if found is None:
            found = read_rows_after(self._connection, after, BATCH_EVENTS_MAX)
            self._rows[after] = found
        return found

    def batch(self, after: int, runner: Runner) -> Batch:
        """The same as a batch for a runner, and for all with as many partitions."""
        key = (after, len(runner.positions))
        found = self._batches.get(key)
        if found is None:
            passed = dict.fromkeys(runner.positions, after)
            found = self._batches[key] = Batch(links_of_rows(self.rows(after), passed))
        return found


class Lane:
    """Projections that advance together."""

    def __init__(self, runners: list[Runner]) -> None:
        """Nothing is read before `advance`."""
        self._roster = Roster(runners)
        self.reached_at: datetime | None = None
        """When the last event was booked that those in front have passed."""

    @property
    def cancelled(self) -> bool:
        """Whether a statement of one of them took too long."""
        return self._roster.cancelled

    @cancelled.setter
    def cancelled(self, value: bool) -> None:
        self._roster.cancelled = value

    def advance(self, connection: Connection, reads: Reads) -> int:
        """One batch for all; returns the most events that a projection had before it."""
        roster = self._roster
        roster.look(connection)
        going = roster.going
        if not going:
            return 0
        front = max(each.live_position for each in going)
        leaders = [each for each in going if each.live_position == front]
        rows = reads.rows(front)
        most, head = len(rows), front
        if rows:
            head, self.reached_at = rows[-1][:2]
            for runner in leaders:
                roster.do(connection, runner, runner.deliver, reads.batch(front, runner))
        for runner in going:
            if runner not in leaders or runner.parked:
                advanced = roster.do(
                    connection, runner, runner.advance, BATCH_EVENTS_MAX, to_position=head
                )
                most = max(most, advanced[0] if advanced else 0)
        return most


def _wait(connection: Connection, timeout_s: float, stop: threading.Event) -> None:
    """Until something is notified, the time is over, or an end is asked for."""
    until = time.monotonic() + timeout_s
    while not stop.is_set() and (left := until - time.monotonic()) > 0:
        if list(connection.notifies(timeout=min(left, STOP_S), stop_after=1)):
            return


def _lock(connection: Connection) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [Lock.FOLLOWER]).fetchone()
    return bool(row and row[0])
