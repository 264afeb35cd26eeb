"""A client's connection: how long it may be idle, and how it ends."""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING, Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from command_api.front.limits import (
    CLOSED_SHARE,
    DISCARDED_BYTES_MAX,
    LINGER_S,
    TOLD_MAX,
    FrontLimits,
)

if TYPE_CHECKING:
    import asyncio

    from command_api.front.cycle import Cycle


class FrontConnection(HttpToolsProtocol):
    """uvicorn's connection, with times and ends of our own."""

    limits: ClassVar[FrontLimits] = FrontLimits()

    cycle: Cycle

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """As uvicorn makes it."""
        super().__init__(*arguments, **named)
        self.idle_since = 0.0
        self._timers: dict[str, asyncio.TimerHandle] = {}
        """All but the one of idle connections: most connections never have any."""
        self._crowded = False
        self._discarded = 0
        self._deaf = False
        """What comes is no longer read as requests."""
        self._last_words = b""
        """A refusal that waits for the answers to earlier requests."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection that never sends a request is idle too."""
        super().connection_made(transport)
        self.idle_since = self.loop.time()
        self._look_again(self.limits.keep_alive_s)
        if len(self.connections) > self.limits.connections_max:
            self._make_room()

    def _make_room(self) -> None:
        """Close those that have been idle for longest: a share, as looking costs a little.

        Where all are being answered, this one is told so when it asks; there is an end to that too.
        """
        most, all_of_them = (
            self.limits.connections_max,
            cast("set[FrontConnection]", self.connections),
        )
        idle = [each for each in all_of_them if each is not self and not each.answering]
        for each in nsmallest(max(1, most // CLOSED_SHARE), idle, key=lambda one: one.idle_since):
            self.connections.discard(each)
            each.transport.abort()
        self._crowded = len(self.connections) > most
        if len(self.connections) > most + TOLD_MAX:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to look at."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        for name in [*self._timers]:
            self._unset(name)

    # Idle connections: one timer that looks now and then, instead of one a response.

    @property
    def answering(self) -> bool:
        """Whether a request waits for its answer, or for the rest of it."""
        return self.cycle is not None and not self.cycle.response_complete

    def _unset_keepalive_if_required(self) -> None:
        """The timer goes on: it finds out for itself whether the connection was used."""

    def _look_again(self, after_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            after_s, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing is answered and nothing was for long enough."""
        if self.transport.is_closing():
            return
        if self.answering:
            self._look_again(self.limits.keep_alive_s)
            return
        left_s = self.idle_since + self.limits.keep_alive_s - self.loop.time()
        if left_s > 0:
            self._look_again(left_s)
        else:
            self.transport.close()

    def on_response_complete(self) -> None:
        """The connection is idle, unless a pipelined request waits."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.idle_since = self.loop.time()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._last_words:
            self._say_last(self._last_words)
        else:
            self.flow.resume_reading()

    # The end of a connection.

    def say_no_more(self, *, unread: bool) -> None:
        """The last response is written: end the connection so that it arrives."""
        self.pipeline.clear()
        self._deaf = True
        if not unread:
            self.transport.close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._set("linger", LINGER_S, self.transport.abort)

    def cut(self) -> None:
        """What was begun cannot be finished, and the client must see that it is not whole."""
        self.transport.close()

    def _say_last(self, words: bytes) -> None:
        self.transport.write(words)
        self.say_no_more(unread=True)

    def _discard(self, size: int) -> None:
        """Drop what nobody asked for; there is an end to that too."""
        self._discarded += size
        if self._discarded > DISCARDED_BYTES_MAX:
            self.transport.abort()

    def _set(self, name: str, after_s: float, what: Any) -> None:
        self._unset(name)
        self._timers[name] = self.loop.call_later(after_s, what)

    def _unset(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
