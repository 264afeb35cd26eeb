"""The Faust app of `gatewayz worker`."""

from __future__ import annotations

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import faust
import psycopg
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from event_store.relay.envelope import decode_message
from projections.engine.batches import Link
from projections.engine.sinks.redis import sinks_of
from stream_processors.batches import BatchTransport
from stream_processors.host import ProjectionHost

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from faust.web import Response
    from prometheus_client.core import Metric

    from stream_processors.config import WorkerConfig

logger = logging.getLogger("gatewayz.worker")

GROUP = "gatewayz-projections"
GATHER_S = 0.1
"""How long messages of several partitions gather into one batch."""
TICK_S = 0.5
FAILED = 70
"""Exit status after an error that nobody foresaw (EX_SOFTWARE of sysexits.h)."""
BATCHES_BUFFERED = 64
SESSION_TIMEOUT_S = 10.0
HEARTBEAT_S = 2.0
CONNECT_TIMEOUT_S = 5


class WorkerApp(faust.App):
    """A Faust app that knows from where its partitions resume."""

    host: ProjectionHost
    pool: ThreadPoolExecutor
    events_topic: str
    partitions: int

    async def resume_offsets(self, assigned: set[Any]) -> dict[Any, int]:
        """Where to go on in the assigned partitions of the log's topic that have such a place."""
        mine = {each.partition: each for each in assigned if each.topic == self.events_topic}
        known = await self.on_thread(self.host.assign, set(mine), self.partitions)
        return {mine[number]: offset for number, offset in known.items()}

    async def on_thread(self, work: Callable[..., Any], *values: Any) -> Any:
        """Do something on the one thread that owns the host's connection."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, work, *values)


def make_app(config: WorkerConfig) -> WorkerApp:
    """The app, ready for a Faust worker; it connects when it is started."""
    app = WorkerApp(
        GROUP,
        broker=f"kafka://{config.bootstrap.replace(',', ';')}",
        store="memory://",
        topic_partitions=config.partitions,
        topic_disable_leader=True,
        topic_allow_declare=False,
        broker_commit_interval=5.0,
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_max_poll_records=config.batch_events_max,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=BATCHES_BUFFERED,
        stream_wait_empty=False,
        web_bind=config.host,
        web_host=config.host,
        web_port=config.port,
    )
    app.transport = BatchTransport([*app.conf.broker], app, loop=app.loop)
    app.events_topic, app.partitions = config.topic, config.partitions
    app.pool = ThreadPoolExecutor(1, thread_name_prefix="projections")
    app.host = ProjectionHost(
        lambda: psycopg.connect(config.database, autocommit=True),
        sinks_of(config.redis_url),
        config.batch_events_max,
    )
    _add_agent(app)
    _add_pages(app)
    return app


def links_of(batch: Sequence[tuple[int, Sequence[bytes]]]) -> list[Link]:
    """Messages by partition as links. Raises EnvelopeError for what no relay wrote."""
    links = []
    for partition, values in batch:
        for value in values:
            previous, position, entry = decode_message(value)
            links.append(Link(partition, previous, position, entry))
    return links


def _add_agent(app: WorkerApp) -> None:
    topic = app.topic(app.events_topic, value_type=None, value_serializer="raw", key_type=None)

    @app.agent(topic, concurrency=1)
    async def project(stream: Any) -> None:
        async for events in stream.noack_take(BATCHES_BUFFERED, within=GATHER_S):
            await _or_exit(_deliver(app, events))
            for event in events:
                await stream.ack(event)

    @app.task  # type: ignore[untyped-decorator]
    async def tick() -> None:
        while not app.should_stop:
            await app.sleep(TICK_S)
            await _or_exit(app.on_thread(app.host.tick))


async def _deliver(app: WorkerApp, events: list[Any]) -> None:
    batch = [(each.message.partition, each.value) for each in events]
    offsets = {each.message.partition: each.message.offset + 1 for each in events}

    def work() -> None:
        app.host.deliver(links_of(batch), offsets)

    await app.on_thread(work)


async def _or_exit(work: Awaitable[None]) -> None:
    """Do some work; an error that nobody foresaw ends the process.

    Faust would drop the batch and go on with the next. The process that is started again
    resumes from the sinks' progress, and nothing is lost.
    """
    try:
        await work
    except asyncio.CancelledError:
        raise
    except BaseException:
        logger.exception("the worker ends")
        logging.shutdown()
        os._exit(FAILED)


class WorkerMetrics:
    """The worker's progress in Prometheus's terms."""

    def __init__(self, host: ProjectionHost) -> None:
        """`host` is asked at each scrape."""
        self._host = host

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        labels = ["projection", "partition"]
        lag = GaugeMetricFamily(
            "gatewayz_projection_lag", "Positions behind the head of the log.", labels=labels
        )
        for (name, partition), value in self._host.lag().items():
            lag.add_metric([name, str(partition)], value)
        yield lag
        parked = GaugeMetricFamily(
            "gatewayz_projection_parked",
            "Position of the event that stops the projection.",
            labels=labels,
        )
        for (name, partition), value in self._host.parked().items():
            parked.add_metric([name, str(partition)], value)
        yield parked
        yield CounterMetricFamily(
            "gatewayz_worker_events", "Messages taken from Kafka.", self._host.applied
        )
        yield CounterMetricFamily(
            "gatewayz_worker_caught_up_events",
            "Events taken from the log itself to fill gaps.",
            self._host.caught_up,
        )


def _add_pages(app: WorkerApp) -> None:
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(app.host))

    @app.page("/health")
    async def health(web: Any, request: Any) -> Response:
        del request
        # Parked projections need a person, not another process: they do not make it unhealthy.
        parked = [f"{name}/{partition}" for name, partition in app.host.parked()]
        answer: Response = web.json(
            {
                "status": "healthy",
                "partitions": sorted(app.host.assigned),
                "parked": parked,
            }
        )
        return answer

    @app.page("/metrics")
    async def metrics(web: Any, request: Any) -> Response:
        del request
        body = await asyncio.to_thread(generate_latest, registry)
        answer: Response = web.text(body.decode(), content_type="text/plain")
        return answer
