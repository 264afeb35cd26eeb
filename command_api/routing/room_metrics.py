"""What a serving process tells Prometheus of its calls at providers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from command_api.routing.rooms import Rooms


class RoomMetrics:
    """Limits, calls under way and waiting, and why limits fell, by provider."""

    def __init__(self, rooms: Rooms) -> None:
        """They are asked at each scrape."""
        self._rooms = rooms

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment; only of providers that were called."""
        rooms = self._rooms.known
        gauges = (
            ("limit", "Calls that a provider gets at once.", lambda each: each.limit.limit),
            ("in_flight", "Calls at a provider, streams included.", lambda e: e.limit.in_flight),
            ("waiting", "Calls that wait for room at a provider.", lambda e: len(e.waiting)),
        )
        for name, about, value in gauges:
            gauge = GaugeMetricFamily(f"gatewayz_provider_calls_{name}", about, labels=["provider"])
            for each in rooms:
                gauge.add_metric([each.name], value(each))
            yield gauge
        about = "Calls that found a provider at its limit and went on to another."
        passed = CounterMetricFamily(
            "gatewayz_provider_calls_passed_over", about, labels=["provider"]
        )
        about = "How often a provider's limit fell."
        fell = CounterMetricFamily(
            "gatewayz_provider_limit_decreases", about, labels=["provider", "reason"]
        )
        for each in rooms:
            passed.add_metric([each.name], each.passed_over)
            for why, count in each.limit.decreases.items():
                fell.add_metric([each.name, str(why)], count)
        yield passed
        yield fell
