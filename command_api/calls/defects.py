"""Defects of adapters: whatever one raises ends in a failure of the attempt, never of the call."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from edge.errors import ApiError
from providers.inference.port import UpstreamBrokenError, UpstreamError

if TYPE_CHECKING:
    from command_api.calls.call import Attempt, Call
    from providers.inference.port import UpstreamReply

logger = logging.getLogger("gatewayz.calls")

UNFORESEEN = "a reply that this gateway cannot read"
"""Whatever a provider sends, reading it ends in an answer or a failure of the attempt."""


def known(error: Exception, call: Call, attempt: Attempt) -> UpstreamError | ApiError:
    """What an adapter raised; what its port does not know is logged, and a broken reply."""
    if isinstance(error, (UpstreamError, ApiError)):
        return error
    provider = attempt.offer.provider
    logger.error("call %s met a defect in asking %s", call.id, provider, exc_info=error)
    return UpstreamBrokenError(UNFORESEEN)


def give_up(reply: UpstreamReply | None) -> None:
    """End a reply whose adapter met a defect, and may meet another one in its end."""
    if reply is not None:
        with suppress(Exception):
            reply.interrupt()
        with suppress(Exception):
            reply.release()
