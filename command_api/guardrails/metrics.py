"""What a serving process tells Prometheus of its guards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric


class GuardCounts:
    """Decisions of this process, by guard, stage and decision; nothing of any text."""

    def __init__(self) -> None:
        """None yet."""
        self._counts: dict[tuple[str, str, str], int] = {}
        self._calls: dict[tuple[str, str], int] = {}

    def asked(self, guard: str, stage: str, calls: int) -> None:
        """It made so many calls to ask a model."""
        if calls:
            self._calls[guard, stage] = self._calls.get((guard, stage), 0) + calls

    def add(self, guard: str, stage: str, decision: str) -> None:
        """One more."""
        key = (guard, stage, decision)
        self._counts[key] = self._counts.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        about = "Decisions of guards, by guard, stage and decision."
        labels = ["guard", "stage", "decision"]
        found = CounterMetricFamily("gatewayz_guard_decisions", about, labels=labels)
        for key, count in sorted(self._counts.items()):
            found.add_metric(list(key), count)
        yield found
        about = "Calls that guards made to ask a model, by guard and stage."
        calls = CounterMetricFamily("gatewayz_guard_calls", about, labels=["guard", "stage"])
        for names, count in sorted(self._calls.items()):
            calls.add_metric(list(names), count)
        yield calls
