"""What a serving process tells Prometheus of its limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric


class LimitMetrics:
    """Refusals, and whether the shared counters decide."""

    def __init__(
        self,
        refused: Counter[tuple[str, str]],
        shared: Callable[[], bool],
        alone: Callable[[], int],
    ) -> None:
        """All are asked at each scrape."""
        self._refused, self._shared, self._alone = refused, shared, alone

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        refused = CounterMetricFamily(
            "gatewayz_rate_limited",
            "Requests of this process refused for a rate limit.",
            labels=["scope", "reason"],
        )
        for labels, count in list(self._refused.items()):
            refused.add_metric(labels, count)
        yield refused
        about = "1 while the counters in Redis decide, 0 while this process's own do."
        yield GaugeMetricFamily("gatewayz_limits_shared", about, int(self._shared()))
        about = "Requests that this process's own counters decided."
        yield CounterMetricFamily("gatewayz_limits_decided_alone", about, self._alone())
