"""What a serving process tells Prometheus of its guards."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily

from command_api.guardrails.refusals import ANSWER
from command_api.log_lines.seldom import SeldomLines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from command_api.guardrails.port import Guard

logger = logging.getLogger("gatewayz.guardrails")


class GuardCounts:
    """Decisions of this process, by guard, stage and decision; nothing of any text."""

    def __init__(self) -> None:
        """None yet."""
        self._counts: dict[tuple[str, str, str], int] = {}
        self._calls: dict[tuple[str, str], int] = {}
        self._lines = SeldomLines()

    def asked(self, guard: str, stage: str, calls: int) -> None:
        """It made so many calls to ask a model."""
        if calls:
            self._calls[guard, stage] = self._calls.get((guard, stage), 0) + calls

    def failed(self, guard: Guard, stage: str, error: Exception) -> str:
        """A guard could not look: the decision by its rule, which the log is told now and then.

        Neither the error's message nor its trace is told, which may hold what it looked at.
        """
        what, rule = type(error).__name__, "open" if guard.fail_open else "closed"
        self._lines.write(
            logger,
            logging.ERROR,
            f"{guard.name} {stage} {what}",
            "the guard %r failed at %s (%s); its rule is %s",
            guard.name,
            "an answer" if stage == ANSWER else "a prompt",
            what,
            rule,
        )
        return f"failed_{rule}"

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
