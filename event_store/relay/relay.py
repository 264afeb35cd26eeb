"""The relay: follows the log and produces every event to Kafka, in order, at least once.

Each message names the position of the event before it in its partition, so that a consumer sees
repetitions and gaps. One relay is active for a topic, by a session lock; others stand by. What
it has produced is stored after the broker has acknowledged it: a relay that dies in between
produces some events again, and the consumers' sinks pass over them.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from zlib import crc32

import psycopg

from event_store.locks import Lock
from event_store.log.partitions import partition_key, partition_of
from event_store.log.reading import head_position, listen, read_rows_after
from event_store.relay.envelope import encode_event, encode_heartbeat

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from event_store.postgres.database import Database

    Connection = psycopg.Connection[Any]

logger = logging.getLogger("gatewayz.relay")

STANDBY_S = 1.0
RETRY_S = 1.0
GATHER_S = 0.05
"""Pause after a batch that did not fill, so that commits in quick succession share one."""


class ProducerError(RuntimeError):
    """Some messages were not acknowledged; produce again from the stored position."""


class RelayError(RuntimeError):
    """The relay cannot work as it is configured; the message says what to do."""


class Producer(Protocol):
    """What the relay needs of a Kafka client: idempotent, acks=all, order kept by partition."""

    def produce(self, partition: int, key: bytes, value: bytes) -> None:
        """Queue a message; raises ProducerError when it cannot be."""
        ...

    def flush(self, stop: threading.Event) -> bool:
        """Wait until all are acknowledged; False when told to stop first. Raises ProducerError."""
        ...

    def close(self) -> None:
        """Drop what is still queued."""
        ...


@dataclass(slots=True)
class RelayStatus:
    """What the relay shows of itself; `beat` is a monotonic time, seconds."""

    active: bool = False
    position: int = 0
    lag_events: int = 0
    events: int = 0
    beat: float = 0.0


class Relay:
    """One relay process's work."""

    def __init__(
        self,
        database: Database,
        make_producer: Any,
        *,
        topic: str,
        partitions: int,
        batch_events: int,
        heartbeat_s: float,
    ) -> None:
        """`make_producer` gives a fresh Producer of the topic, or raises ProducerError."""
        self._database, self._make_producer = database, make_producer
        self._topic, self._partitions = topic, partitions
        self._batch_events, self._heartbeat_s = batch_events, heartbeat_s
        self.status = RelayStatus()
        self._position = 0
        self._last: list[int] = []
        self._beaten: list[int] = []
        self._heartbeat_at = 0.0

    def run(self, stop: threading.Event) -> None:
        """Relay until told to stop; survives a lost database and a lost broker.

        Raises RelayError when the stored progress is that of another number of partitions.
        """
        while not stop.is_set():
            try:
                with self._database.connect() as connection:
                    self._run_on(connection, stop)
            except psycopg.OperationalError as error:
                logger.warning("the relay lost the database: %s", error)
                stop.wait(RETRY_S)
            except ProducerError as error:
                logger.warning("the relay lost the broker: %s", error)
                stop.wait(RETRY_S)
            finally:
                self.status.active = False

    def _run_on(self, connection: Connection, stop: threading.Event) -> None:
        while not self._lock(connection):
            self.status.beat = time.monotonic()
            if stop.wait(STANDBY_S):
                return
        self._load(connection)
        listen(connection)
        producer: Producer = self._make_producer()
        self.status.active = True
        try:
            while not stop.is_set():
                count = self._relay_batch(connection, producer, stop)
                if count < self._batch_events and not stop.is_set():
                    self._heartbeat(producer, stop)
                    # After a batch gather a little; on a quiet log sleep until an append.
                    if count:
                        stop.wait(GATHER_S)
                    for _ in connection.notifies(timeout=self._heartbeat_s, stop_after=1):
                        pass
        finally:
            producer.close()

    def _lock(self, connection: Connection) -> bool:
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%s, %s)",
            [Lock.RELAY, _signed(crc32(self._topic.encode()))],
        ).fetchone()
        return bool(row and row[0])

    def _load(self, connection: Connection) -> None:
        connection.execute(
            "INSERT INTO relay_progress (topic, position, last_positions) VALUES (%s, 0, %s) "
            "ON CONFLICT DO NOTHING",
            [self._topic, [0] * self._partitions],
        )
        row = connection.execute(
            "SELECT position, last_positions FROM relay_progress WHERE topic = %s", [self._topic]
        ).fetchone()
        assert row is not None
        self._position, self._last = row
        if len(self._last) != self._partitions:
            message = (
                f"{self._topic} was relayed to {len(self._last)} partitions, not "
                f"{self._partitions}: set GATEWAYZ_KAFKA_PARTITIONS={len(self._last)}, or choose "
                "another GATEWAYZ_KAFKA_TOPIC and rebuild the projections with --partitions"
            )
            raise RelayError(message)
        self._beaten = [0] * self._partitions
        self.status.position = self._position

    def _relay_batch(
        self, connection: Connection, producer: Producer, stop: threading.Event
    ) -> int:
        rows = read_rows_after(connection, self._position, self._batch_events)
        self.status.beat = time.monotonic()
        if not rows:
            self.status.lag_events = 0
            return 0
        last = list(self._last)
        for row in rows:
            key = partition_key(row[4], bytes(row[3]))
            partition = partition_of(key, self._partitions)
            value = encode_event(row, key=key, previous=last[partition])
            producer.produce(partition, key.encode(), value)
            last[partition] = row[0]
        if not producer.flush(stop):
            return 0
        self._store(connection, rows[-1][0], last)
        self.status.events += len(rows)
        self.status.lag_events = max(0, head_position(connection) - self._position)
        return len(rows)

    def _store(self, connection: Connection, position: int, last: Sequence[int]) -> None:
        stored = connection.execute(
            "UPDATE relay_progress SET position = %s, last_positions = %s "
            "WHERE topic = %s AND position = %s",
            [position, list(last), self._topic, self._position],
        )
        if stored.rowcount != 1:
            message = f"another relay advanced {self._topic}"
            raise ProducerError(message)
        self._position, self._last = position, list(last)
        self.status.position = position

    def _heartbeat(self, producer: Producer, stop: threading.Event) -> None:
        """Tell the partitions without new events how far the others have come."""
        now = time.monotonic()
        if now < self._heartbeat_at:
            return
        self._heartbeat_at = now + self._heartbeat_s
        idle = [
            each
            for each in range(self._partitions)
            if max(self._last[each], self._beaten[each]) < self._position
        ]
        for each in idle:
            value = encode_heartbeat(each, position=self._position, previous=self._last[each])
            producer.produce(each, b"", value)
            self._beaten[each] = self._position
        if idle:
            producer.flush(stop)


def _signed(number: int) -> int:
    """A 32-bit number as PostgreSQL's integer."""
    return number - (1 << 32) if number >= 1 << 31 else number
