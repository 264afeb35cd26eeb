"""What the background process tells Prometheus of the inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric


class InboxMetrics:
    """What waits, what failed, and since when."""

    def __init__(self, counts: Callable[[], tuple[int, int, float]]) -> None:
        """Asked at each scrape."""
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment; none while the database is away."""
        try:
            waiting, failed, age_s = self._counts()
        except psycopg.Error:
            return
        about = "Events of Stripe's that wait, or whose handling failed."
        events = GaugeMetricFamily("gatewayz_stripe_inbox", about, labels=["state"])
        events.add_metric(["waiting"], waiting)
        events.add_metric(["failed"], failed)
        yield events
        about = "How long the oldest event that waits has waited."
        yield GaugeMetricFamily("gatewayz_stripe_inbox_oldest_seconds", about, age_s)
