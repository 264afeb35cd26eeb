"""From records of Kafka to links: merged by partition, and read as the relay wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiokafka.structs import ConsumerRecord  # type: ignore[import-untyped]

from event_store.log.partitions import partition_key
from event_store.log.reading import entry_of, read_rows_after
from event_store.relay.envelope import EnvelopeError, encode_event, encode_heartbeat
from projections.engine.batches import Link
from stream_processors.app import links_of
from stream_processors.batches import merge
from tests.support.history import History

if TYPE_CHECKING:
    from event_store.postgres.database import Database


def record(offset: int, value: bytes) -> ConsumerRecord:
    """A record as the consumer's driver fetched it."""
    return ConsumerRecord(
        topic="t",
        partition=3,
        offset=offset,
        timestamp=1_000 + offset,
        timestamp_type=0,
        key=b"k",
        value=value,
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=len(value),
        headers=(),
    )


@pytest.mark.parametrize("count", [1, 2, 5])
def test_records_of_a_partition_become_one(count: int) -> None:
    """Every value in its order, at the place from which the next fetch goes on (P7)."""
    values = [f"value {each}".encode() for each in range(count)]
    merged = merge([record(40 + at, value) for at, value in enumerate(values)])
    assert (merged.topic, merged.partition) == ("t", 3)
    assert merged.offset == 40 + count - 1
    assert merged.timestamp == 1_040 + count - 1
    assert merged.value == values


def test_messages_become_the_links_that_the_relay_wrote(database: Database) -> None:
    """Partition, position, the position before it and the event; heartbeats have none (P7)."""
    History(database).calls(3)
    with database.connect() as connection:
        rows = read_rows_after(connection, 0, 10_000)
    messages = [
        encode_event(row, key=partition_key(row[4], row[3]), previous=row[0] - 1) for row in rows
    ]
    beat = encode_heartbeat(5, position=99, previous=90)
    links = links_of([(2, messages[:4]), (5, [beat]), (2, messages[4:])])
    expected = [Link(2, row[0] - 1, row[0], entry_of(row)) for row in rows]
    expected.insert(4, Link(5, 90, 99, None))
    assert links == expected
    assert links_of([]) == []


def test_what_no_relay_wrote_ends_the_batch() -> None:
    """A stranger's message is an error, not an event that is passed over (P10)."""
    beat = encode_heartbeat(0, position=9, previous=4)
    with pytest.raises(EnvelopeError, match="not a message of the relay"):
        links_of([(0, [beat, b"{}"])])
