"""One line in the log for each attempt that failed; loud where the provider refused our own key.

What fails with a customer's own key is his to mend and may come with each call, so that it is told
now and then; all attempts that failed are counted.

Why is told by a code, and by the beginning of what the provider said. What it says of a request
that it finds wrong may quote the prompt, and is left out.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily

from command_api.log_lines.seldom import SeldomLines
from command_api.replies.failures import KEPT, OURS_TO_MEND
from providers.inference.port import TRACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from command_api.calls.call import Call
    from command_api.replies.failures import UpstreamFailure
    from providers.inference.registry.offers import Model

logger = logging.getLogger("gatewayz.attempts")

SAID_CHARACTERS_MAX = 200
MAY_QUOTE = KEPT - {429}
"""Statuses that blame the request."""


class FailedAttempts:
    """Those of this process, by provider, code, and whose key it was."""

    def __init__(self) -> None:
        """None yet."""
        self._counts = Counter[tuple[str, str, str]]()
        self.lines = SeldomLines()

    def add(self, offer: Model, failure: UpstreamFailure) -> None:
        """One more."""
        self._counts[offer.provider, failure.code, "own" if offer.own_key else "house"] += 1

    def collect(self) -> Iterator[Metric]:
        """The metric of this moment."""
        found = CounterMetricFamily(
            "gatewayz_failed_attempts",
            "Attempts that failed, by provider, code and whose key: house or own.",
            labels=["provider", "code", "key"],
        )
        for key, count in sorted(self._counts.items()):
            found.add_metric(list(key), count)
        yield found


FAILED = FailedAttempts()


def tell_failure(call: Call, offer: Model, failure: UpstreamFailure) -> None:
    """Write the line: an error where only the operator can mend it, nothing much where skipped."""
    FAILED.add(offer, failure)
    level = logging.WARNING
    if failure.skipped:
        level = logging.INFO
    elif failure.status in OURS_TO_MEND and not offer.own_key:
        level = logging.ERROR
    if not logger.isEnabledFor(level):
        return
    said = "" if failure.status in MAY_QUOTE else f" ({_shortened(failure.said)})"
    trace = TRACE.get()
    line = "call %s: %s gave no answer for %s: %s%s%s"
    where = f" trace {trace.decode()}" if trace else ""
    values = (call.id, offer.provider, offer.id, failure.code, said, where)
    if offer.own_key:
        FAILED.lines.write(logger, level, f"{offer.own_key} {failure.code}", line, *values)
    else:
        logger.log(level, line, *values)


def _shortened(said: str) -> str:
    """The beginning, on one line."""
    return " ".join(said[:SAID_CHARACTERS_MAX].split())
