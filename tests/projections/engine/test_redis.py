"""Counters in Redis: the same rows as in PostgreSQL, refilled from the log when lost (P8, P12)."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import redis

from projections.all import PROJECTIONS
from projections.engine.comparison import compare
from projections.engine.rebuild import rebuild
from projections.engine.register import read_status
from projections.engine.runner import Runner
from projections.engine.sinks.port import SinkUnavailableError
from projections.engine.sinks.redis import RedisSink, sinks_of
from projections.hosting.follower import follow
from projections.hosting.install import install
from projections.hosting.verify import verify
from projections.usage.model_rankings import MODEL_DAY, ModelRankings
from tests.servers.local import free_port
from tests.support.harness import eventually
from tests.support.history import History
from tests.support.streams import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database

IN_REDIS = [each for each in PROJECTIONS if each.in_redis]


@contextmanager
def following(database: Database, url: str) -> Iterator[None]:
    """The follower with a Redis."""
    stop = threading.Event()
    thread = threading.Thread(target=follow, args=(database, stop, sinks_of(url)))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


def caught_up(database: Database) -> bool:
    """Whether nothing lags."""
    with database.connect() as connection:
        return not any(each.lag_events for each in read_status(connection))


def digests(database: Database, url: str | None) -> list[tuple[str, int, str]]:
    """What the live tables hold; verified against the log."""
    _, found = compare(database, IN_REDIS, sinks_of(url))
    assert [text for each in found for text in each.differences] == []
    return [(table.table, table.rows, table.live) for each in found for table in each.tables]


def test_counters_move_into_redis_and_back(database: Database, empty_redis: str) -> None:
    """With a Redis a migration rebuilds them there, without it brings them back: same rows (P8)."""
    history = History(database)
    history.calls(80)
    with following(database, empty_redis):
        eventually(lambda: caught_up(database))
    tables = digests(database, None)
    assert all(rows for _, rows, _ in tables)
    assert sorted(install(database, sinks_of(empty_redis))) == sorted(
        each.name for each in IN_REDIS
    )
    assert digests(database, empty_redis) == tables
    with database.connect() as connection:
        assert connection.execute("SELECT to_regclass('read_model_day')").fetchone() == (None,)
    history.calls(20)
    with following(database, empty_redis):
        eventually(lambda: caught_up(database))
    tables = digests(database, empty_redis)
    install(database, sinks_of(None))
    assert digests(database, None) == tables


def test_the_follower_refills_a_lost_redis(database: Database, empty_redis: str) -> None:
    """What was lost comes back while it runs, and at its start (P8, P12)."""
    history = History(database)
    history.calls(40)
    install(database, sinks_of(empty_redis))
    sink = RedisSink(redis.Redis.from_url(empty_redis, decode_responses=True))

    def filled() -> bool:
        with database.connect() as connection:
            at = sink.progress(connection, ModelRankings(), 2)
            row = connection.execute("SELECT max(notification_id) FROM events").fetchone()
        return bool(row and at == {0: row[0]})

    with redis.Redis.from_url(empty_redis) as client:
        with following(database, empty_redis):
            eventually(filled)
            client.flushall()
            eventually(filled, 30)
        digests(database, empty_redis)
        client.flushall()
        with following(database, empty_redis):
            eventually(filled, 30)
    digests(database, empty_redis)


def test_a_rebuild_in_redis_leaves_nothing_behind(database: Database, empty_redis: str) -> None:
    """The old version's keys are gone, the new one's are there (P8)."""
    History(database).calls(30)
    install(database, sinks_of(empty_redis))
    assert rebuild(database, ModelRankings(), sinks_of(empty_redis)) == 3
    with redis.Redis.from_url(empty_redis, decode_responses=True) as client:
        names = list(client.scan_iter("gatewayz:model_day*"))
        assert names
        assert all(":v3:" in name for name in names)
        assert not client.exists("gatewayz:progress:model_rankings:v2")
    digests(database, empty_redis)


def test_counters_expire_in_redis(database: Database, empty_redis: str) -> None:
    """Windows of rate limits go when they are old; rankings stay (rule: bounded)."""
    History(database).calls(10)
    install(database, sinks_of(empty_redis))
    with redis.Redis.from_url(empty_redis, decode_responses=True) as client:
        windows = list(client.scan_iter("gatewayz:rate_limit_counter:*"))
        assert windows
        assert all(0 < client.ttl(name) <= 2 * 86_400 for name in windows)
        assert {client.ttl(name) for name in client.scan_iter("gatewayz:model_day:*")} == {-1}


def test_a_redis_that_is_away_stops_only_its_own(database: Database, empty_redis: str) -> None:
    """The error names Redis; projections in PostgreSQL go on (P12)."""
    install(database, sinks_of(empty_redis))
    away = sinks_of(f"redis://127.0.0.1:{free_port()}/0")
    with database.connect() as connection:
        with pytest.raises(SinkUnavailableError, match="Redis cannot be reached"):
            Runner(ModelRankings(), away).open(connection)
        with pytest.raises(SinkUnavailableError, match="GATEWAYZ_REDIS_URL"):
            Runner(ModelRankings()).open(connection)
    History(database).calls(10)
    stop = threading.Event()
    thread = threading.Thread(target=follow, args=(database, stop, away))
    thread.start()

    def others() -> bool:
        with database.connect() as connection:
            return {e.name for e in read_status(connection) if e.lag_events} == {
                each.name for each in IN_REDIS
            }

    eventually(others)
    stop.set()
    thread.join(20)
    assert MODEL_DAY.members == 2


def test_verification_sees_one_moment_under_load(database: Database, empty_redis: str) -> None:
    """No false difference in either store while calls come in and are counted (P8)."""
    history = History(database)
    history.calls(20)
    install(database, sinks_of(empty_redis))
    head = 0
    with following(database, empty_redis), load(history, calls=20, pause_s=0.01):
        for _ in range(6):
            head, found = compare(database, PROJECTIONS, sinks_of(empty_redis))
            assert [text for each in found for text in each.differences] == []
            assert all(each.position <= head for each in found)
            assert verify(database, sinks_of(empty_redis)).differences == []
    assert head > 100
