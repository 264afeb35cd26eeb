"""The read side over Kafka: the same rows, nothing lost or doubled whatever dies (P7, P8, P12)."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis
from kafka import KafkaConsumer, KafkaProducer
from kafka.structs import TopicPartition

from event_store.relay.kafka import ensure_topic
from projections.all import PROJECTIONS
from projections.engine.comparison import compare
from projections.engine.rebuild import rebuild
from projections.engine.register import assign, read_status
from projections.hosting.follower import follow
from tests.servers.provide import local_broker, local_redis
from tests.support.harness import eventually
from tests.support.history import History, insert_raw
from tests.support.processes import Server, free_port, gatewayz
from tests.support.streams import PARTITIONS, Program, System, load, system

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database

GATE = 78
"""Key of the advisory lock at which a process waits to be killed."""


def stop_at(database: Database, table: str, condition: str) -> psycopg.Connection[object]:
    """Make updates of a table wait while the returned connection is open."""
    with database.connect_as_owner() as connection:
        connection.execute(
            "CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"PERFORM pg_advisory_xact_lock({GATE}); RETURN NEW; END $$"
        )
        connection.execute(
            f"CREATE TRIGGER gate BEFORE UPDATE ON {table} FOR EACH ROW "
            f"WHEN ({condition}) EXECUTE FUNCTION wait_at_gate()"
        )
    gate: psycopg.Connection[object] = psycopg.connect(database.owner, autocommit=True)
    gate.execute("SELECT pg_advisory_lock(%s)", [GATE])
    return gate


def await_waiting(database: Database) -> None:
    """Until somebody waits at the gate."""

    def waiting() -> bool:
        with database.connect() as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
                "AND objid = %s AND database = "
                "(SELECT oid FROM pg_database WHERE datname = current_database())",
                [GATE],
            ).fetchone()
        return bool(row and row[0])

    eventually(waiting, 30)


def end_waiting(database: Database) -> None:
    """End the statement of a killed process, which its server would finish for it otherwise."""
    with database.connect_as_owner() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks "
            "WHERE locktype = 'advisory' AND NOT granted AND objid = %s AND database = "
            "(SELECT oid FROM pg_database WHERE datname = current_database())",
            [GATE],
        )


def test_both_hosts_make_the_same_rows(database: Database, kafka: str, tmp_path: Path) -> None:
    """One history through Kafka and workers, and through the follower: all tables equal (P8)."""
    history = History(database, users=9)
    history.calls(150)
    with system(database, kafka, tmp_path) as run:
        run.start("relay")
        worker = run.start("worker")
        history.calls(150)
        run.await_head()
        metrics = run.metrics(worker)
        assert metrics["gatewayz_worker_caught_up_events_total"] == 0
        assert max(v for k, v in metrics.items() if k.startswith("gatewayz_projection_lag")) == 0
        run.verified()
        _, over_kafka = compare(database, PROJECTIONS)
    for projection in PROJECTIONS:
        rebuild(database, projection, host="follower", partitions=1)
    _, followed = compare(database, PROJECTIONS)
    for one, other in zip(over_kafka, followed, strict=True):
        assert one.version < other.version
        assert [(t.table, t.rows, t.live) for t in one.tables] == [
            (t.table, t.rows, t.live) for t in other.tables
        ]


def test_a_worker_killed_in_the_middle_of_a_batch(
    database: Database, kafka: str, tmp_path: Path
) -> None:
    """Some projections have the batch, some have not: the next worker levels them (P7)."""
    history = History(database)
    with system(database, kafka, tmp_path) as run:
        gate = stop_at(database, "projection_progress", "NEW.name = 'activity_log'")
        run.start("relay")
        worker = run.start("worker")
        history.calls(100)
        await_waiting(database)
        worker.stop(signal.SIGKILL)
        end_waiting(database)
        gate.close()
        at = run.positions()
        assert at["account_balances"] > at["activity_log"]
        history.calls(50)
        run.start("worker")
        run.await_head()
        run.verified()


def test_a_relay_killed_between_produce_and_store(
    database: Database, kafka: str, tmp_path: Path
) -> None:
    """What was produced and not stored is produced again, and applied once (P7)."""
    history = History(database)
    with system(database, kafka, tmp_path) as run:
        gate = stop_at(database, "relay_progress", "true")
        history.calls(60)
        relay = run.start("relay")
        run.start("worker")
        await_waiting(database)
        relay.stop(signal.SIGKILL)
        end_waiting(database)
        gate.close()
        run.start("relay")
        history.calls(60)
        run.await_head()
        run.verified()
    consumer = KafkaConsumer(bootstrap_servers=kafka)
    try:
        assigned = [TopicPartition(run.topic, each) for each in range(PARTITIONS)]
        produced = sum(consumer.end_offsets(assigned).values())
    finally:
        consumer.close()
    with database.connect() as connection:
        row = connection.execute("SELECT count(*) FROM events").fetchone()
    assert row is not None
    assert produced > row[0] + 100, "the killed relay's messages stand twice"


@pytest.mark.timeout(300)
def test_a_broker_that_is_gone_for_twenty_seconds_under_load(
    database: Database, tmp_path: Path
) -> None:
    """Without Kafka the log goes on; relay and worker go on when it is back (P12)."""
    history = History(database)
    with (
        local_broker(tmp_path / "kafka") as broker,
        system(database, broker.bootstrap, tmp_path) as run,
    ):
        began = run.head()
        run.start("relay")
        run.start("worker")
        with load(history, calls=5, pause_s=0.1):
            eventually(lambda: min(run.positions().values()) > began, 30)
            broker.stop()
            before = run.head()
            time.sleep(20)
            assert run.head() > before + 100, "the log went on"
            broker.start()
            time.sleep(2)
        run.await_head(timeout_s=120)
        run.verified()


@pytest.mark.timeout(300)
def test_two_workers_rebalance_under_load(database: Database, kafka: str, tmp_path: Path) -> None:
    """Workers come, go and are killed; partitions move, and every event counts once (P7)."""
    history = History(database, users=9)
    with system(database, kafka, tmp_path) as run:
        run.start("relay")
        first = run.start("worker")
        began = run.head()
        with load(history):
            eventually(lambda: min(run.positions().values()) > began, 30)
            second = run.start("worker")

            def shared() -> bool:
                return all(
                    len(_partitions(run, each)) == PARTITIONS // 2 for each in (first, second)
                )

            eventually(shared, 60)
            first.stop(signal.SIGKILL)
            eventually(lambda: len(_partitions(run, second)) == PARTITIONS, 60)
            third = run.start("worker")
            eventually(lambda: len(_partitions(run, third)) == PARTITIONS // 2, 60)
            second.stop()
        run.await_head()
        run.verified()


def test_a_rebuild_and_a_change_of_host_under_load(
    database: Database, kafka: str, tmp_path: Path
) -> None:
    """Workers go on with the new version; the follower can take over and back (P7, P8)."""
    history = History(database, users=9)
    with system(database, kafka, tmp_path) as run:
        run.start("relay")
        run.start("worker")
        began = run.head()
        with load(history):
            eventually(lambda: min(run.positions().values()) > began, 30)
            for projection in PROJECTIONS:
                rebuild(database, projection)
            time.sleep(1)
            for projection in PROJECTIONS:
                assign(database, projection, "follower")
            stop = threading.Event()
            follower = threading.Thread(target=follow, args=(database, stop))
            follower.start()
            reached = run.head()
            eventually(lambda: min(run.positions().values()) >= reached, 30)
            stop.set()
            follower.join()
            for projection in PROJECTIONS:
                assign(database, projection, "workers")
            run.start("worker")
        run.await_head()
        run.verified()


def _partitions(run: System, program: Program) -> set[str]:
    try:
        names = run.metrics(program)
    except Exception:  # noqa: BLE001  it does not serve yet
        return set()
    return {
        name for name in names if name.startswith("gatewayz_projection_lag") and "journal" in name
    }


def test_duplicated_and_reordered_deliveries(
    database: Database, kafka: str, tmp_path: Path
) -> None:
    """Repeated, out of order, missing: the sinks pass over or refuse, and catch up (P7)."""
    history = History(database)
    chance = random.Random(11)
    with system(database, kafka, tmp_path) as run:
        history.calls(200)
        run.start("relay")
        with database.connect() as connection:
            eventually(lambda: _relayed(connection) == run.head())
        jumbled = f"{run.topic}.jumbled"
        ensure_topic(kafka, jumbled, PARTITIONS)
        consumer = KafkaConsumer(bootstrap_servers=kafka, consumer_timeout_ms=1_000)
        producer = KafkaProducer(bootstrap_servers=kafka)
        try:
            for number in range(PARTITIONS):
                partition = TopicPartition(run.topic, number)
                consumer.assign([partition])
                consumer.seek_to_beginning(partition)
                values = [each.value for each in consumer]
                dropped = [each for each in values if chance.random() > 0.05]
                again = [each for each in dropped for _ in range(chance.choice((1, 1, 2)))]
                for at in range(0, len(again) - 6, 9):
                    window = again[at : at + 6]
                    chance.shuffle(window)
                    again[at : at + 6] = window
                for value in again:
                    producer.send(jumbled, value, partition=number)
            producer.flush()
        finally:
            consumer.close()
            producer.close()
        worker = run.start("worker", GATEWAYZ_KAFKA_TOPIC=jumbled)
        run.await_head()
        assert run.metrics(worker)["gatewayz_worker_caught_up_events_total"] > 0
        assert "misses events" in worker.log.read_text()
        run.verified()


def _relayed(connection: psycopg.Connection[object]) -> int:
    row = connection.execute("SELECT max(position) FROM relay_progress").fetchone()
    found: int = (row and row[0]) or 0  # type: ignore[index]
    return found


def test_redis_wiped_under_load(database: Database, kafka: str, tmp_path: Path) -> None:
    """Losing Redis loses nothing: its counters come back from the log by themselves (P8, P12)."""
    history = History(database)
    history.calls(50)
    with (
        local_redis(tmp_path) as server,
        system(database, kafka, tmp_path, redis_url=server.url) as run,
    ):
        run.start("relay")
        run.start("worker")
        run.await_head()
        run.verified()
        with redis.Redis.from_url(server.url) as client:
            assert client.dbsize() > 10
            with load(history):
                time.sleep(0.5)
                client.flushall()
                time.sleep(0.5)
                server.stop()
                time.sleep(1)
                server.start()
            run.await_head()
            eventually(lambda: client.dbsize() > 10, 30)

        def clean() -> bool:
            _, found = compare(run.database, PROJECTIONS, run.sinks)
            return not any(each.differences for each in found)

        eventually(clean, 30)
        run.verified()


def test_a_poison_event_over_kafka(database: Database, kafka: str, tmp_path: Path) -> None:
    """Those it concerns park and say so; after the fix they catch up (P7, rule: observable)."""
    history = History(database)
    with system(database, kafka, tmp_path) as run:
        run.start("relay")
        worker = run.start("worker")
        history.calls(30)
        account = str(history.callers[0][0])
        poison = insert_raw(database, "ledger.mystery.v1", {"id": "x", "account_id": account})
        history.calls(30)
        concerned = ("account_balances", "credit_statement", "journal")
        run.await_head(but=concerned)

        def parked() -> set[str]:
            with database.connect() as connection:
                return {each.name for each in read_status(connection) if each.parked}

        eventually(lambda: parked() == set(concerned))
        assert f"is parked at position {poison}" in worker.log.read_text()
        assert any(
            "parked" in name and value == poison for name, value in run.metrics(worker).items()
        )
        # The fix, here without a release: the event goes.
        with database.connect_as_owner() as connection:
            connection.execute("ALTER TABLE events DISABLE TRIGGER USER")
            connection.execute("DELETE FROM events WHERE notification_id = %s", [poison])
            connection.execute("ALTER TABLE events ENABLE TRIGGER USER")
        run.await_head()
        run.verified()


@pytest.mark.timeout(300)
def test_postgresql_restarted_under_load(kafka: str, tmp_path: Path) -> None:
    """Calls through a real gateway all the while: books and read models agree (P7, P8, P12)."""
    home = tmp_path / "home"
    environment = {
        "GATEWAYZ_KAFKA_BOOTSTRAP": kafka,
        "GATEWAYZ_KAFKA_TOPIC": f"test.restart.{time.time_ns()}",
        "GATEWAYZ_KAFKA_PARTITIONS": str(PARTITIONS),
        "GATEWAYZ_PROJECTION_HOST": "workers",
        "GATEWAYZ_SWEEP_INTERVAL_S": "0.5",
        "GATEWAYZ_LEASE_S": "2",
        "GATEWAYZ_HEARTBEAT_S": "0.5",
    }
    with Server(home, environment=environment) as server:
        verbs = [
            Program(
                tmp_path / f"{verb}.log",
                *(verb, "--home", str(home), "--port", str(free_port())),
                environment={**environment, "GATEWAYZ_LOG_LEVEL": "info"},
            )
            for verb in ("relay", "worker")
        ]
        stop = threading.Event()
        answers: list[int] = []

        def call() -> None:
            key = gatewayz(
                home, "user", "create", "--email", f"{threading.get_ident()}@x.org", "--grant", "5"
            )["api_key"]
            while not stop.is_set():
                answers.append(server.chat(key).status_code)

        callers = [threading.Thread(target=call) for _ in range(3)]
        try:
            for each in callers:
                each.start()
            eventually(lambda: answers.count(200) > 50, 60)
            for _ in range(2):
                os.kill(server.postgres(), signal.SIGKILL)
                wanted = answers.count(200) + 50
                eventually(partial(_served, answers, wanted), 60)
            stop.set()
            for each in callers:
                each.join(60)

            def clean() -> bool:
                listed = gatewayz(home, "projections", "list")
                return all(each["lag_events"] == 0 for each in listed)

            try:
                eventually(clean, 60)
            except AssertionError:
                logs = [verb.log.read_text()[-3000:] for verb in verbs]
                raise AssertionError(gatewayz(home, "projections", "list"), *logs) from None
            assert gatewayz(home, "ledger", "verify")["ok"] is True
            assert gatewayz(home, "projections", "verify", "all")["ok"] is True
            assert set(answers) <= {200, 503}
        finally:
            stop.set()
            for verb in verbs:
                verb.stop()


def _served(answers: list[int], wanted: int) -> bool:
    return answers.count(200) > wanted
