"""A Faust transport that hands on all records of a partition as one message.

Faust spends about a tenth of a millisecond on each message. The relay's messages are small and
many, and the projections apply them in batches anyway, so the consumer merges what one fetch
brought for a partition into one message, whose value is the list of values and whose offset is
the last one's. Offsets to resume from come from the sinks, not from the consumer group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(slots=True)
class MergedRecord:
    """Many records of one partition, in the shape that Faust expects of one."""

    topic: str
    partition: int
    offset: int
    timestamp: int | None
    timestamp_type: int | None
    value: list[bytes]
    headers: tuple[Any, ...] = ()
    key: bytes | None = None
    checksum: int | None = None
    serialized_key_size: int = 0
    serialized_value_size: int = 0


def merge(records: list[Any]) -> MergedRecord:
    """One record for many, in order; there is at least one."""
    last = records[-1]
    return MergedRecord(
        last.topic,
        last.partition,
        last.offset,
        last.timestamp,
        last.timestamp_type,
        [each.value for each in records],
    )


class BatchThread(AIOKafkaConsumerThread):
    """The consumer's thread, merging what it fetched."""

    async def _fetch_records(self, *values: Any, **named: Any) -> Any:
        fetched = await super()._fetch_records(*values, **named)
        return {partition: [merge(records)] for partition, records in fetched.items() if records}


class BatchConsumer(Consumer):
    """The consumer, resuming where the sinks say."""

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Seek every assigned partition of the log's topic to the sinks' offset."""
        app: Any = self.app
        offsets = dict(await super().seek_to_committed())
        wanted: Mapping[Any, int] = await app.resume_offsets(set(self.assignment()))
        if wanted:
            await self.seek_wait(wanted)
            offsets.update(wanted)
        return offsets


class BatchTransport(Transport):
    """The transport with that consumer."""

    Consumer = BatchConsumer
