"""The relay: every event to its partition, in order, none lost, repetitions visible (P7)."""

from __future__ import annotations

import json
import threading
import time
import uuid
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from kafka import KafkaConsumer
from kafka.structs import TopicPartition

from event_store.log.partitions import partition_key, partition_of
from event_store.log.reading import read_after, read_rows_after
from event_store.relay.envelope import EnvelopeError, decode_message, encode_event, encode_heartbeat
from event_store.relay.kafka import KafkaProducer, ensure_topic
from event_store.relay.relay import ProducerError, Relay, RelayError
from tests.servers.local import free_port
from tests.support.harness import eventually
from tests.support.history import History, insert_raw

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database

PARTITIONS = 4


def new_topic() -> str:
    """A topic that no other test uses."""
    return f"test.{uuid.uuid4().hex}"


def make_relay(database: Database, kafka: str, topic: str, **overrides: Any) -> Relay:
    """A relay with small batches."""

    def producer() -> KafkaProducer:
        ensure_topic(kafka, topic, PARTITIONS)
        return KafkaProducer(kafka, topic, queue_max=10_000)

    values = {"partitions": PARTITIONS, "batch_events": 50, "heartbeat_s": 0.1}
    return Relay(
        database,
        overrides.pop("producer", producer),
        topic=topic,
        **{**values, **overrides},
    )


@contextmanager
def relaying(relay: Relay) -> Iterator[Relay]:
    """Run a relay until the block ends."""
    stop = threading.Event()
    thread = threading.Thread(target=relay.run, args=(stop,))
    thread.start()
    try:
        yield relay
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def consume(kafka: str, topic: str) -> dict[int, list[dict[str, Any]]]:
    """All messages of a topic, by partition."""
    with closing(KafkaConsumer(bootstrap_servers=kafka, consumer_timeout_ms=1_000)) as consumer:
        return read_all_of(consumer, topic)


def read_all_of(consumer: KafkaConsumer, topic: str) -> dict[int, list[dict[str, Any]]]:
    """All messages there are now."""
    assigned = [TopicPartition(topic, each) for each in range(PARTITIONS)]
    consumer.assign(assigned)
    consumer.seek_to_beginning(*assigned)
    found: dict[int, list[dict[str, Any]]] = {each: [] for each in range(PARTITIONS)}
    for message in consumer:
        found[message.partition].append(json.loads(message.value))
    return found


def head(database: Database) -> int:
    """Position of the last event."""
    with database.connect() as connection:
        return read_after(connection, 0, 100_000)[-1].position


def relayed(database: Database, kafka: str, topic: str) -> None:
    """Relay all there is, with a relay that then ends."""
    last = head(database)
    with relaying(make_relay(database, kafka, topic)) as relay:
        eventually(lambda: relay.status.position == last)


def test_every_event_reaches_its_partition_in_order(database: Database, kafka: str) -> None:
    """Key = the account, else the stream; each message names the one before it (P7)."""
    history, topic = History(database), new_topic()
    history.calls(120)
    last = head(database)
    with relaying(make_relay(database, kafka, topic)) as relay:
        eventually(lambda: relay.status.position == last)
        assert relay.status.active
        history.calls(30)
        last = head(database)
        eventually(lambda: relay.status.position == last and relay.status.lag_events == 0)
        eventually(lambda: min(map(max, relay._last, relay._beaten)) == last)
    messages = consume(kafka, topic)
    with database.connect() as connection:
        rows = {row[0]: row for row in read_rows_after(connection, 0, 100_000)}
    seen = set()
    for partition, found in messages.items():
        before = 0
        for message in found:
            if message["type"] == "gatewayz.heartbeat.v1":
                continue
            assert message["specversion"] == "1.0"
            position = int(message["position"])
            assert int(message["previousposition"]) == before
            before = position
            row = rows[position]
            key = partition_key(row[4], bytes(row[3]))
            assert partition_of(key, PARTITIONS) == partition
            assert message["partitionkey"] == key
            assert message["data"] == json.loads(bytes(row[3]))
            seen.add(position)
    assert seen == set(rows)
    # Every partition was told how far the log has come.
    assert {max(int(m["position"]) for m in found) for found in messages.values()} == {last}


def test_a_relay_resumes_where_it_stood(database: Database, kafka: str) -> None:
    """The next relay begins after the stored position, with the right predecessors (P7)."""
    history, topic = History(database), new_topic()
    for _ in range(3):
        history.calls(20)
        relayed(database, kafka, topic)
    for found in consume(kafka, topic).values():
        chain = [m for m in found if m["type"] != "gatewayz.heartbeat.v1"]
        positions = [int(m["position"]) for m in chain]
        assert [int(m["previousposition"]) for m in chain] == [0, *positions][: len(chain)]


