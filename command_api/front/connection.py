"""A client's connection: how long it may be idle, and how it ends."""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
from contextlib import suppress
from heapq import nsmallest
from termios import TIOCOUTQ
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from command_api.front.limits import (
    CLOSED_SHARE,
    DISCARDED_BYTES_MAX,
    LINGER_S,
    READ_BYTES_MIN,
    READ_TIMEOUTS_MAX,
    TOLD_MAX,
    FrontLimits,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from command_api.front.bodies import Bodies
    from command_api.front.cycle import Cycle
    from command_api.front.replies import WaitingReplies
    from edge.asgi import Header

    Early = Callable[[list[Header]], tuple[int, bytes, bytes] | None]
    """Of a request's headers: the status, the lines of its own headers, and the body."""

NOTHING = bytes(struct.calcsize("i"))
NO_LINGER = struct.pack("ii", 1, 0)


class _Answered:
    """In the place of a request that was answered, of which nothing was made."""

    response_started = response_complete = True
    message_event = SimpleNamespace(set=lambda: None)


ANSWERED = cast("Cycle", _Answered())


class FrontConnection(HttpToolsProtocol):
    """uvicorn's connection, with times and ends of our own."""

    limits: ClassVar[FrontLimits] = FrontLimits()
    bodies: ClassVar[Bodies]
    replies: ClassVar[WaitingReplies]
    early: ClassVar[Mapping[bytes, Early]] = {}
    """By the request target, who may answer in an endpoint's place."""

    cycle: Cycle

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """As uvicorn makes it."""
        super().__init__(*arguments, **named)
        self.idle_since = 0.0
        self._timers: dict[str, asyncio.TimerHandle] = {}
        """All but the one of idle connections: most connections never have any."""
        self.unwritten = 0
        """Bytes of a large reply that were not given to the transport yet."""
        self._paused_since = 0.0
        self._read_min = READ_BYTES_MIN
        self._crowded = False
        self._discarded = 0
        self._deaf = False
        """What comes is no longer read as requests."""
        self._last_words = b""
        """A refusal that waits for the answers to earlier requests."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection that never sends a request is idle too."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=self.limits.buffer_bytes)
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
        self.let_go_timers()
        self._forget_waiting()

    def let_go_timers(self) -> None:
        """Nobody looks at the connection any more."""
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        for name in [*self._timers]:
            self._unset(name)

    def _forget_waiting(self) -> None:
        """Requests that were read and will not be answered."""
        for cycle, _ in self.pipeline:
            cast("Cycle", cycle).let_go()
        self.pipeline.clear()

    # Idle connections: one timer that looks now and then, instead of one a response.

    @property
    def answering(self) -> bool:
        """Whether a request waits for its answer, or for the rest of it."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _busy(self) -> bool:
        """Whether what is written now would not be read at once, or not in its turn."""
        return self.answering or self.flow.write_paused or self._deaf

    def _answered_early(self) -> bool:
        """Answer a request of which nothing is made, where that is its turn and it is read.

        What comes of its body is dropped.
        """
        early = self.early.get(self.url)
        reply = early(self.headers) if early and not self._busy else None
        if reply is None:
            return False
        status, lines, body = reply
        told = [b"%b: %b\r\n" % each for each in self.server_state.default_headers]
        ends = not self.parser.should_keep_alive()
        if ends:
            told.append(b"connection: close\r\n")
        self.cycle = ANSWERED
        head = b"%bcontent-length: %d\r\n\r\n" % (lines, len(body))
        self.transport.write(b"".join((STATUS_LINE[status], *told, head, body)))
        if ends:
            self.say_no_more(unread=True)
        self.on_response_complete()
        return True

    def _unset_keepalive_if_required(self) -> None:
        """The timer goes on: it finds out for itself whether the connection was used."""

    def _look_again(self, after_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            after_s, self.timeout_keep_alive_handler
        )

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection on which nothing is answered and nothing was for long enough."""
        if self.transport.is_closing():
            self.drop()  # Its last bytes wait for somebody who does not read.
            return
        if self.answering:
            self._look_again(self.limits.keep_alive_s)
            return
        left_s = self.idle_since + self.limits.keep_alive_s - self.loop.time()
        if left_s > 0:
            self._look_again(left_s)
        else:
            self._close()

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

    # Replies that nobody reads: what waits to be written is bounded in bytes by the sender, who
    # waits while writing is paused, and in time here. A large reply is one wait, from the first
    # pause to its last slice.

    def pause_writing(self) -> None:
        """More waits to be written than a reader is given at once."""
        super().pause_writing()
        if "write" not in self._timers:
            self._paused_since = self.loop.time()
            self._read_min = max(READ_BYTES_MIN, self._unread() // READ_TIMEOUTS_MAX)
            self._watch_reader()

    def resume_writing(self) -> None:
        """It was read; of a large reply the next slice follows, and its time goes on."""
        super().resume_writing()
        if not self.unwritten:
            self._unset("write")

    def all_written(self) -> None:
        """Nothing more of a large reply follows."""
        self.unwritten = 0
        self.replies.let_go(self)
        if not self.flow.write_paused:
            self._unset("write")

    def _watch_reader(self) -> None:
        left = self._unread()
        self._set("write", self.limits.write_timeout_s, lambda: self._look_at_reader(left))

    def _look_at_reader(self, before: int) -> None:
        """Go on while something is read; nobody may take for ever all the same."""
        read = before - self._unread()
        if read < self._read_min or self.loop.time() > self._paused_since + self.limits.reply_s:
            self.drop()
        else:
            self._watch_reader()

    def _unread(self) -> int:
        """Bytes on the way: ours, and the system's, which takes them in large steps.

        The system has none of a connection that it closed in the middle of a write.
        """
        kept = NOTHING
        with suppress(OSError, ValueError):
            socket_of = self.transport.get_extra_info("socket")
            kept = fcntl.ioctl(socket_of.fileno(), TIOCOUTQ, NOTHING)
        written = self.transport.get_write_buffer_size() + int.from_bytes(kept, sys.byteorder)
        return self.unwritten + written

    # The end of a connection.

    def say_no_more(self, *, unread: bool) -> None:
        """The last response is written: end the connection so that it arrives."""
        self._forget_waiting()
        self._deaf = True
        if not unread:
            self._close()
            return
        self.transport.write_eof()
        self.flow.resume_reading()
        self._set("linger", LINGER_S, self.transport.abort)

    def cut(self) -> None:
        """What was begun cannot be finished, and the client must see that it is not whole."""
        if self.flow.write_paused:
            self.drop()
        else:
            self._close()

    def _close(self) -> None:
        """Close once all is written, and anyway after the time for that."""
        self.transport.close()
        if not self.flow.write_paused:
            self._set("close", self.limits.write_timeout_s, self.drop)

    def drop(self) -> None:
        """End at once; what the system keeps for a client that does not read goes too."""
        socket_of = self.transport.get_extra_info("socket")
        socket_of.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        self.transport.abort()

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
