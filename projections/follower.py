"""Hosts the projections on PostgreSQL itself: the embedded default, no Kafka needed.

One follower at a time for a database, by a session lock; another waits its turn. On a quiet log it
is woken by the append's notification. On a busy one it lets events gather, so that the read side
costs the calls as little as it can, and a reader who waits for its own writes cuts that short.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import psycopg

from projections.catalog import PROJECTIONS
from projections.runner import WANTED_CHANNEL, Runner

if TYPE_CHECKING:
    import threading

    from event_store.database import Database

logger = logging.getLogger("gatewayz.follower")

FOLLOWER_LOCK = 4716262
BATCH_EVENTS_MAX = 5_000
IDLE_S = 1.0
GATHER_S = 0.3
"""Pause after a batch that did not fill, unless a reader waits."""
RETRY_S = 0.5

Connection = psycopg.Connection[Any]


def follow(database: Database, stop: threading.Event) -> None:
    """Advance all projections until told to stop; survives a lost database."""
    while not stop.is_set():
        try:
            with database.connect() as connection, database.connect() as wanted:
                _follow_on(connection, wanted, stop)
        except psycopg.OperationalError as error:
            logger.warning("the follower lost the database: %s", error)
            stop.wait(RETRY_S)
        except Exception:
            # An event that cannot be folded: say so, loudly and again, and go on trying. The
            # position stands still, so nothing is skipped.
            logger.exception("a projection cannot go on")
            stop.wait(IDLE_S)


def _follow_on(connection: Connection, wanted: Connection, stop: threading.Event) -> None:
    while not _lock(connection):
        if stop.wait(IDLE_S):
            return
    # Losing the last moments in a crash loses nothing: rows and position are lost together, and
    # the log still has the events. Waiting for the disk here would slow the calls' own commits.
    connection.execute("SET synchronous_commit = off")
    wanted.execute(f"LISTEN {WANTED_CHANNEL}")
    runners = [Runner(projection) for projection in PROJECTIONS]
    for runner in runners:
        runner.register(connection)
    listening = False
    while not stop.is_set():
        most = max(runner.advance(connection, BATCH_EVENTS_MAX)[0] for runner in runners)
        if most == 0 and listening:
            _wait(connection, IDLE_S)
        elif most == 0:
            # Listen first and look once more: what came in between would wake nobody.
            connection.execute("LISTEN events")
            listening = True
        elif most < BATCH_EVENTS_MAX:
            if listening:
                # While events come anyway, being woken for each commit is waste.
                connection.execute("UNLISTEN events")
                listening = False
            _wait(wanted, GATHER_S)


def _wait(connection: Connection, timeout_s: float) -> None:
    for _ in connection.notifies(timeout=timeout_s, stop_after=1):
        pass


def _lock(connection: Connection) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [FOLLOWER_LOCK]).fetchone()
    return bool(row and row[0])
