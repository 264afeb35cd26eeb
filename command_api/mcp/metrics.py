"""What a serving process tells Prometheus of the tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric


class ToolCounts:
    """Calls of tools in this process, by tool and how they ended; nothing of arguments."""

    def __init__(self) -> None:
        """None yet."""
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, tool: str, outcome: str) -> None:
        """One more; both are names of ours, so there are few."""
        key = (tool, outcome)
        self._counts[key] = self._counts.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """The metric of this moment."""
        about = "Calls of tools at /mcp, by tool and outcome (ok, refused, failed)."
        found = CounterMetricFamily("gatewayz_mcp_tool_calls", about, labels=["tool", "outcome"])
        for key, count in sorted(self._counts.items()):
            found.add_metric(list(key), count)
        yield found
