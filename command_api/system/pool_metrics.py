"""What a serving process tells Prometheus of its connections to providers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from providers.inference.adapters.http1.pool import ConnectionRoom

NAME = "gatewayz_provider_connections"


class PoolMetrics:
    """Connections by provider: how many, opened, waited for, and closed for which reason."""

    def __init__(self, room: ConnectionRoom) -> None:
        """It is asked at each scrape."""
        self._room = room

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment; only of providers that were connected to."""
        about = "Connections to a provider, in use or idle, and calls that wait for one."
        now = GaugeMetricFamily(NAME, about, labels=["provider", "state"])
        about = "Connections that were made to a provider."
        opened = CounterMetricFamily(f"{NAME}_opened", about, labels=["provider"])
        about = "Calls that waited for a connection to a provider."
        waited = CounterMetricFamily(f"{NAME}_waited", about, labels=["provider"])
        about = "Calls of them that got none in time."
        refused = CounterMetricFamily(f"{NAME}_refused", about, labels=["provider"])
        about = "Connections to a provider that were closed."
        closed = CounterMetricFamily(f"{NAME}_closed", about, labels=["provider", "reason"])
        for pool in list(self._room.clients):
            name = pool.limits.name
            if not (pool.opened or pool.waited):
                continue
            now.add_metric([name, "in_use"], pool.in_use)
            now.add_metric([name, "idle"], pool.idle_now)
            now.add_metric([name, "waiting"], len(pool.waiting))
            opened.add_metric([name], pool.opened)
            waited.add_metric([name], pool.waited)
            refused.add_metric([name], pool.refused)
            for why, count in list(pool.closed.items()):
                closed.add_metric([name, str(why)], count)
        yield from (now, opened, waited, refused, closed)
