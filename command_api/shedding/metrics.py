"""What a serving process tells Prometheus of its queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    SummaryMetricFamily,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from command_api.shedding.queue import CallQueue


class QueueMetrics:
    """Calls under way, those that wait, and those that were refused."""

    def __init__(self, queue: CallQueue) -> None:
        """The queue is asked at each scrape."""
        self._queue = queue

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        queue = self._queue
        about = "Calls that this process is making."
        yield GaugeMetricFamily("gatewayz_calls_under_way", about, queue.under_way)
        about = "Calls of them that have no hold yet."
        yield GaugeMetricFamily("gatewayz_calls_admitting", about, queue.admitting)
        about = "How many may be admitted in a second: fewer while the process is late."
        yield GaugeMetricFamily("gatewayz_calls_admitted_limit", about, queue.pace.rate)
        about = "Calls that wait for their turn."
        yield GaugeMetricFamily("gatewayz_calls_waiting", about, queue.waiting)
        about = "Seconds that calls waited before they went on."
        yield SummaryMetricFamily(
            "gatewayz_calls_waited_seconds", about, queue.admitted_late, queue.waited_s
        )
        shed = CounterMetricFamily(
            "gatewayz_calls_shed",
            "Calls refused because there were too many.",
            labels=["priority", "reason"],
        )
        for labels, count in list(queue.shed.items()):
            shed.add_metric(labels, count)
        yield shed