def test_one_relay_at_a_time(database: Database, kafka: str) -> None:
    """The second stands by, and takes over when the first is gone (P7)."""
    history, topic = History(database), new_topic()
    history.calls(10)
    first, second = make_relay(database, kafka, topic), make_relay(database, kafka, topic)
    with relaying(second), relaying(first):
        eventually(lambda: first.status.active or second.status.active)
        active, waiting = (first, second) if first.status.active else (second, first)
        eventually(lambda: active.status.position == head(database))
        eventually(lambda: waiting.status.beat > 0)
        assert not waiting.status.active
        assert waiting.status.events == 0


def test_a_broker_that_fails_loses_nothing(database: Database, kafka: str) -> None:
    """Produced but not acknowledged is produced again, from the stored position (P7, P12)."""
    history, topic = History(database), new_topic()
    history.calls(40)
    failures = [2]

    class Failing(KafkaProducer):
        def flush(self, stop: threading.Event) -> bool:
            done = super().flush(stop)
            if failures[0]:
                failures[0] -= 1
                message = "the acknowledgement is lost"
                raise ProducerError(message)
            return done

    def producer() -> KafkaProducer:
        ensure_topic(kafka, topic, PARTITIONS)
        return Failing(kafka, topic, queue_max=10_000)

    last = head(database)
    with relaying(make_relay(database, kafka, topic, producer=producer)) as relay:
        eventually(lambda: relay.status.position == last)
    positions = [
        int(m["position"])
        for found in consume(kafka, topic).values()
        for m in found
        if m["type"] != "gatewayz.heartbeat.v1"
    ]
    with database.connect() as connection:
        assert set(positions) == {each.position for each in read_after(connection, 0, 100_000)}
    assert len(positions) > len(set(positions))


def test_a_relay_without_a_broker_waits_and_can_be_stopped(database: Database) -> None:
    """It tries again and again, says so, and ends soon when told to (P12)."""
    began = time.monotonic()
    with relaying(make_relay(database, f"127.0.0.1:{free_port()}", new_topic())) as relay:
        time.sleep(1)
        assert not relay.status.active
    assert time.monotonic() - began < 10


def test_another_number_of_partitions_is_refused(database: Database, kafka: str) -> None:
    """By the stored progress and by the topic; errors say what to do (P7, rule: refuse clearly)."""
    topic = new_topic()
    with relaying(make_relay(database, kafka, topic)) as relay:
        eventually(lambda: relay.status.active)
    with pytest.raises(RelayError, match=f"GATEWAYZ_KAFKA_PARTITIONS={PARTITIONS}"):
        make_relay(database, kafka, topic, partitions=7).run(threading.Event())
    with pytest.raises(RelayError, match=f"has {PARTITIONS} partitions, not 3"):
        ensure_topic(kafka, topic, 3)


def test_messages_read_back_as_the_events_they_were(database: Database) -> None:
    """Envelope and back: the same event, position, instant; unreadable ones come marked (P7)."""
    history = History(database)
    history.calls(20)
    insert_raw(database, "ledger.unheard_of.v1", {"id": "x", "account_id": "y"})
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO events (originator_id, originator_version, topic, state) "
            "VALUES (gen_random_uuid(), 1, 'not.json.v1', '\\xff00')"
        )
        rows = read_rows_after(connection, 0, 100_000)
        entries = read_after(connection, 0, 100_000)
    for row, entry in zip(rows, entries, strict=True):
        key = partition_key(row[4], bytes(row[3]))
        value = encode_event(row, key=key, previous=7)
        message = decode_message(value)
        assert message.previous == 7
        assert message.entry is not None
        assert (message.position, message.entry.booked_at) == (entry.position, entry.booked_at)
        assert message.entry.event.TOPIC == entry.event.TOPIC
        assert json.loads(value)["partitionkey"] == key
        if not hasattr(entry.event, "error"):
            assert message.entry.event == entry.event
    beat = decode_message(encode_heartbeat(1, position=9, previous=4))
    assert beat == (4, 9, None)


@pytest.mark.parametrize(
    "value",
    [b"", b"\xff", b"[]", b'{"type":"x"}', b'{"type":"x","position":"a","previousposition":"1"}'],
)
def test_what_is_no_message_is_named(value: bytes) -> None:
    """A stranger's message is an error that shows it, not a guess (rule: refuse clearly)."""
    with pytest.raises(EnvelopeError, match="not a message of the relay"):
        decode_message(value)
