"""Opens a call's session at the first of its offers that gives one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from command_api.calls.beside.own_keys import blame, upstream_of
from command_api.calls.failover import Failover
from command_api.replies.failures import failure_of_body, failure_of_exception
from providers.inference.port import (
    RealtimeLimits,
    RealtimeRefusal,
    TakesRealtime,
    UnsupportedError,
    UpstreamError,
)

if TYPE_CHECKING:
    from command_api.calls.call import Attempt, Call
    from command_api.calls.parts import CallParts
    from providers.inference.port import RealtimeChannel

TRIES_S = 3.0
"""All offers together have so many times as long as one has to open a session."""


class Opened:
    """An attempt that gave a session."""

    reads_on = True

    def __init__(self, attempt: Attempt, channel: RealtimeChannel) -> None:
        """It has said nothing yet."""
        self.attempt, self.channel = attempt, channel

    def drop(self) -> None:
        """Another attempt was quicker."""
        self.attempt.record(status=None, error="hedge_lost")
        self.channel.abort()


class Opening:
    """The attempts of one call to open a session."""

    def __init__(self, parts: CallParts, call: Call) -> None:
        """Nothing is asked yet."""
        self._parts, self._call = parts, call
        connect_s = parts.settings.upstream.connect_s
        self._limits = RealtimeLimits(connect_s, parts.settings.realtime.frame_bytes_max)
        self._failover = Failover(
            parts.router, call, deadline_s=connect_s * TRIES_S, first_output_s=connect_s
        )

    async def first(self) -> Opened:
        """The first session; raises UpstreamFailure."""
        return await self._failover.first(self._open)

    def let_go(self) -> None:
        """The session is over."""
        self._failover.let_go()

    async def _open(self, attempt: Attempt) -> Opened:
        offer, registry = attempt.offer, self._parts.registry
        upstream = upstream_of(registry, self._call.caller, offer)
        try:
            if not isinstance(upstream, TakesRealtime):
                message = "it has no realtime sessions"
                raise UnsupportedError(message)
            found = await upstream.open_session(offer.id, self._limits)
        except UpstreamError as error:
            raise failure_of_exception(offer.provider, error) from None
        if isinstance(found, RealtimeRefusal):
            failure = failure_of_body(offer.provider, found.status, found.body, found.headers)
            raise blame(registry, self._call, attempt, failure)
        return Opened(attempt, found)
