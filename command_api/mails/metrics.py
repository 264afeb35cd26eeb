"""What a serving process tells Prometheus of mails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

ENDS = ("sent", "refused", "given_up")


class MailMetrics:
    """How mails ended, and how many wait."""

    def __init__(self, ended: Counter[str], waiting: Callable[[], int]) -> None:
        """Both are asked at each scrape."""
        self._ended, self._waiting = ended, waiting

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        about = "Mails that this process handed over, that were refused, or given up after a day."
        ended = CounterMetricFamily("gatewayz_mails", about, labels=["end"])
        for end in ENDS:
            ended.add_metric([end], self._ended[end])
        yield ended
        about = "Mails of all processes that waited at this process's last look."
        yield GaugeMetricFamily("gatewayz_mails_waiting", about, self._waiting())
