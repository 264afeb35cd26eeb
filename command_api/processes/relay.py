"""`gatewayz relay`: the relay, with a port for its health and metrics."""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from command_api.processes.status_pages import serve_pages
from event_store.relay.kafka import KafkaProducer, ensure_topic
from event_store.relay.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from command_api.processes.status_pages import Pages
    from command_api.settings import Settings
    from event_store.postgres.database import Database
    from event_store.relay.relay import RelayStatus

logger = logging.getLogger("gatewayz.relay")

STALE_S = 60.0
"""A relay that has not looked at the log for so long is not healthy."""


def run_relay(settings: Settings, database: Database) -> None:
    """Relay until SIGINT or SIGTERM. Raises RelayError, or OSError when the port is taken."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    def make_producer() -> KafkaProducer:
        bootstrap, topic = settings.kafka.bootstrap, settings.kafka.topic
        ensure_topic(bootstrap, topic, settings.kafka.partitions)
        queue = settings.relay.batch_events_max + settings.kafka.partitions
        return KafkaProducer(bootstrap, topic, queue_max=queue)

    relay = Relay(
        database,
        make_producer,
        topic=settings.kafka.topic,
        partitions=settings.kafka.partitions,
        batch_events=settings.relay.batch_events_max,
        heartbeat_s=settings.relay.heartbeat_s,
    )
    server = serve_status(relay.status, settings.server.host, settings.relay.port)
    try:
        relay.run(stop)
    finally:
        server.shutdown()


class RelayMetrics:
    """The relay's status in Prometheus's terms."""

    def __init__(self, status: RelayStatus) -> None:
        """`status` is read at each scrape."""
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        status = self._status
        for name, about, value in (
            ("gatewayz_relay_active", "1 while this relay holds the lock.", int(status.active)),
            ("gatewayz_relay_position", "Position of the log relayed so far.", status.position),
            ("gatewayz_relay_lag_events", "Events not yet relayed.", status.lag_events),
        ):
            yield GaugeMetricFamily(name, about, value)
        yield CounterMetricFamily("gatewayz_relay_events", "Events relayed.", status.events)


def serve_status(status: RelayStatus, host: str, port: int) -> Pages:
    """Serve /health and /metrics in the background."""
    return serve_pages(
        RelayMetrics(status), lambda: time.monotonic() - status.beat < STALE_S, host, port
    )
