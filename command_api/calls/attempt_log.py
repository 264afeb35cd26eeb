"""One line in the log for each attempt that failed; loud where the provider refused our own key.

Why is told by a code, and by the beginning of what the provider said. What it says of a request
that it finds wrong may quote the prompt, and is left out.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from command_api.replies.failures import KEPT, OURS_TO_MEND
from providers.inference.port import TRACE

if TYPE_CHECKING:
    from command_api.calls.call import Call
    from command_api.replies.failures import UpstreamFailure
    from providers.inference.registry.offers import Model

logger = logging.getLogger("gatewayz.attempts")

SAID_CHARACTERS_MAX = 200
MAY_QUOTE = KEPT - {429}
"""Statuses that blame the request."""


def tell_failure(call: Call, offer: Model, failure: UpstreamFailure) -> None:
    """Write the line: an error where only the operator can mend it, nothing much where skipped."""
    level = logging.WARNING
    if failure.skipped:
        level = logging.INFO
    elif failure.status in OURS_TO_MEND and not offer.own_key:
        level = logging.ERROR
    if not logger.isEnabledFor(level):
        return
    said = "" if failure.status in MAY_QUOTE else f" ({_shortened(failure.said)})"
    trace = TRACE.get()
    logger.log(
        level,
        "call %s: %s gave no answer for %s: %s%s%s",
        call.id,
        offer.provider,
        offer.id,
        failure.code,
        said,
        f" trace {trace.decode()}" if trace else "",
    )


def _shortened(said: str) -> str:
    """The beginning, on one line."""
    return " ".join(said[:SAID_CHARACTERS_MAX].split())
