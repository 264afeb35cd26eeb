"""Rebuilds a projection beside the live one, and switches in one transaction (P8).

The new version is filled from the log alone, whatever host the live one has; nothing but rows is
written, so no side effect can happen twice. Readers select from views, which show the old
version until the switch and the new one from then on.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from event_store.locks import Lock
from event_store.log.reading import head_position
from projections.engine.runner import Runner
from projections.engine.schema import create_indexes, create_tables, drop_views, show_version
from projections.engine.sinks.port import POSTGRES, Sink, sink_named
from projections.engine.sinks.postgres import or_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from event_store.postgres.database import Database
    from projections.engine.projection import Projection

    Connection = psycopg.Connection[Any]

BATCH_EVENTS = 20_000
CLOSE_EVENTS = 2_000
"""How near the head the new version must be before the live one is held still."""
SWITCH_LOCK_TIMEOUT = "250ms"
SWITCH_TRIES_MAX = 240
SWITCH_RETRY_S = 0.25
LEFT_BEHIND = 5
"""Versions before the last one that are dropped too, where a long reader had kept them."""
REBUILD = "rebuild"


class RebuildError(RuntimeError):
    """The rebuild cannot go on; the live version stays as it is."""


def rebuild(
    database: Database,
    projection: Projection,
    sinks: Mapping[str, Sink] | None = None,
    *,
    host: str | None = None,
    partitions: int | None = None,
    kept_in: str | None = None,
    park: bool = False,
    report: Callable[[int, int], None] | None = None,
) -> int:
    """Build the next version, catch up, switch; returns the version that is live now.

    `report` is told the position reached and the head. `host`, `partitions` and `kept_in`
    change who advances the projection afterwards, by how many partitions, and which sink keeps
    it. An event that parks the new version ends the rebuild, unless with `park` the live one has
    not passed that event either. Raises RebuildError, or SinkUnavailableError for a sink that is
    not configured.
    """
    known = or_postgres(sinks)
    report = report or _no_report
    with database.connect_as_owner() as owner, database.connect() as worker:
        worker.execute("SET synchronous_commit = off")
        with _locked(owner, projection):
            live = _live(owner, projection)
            host, partitions = host or live[1], partitions or live[2]
            version = live[0] + 1
            sink = sink_named(known, kept_in or live[3], projection)
            _begin(owner, projection, sink, version, partitions)
            runner = Runner(projection, {sink.kind: sink}, host=REBUILD, version=version)
            runner.open(worker)
            _catch_up(worker, runner, report)
            if not park:
                _refuse_parked(runner, {})
            if sink.kind == POSTGRES:
                create_indexes(owner, projection, version)
                owner.execute(
                    f"ANALYZE {', '.join(t.stored_as(version) for t in projection.tables)}"
                )
            _switch(owner, worker, runner, live[0], host, report)
            old = known.get(live[3])
            if old is not None:
                _drop(owner, projection, old, live[0])
            return version


def _no_report(position: int, head: int) -> None:
    """Nobody looks at the progress."""


def _live(owner: Connection, projection: Projection) -> tuple[int, str, int, str]:
    """Version, host, number of partitions and sink of the live one."""
    row = owner.execute(
        "SELECT p.version, min(g.host), count(*), p.sink FROM projection p "
        "JOIN projection_progress g ON g.name = p.name AND g.version = p.version "
        "WHERE p.name = %s GROUP BY p.version, p.sink",
        [projection.name],
    ).fetchone()
    if row is None:
        message = f"projection {projection.name} is not installed: run `gatewayz migrate`"
        raise RebuildError(message)
    return row[0], row[1], row[2], row[3]


@contextmanager
def _locked(owner: Connection, projection: Projection) -> Iterator[None]:
    key = [Lock.REBUILD, projection.name]
    row = owner.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", key).fetchone()
    if not (row and row[0]):
        message = f"projection {projection.name} is being rebuilt already"
        raise RebuildError(message)
    try:
        yield
    finally:
        if not owner.closed:
            owner.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", key)


def _begin(
    owner: Connection, projection: Projection, sink: Sink, version: int, partitions: int
) -> None:
    """Empty tables and progress for the new version; what an earlier try left is gone."""
    sink.drop(owner, projection, version)
    with owner.transaction():
        owner.execute("SET LOCAL lock_timeout = '5s'")
        owner.execute(
            "DELETE FROM projection_progress WHERE name = %s AND version >= %s",
            [projection.name, version],
        )
        owner.execute(
            "INSERT INTO projection_progress (name, version, partition, host) "
            "SELECT %s, %s, p, %s FROM generate_series(0, %s) p",
            [projection.name, version, REBUILD, partitions - 1],
        )
        if sink.kind == POSTGRES:
            create_tables(owner, projection, version)


def _catch_up(worker: Connection, runner: Runner, report: Callable[[int, int], None]) -> None:
    while True:
        head = head_position(worker)
        read, position = runner.advance(worker, BATCH_EVENTS)
        report(position, max(head, position))
        if read == 0 or head - position < CLOSE_EVENTS:
            return


def _refuse_parked(runner: Runner, passed: Mapping[int, int]) -> None:
    """Raise RebuildError for an event that stops the new version, unless it stops the live one.

    `passed` are the positions of the live version, by partition.
    """
    for partition, each in runner.parked.items():
        if each.position <= passed.get(partition, each.position):
            message = (
                f"{runner.projection.name} cannot fold the event at position {each.position}: "
                f"{each.error}. The live version stays; mend the fold and rebuild again"
            )
            raise RebuildError(message)


def _switch(
    owner: Connection,
    worker: Connection,
    runner: Runner,
    live: int,
    host: str,
    report: Callable[[int, int], None],
) -> None:
    for _ in range(SWITCH_TRIES_MAX):
        try:
            with owner.transaction():
                # A reader who keeps a view locked must not make the readers behind us wait.
                owner.execute(f"SET LOCAL lock_timeout = '{SWITCH_LOCK_TIMEOUT}'")
                _switch_now(owner, worker, runner, live, host)
        except psycopg.errors.LockNotAvailable:
            time.sleep(SWITCH_RETRY_S)
            _catch_up(worker, runner, report)
        else:
            report(runner.position, runner.position)
            return
    message = f"the switch of {runner.projection.name} never got its locks: a reader holds them"
    raise RebuildError(message)


def _switch_now(
    owner: Connection, worker: Connection, runner: Runner, live: int, host: str
) -> None:
    """Hold the live version still, pass it, and put the new one in its place."""
    projection, version = runner.projection, runner.version
    passed = dict(
        owner.execute(
            "SELECT partition, position FROM projection_progress "
            "WHERE name = %s AND version = %s FOR UPDATE",
            [projection.name, live],
        ).fetchall()
    )
    head = head_position(worker)
    while any(
        position < head and partition not in runner.parked
        for partition, position in runner.positions.items()
    ):
        _catch_up(worker, runner, _no_report)
    _refuse_parked(runner, passed)
    owner.execute(
        "DELETE FROM projection_progress WHERE name = %s AND version <= %s",
        [projection.name, live],
    )
    owner.execute(
        "UPDATE projection_progress SET host = %s WHERE name = %s AND version = %s",
        [host, projection.name, version],
    )
    owner.execute(
        "UPDATE projection SET version = %s, revision = %s, sink = %s WHERE name = %s",
        [version, projection.revision, runner.sink.kind, projection.name],
    )
    if runner.sink.kind == POSTGRES:
        show_version(owner, projection, version)
    else:
        drop_views(owner, projection)


def _drop(owner: Connection, projection: Projection, sink: Sink, version: int) -> None:
    """Drop the version that was live; a long reader may keep it for a while."""
    for _ in range(SWITCH_TRIES_MAX):
        try:
            with owner.transaction():
                owner.execute(f"SET LOCAL lock_timeout = '{SWITCH_LOCK_TIMEOUT}'")
                for old in range(max(1, version - LEFT_BEHIND), version + 1):
                    sink.drop(owner, projection, old)
        except psycopg.errors.LockNotAvailable:
            time.sleep(SWITCH_RETRY_S)
        else:
            return
