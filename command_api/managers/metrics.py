"""What is told to Prometheus of process managers, whichever process runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prometheus_client.core import Metric

    from command_api.managers.table import Standing


class ManagerMetrics:
    """Lag and wishes of every manager, as the database tells."""

    def __init__(self, standings: Callable[[], Sequence[Standing]]) -> None:
        """They are asked at each scrape."""
        self._standings = standings

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment; none while the database is away."""
        try:
            found = self._standings()
        except psycopg.Error:
            return
        about = "Positions of the log that a process manager has not heard."
        lag = GaugeMetricFamily("gatewayz_manager_lag", about, labels=["manager"])
        about = "Wishes of a process manager that are timers, due, or failed."
        wishes = GaugeMetricFamily("gatewayz_manager_wishes", about, labels=["manager", "state"])
        for each in found:
            lag.add_metric([each.name], each.lag_events)
            for state in ("timers", "due", "failed"):
                wishes.add_metric([each.name, state], getattr(each, state))
        yield lag
        yield wishes
