"""Hosts the projections on PostgreSQL itself: the embedded default, no Kafka needed.

One follower at a time for a database, by a session lock; another waits its turn. It is woken by
the append's notification, and looks by itself at intervals in case one was lost.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import psycopg

from projections.catalog import PROJECTIONS
from projections.runner import Runner

if TYPE_CHECKING:
    import threading

    from event_store.database import Database

logger = logging.getLogger("gatewayz.follower")

FOLLOWER_LOCK = 4716262
BATCH_EVENTS_MAX = 2_000
IDLE_S = 1.0
GATHER_S = 0.05
"""Pause between small batches, so that a busy log is read in larger ones."""
RETRY_S = 0.5


def follow(database: Database, stop: threading.Event) -> None:
    """Advance all projections until told to stop; survives a lost database."""
    while not stop.is_set():
        try:
            with database.connect() as connection:
                _follow_on(connection, stop)
        except psycopg.OperationalError as error:
            logger.warning("the follower lost the database: %s", error)
            stop.wait(RETRY_S)


def _follow_on(connection: psycopg.Connection[Any], stop: threading.Event) -> None:
    while not _lock(connection):
        if stop.wait(IDLE_S):
            return
    # Losing the last moments in a crash loses nothing: rows and position are lost together, and
    # the log still has the events. Waiting for the disk here would slow the calls' own commits.
    connection.execute("SET synchronous_commit = off")
    connection.execute("LISTEN events")
    runners = [Runner(projection) for projection in PROJECTIONS]
    for runner in runners:
        runner.register(connection)
    while not stop.is_set():
        began = time.monotonic()
        most = max(runner.advance(connection, BATCH_EVENTS_MAX)[0] for runner in runners)
        if most == 0:
            for _ in connection.notifies(timeout=IDLE_S, stop_after=1):
                pass
        elif most < BATCH_EVENTS_MAX:
            stop.wait(max(0.0, GATHER_S - (time.monotonic() - began)))


def _lock(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [FOLLOWER_LOCK]).fetchone()
    return bool(row and row[0])
