"""What a serving process tells Prometheus of its realtime sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric


class RealtimeMetrics:
    """Sessions that are open, and how the others ended."""

    def __init__(self, opened: Callable[[], int], ended: Counter[str]) -> None:
        """Both are asked at each scrape."""
        self._opened, self._ended = opened, ended

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        about = "Realtime sessions that are open in this process."
        yield GaugeMetricFamily("gatewayz_realtime_sessions", about, self._opened())
        ended = CounterMetricFamily(
            "gatewayz_realtime_sessions_ended",
            "Realtime sessions of this process that ended, by reason.",
            labels=["reason"],
        )
        for reason, count in list(self._ended.items()):
            ended.add_metric([reason], count)
        yield ended
