"""One connection to an upstream, and the reading of one reply after the other from it.

Keep-alive, chunked and sized bodies, gzip, back-pressure, three time limits. What one read brought
is handed on as one piece.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, cast

import httptools

from providers.inference.adapters.http1.limits import (
    FRAMING_BYTES_MAX,
    FRAMING_BYTES_PER_BODY_BYTE,
    HEADERS_MAX,
)
from providers.inference.adapters.http1.pool import Closed
from providers.inference.port import (
    UpstreamBrokenError,
    UpstreamError,
    UpstreamInterruptedError,
    UpstreamTimeoutError,
    UpstreamTooLargeError,
)

if TYPE_CHECKING:
    from providers.inference.adapters.http1.pool import Connections

PAUSE_BYTES = 256 * 1024
DRAIN_S = 2.0
FINAL_STATUS_MIN = 200
"""Responses below are interim ones (RFC 9110, 15.2)."""
ZLIB_ANY_HEADER = 47
_IDENTITY = (b"", b"identity")


class HttpConnection(asyncio.Protocol):
    """One connection, and the reply being read from it; callers have it through `HttpReply`."""

    __slots__ = (
        *("_attempt_until", "_closed_for", "_connections", "_cut", "_done", "_draining", "_error"),
        *("_framing", "_full", "_header_count", "_heard_at", "_inflate", "_loop", "_parser"),
        *("_parts", "_paused", "_received", "_reusable", "_size", "_sized", "_streaming"),
        *("_timer", "_waiter", "closed", "fresh", "headers", "headers_done", "idle_since"),
        *("status", "transport"),
    )

    def __init__(self, connections: Connections, loop: asyncio.AbstractEventLoop) -> None:
        """One of the connections of a client."""
        self._connections, self._loop = connections, loop
        self.closed, self.fresh = False, True
        self.idle_since = 0.0
        self._closed_for = Closed.PROVIDER
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._done = True

    def start(self, request: bytes, *, streaming: bool) -> None:
        """Write a request and get ready for its reply."""
        limits = self._connections.limits
        self._parts: list[bytes] = []
        self._size = self._received = self._framing = self._header_count = 0
        self._done = self._draining = self._paused = self._sized = self._reusable = False
        self._error: UpstreamError | None = None
        self._inflate: zlib._Decompress | None = None
        self._streaming, self._full, self._cut = streaming, False, False
        self.status, self.headers, self.headers_done = 0, dict[bytes, bytes](), False
        self._heard_at = self._loop.time()
        self._attempt_until = self._heard_at + limits.attempt_s
        if self._timer is None:
            # It stays when a reply is done: one that runs for an earlier request fires in time.
            due = self._heard_at + min(limits.silence_s, limits.attempt_s)
            self._timer = self._loop.call_at(due, self._check_time)
        self.transport.write(request)

    async def send_more(self, piece: bytes) -> bool:
        """Write more of a body, and wait for room; False once an answer or a failure is there."""
        if self._done or self.headers_done:
            self._cut = True
            return False
        self._heard_at = self._loop.time()
        self.transport.write(piece)
        while self._full and not (self._done or self.headers_done):
            await self._wait()
        return True

    # The transport's side.

    def pause_writing(self) -> None:
        """More waits to be sent than the other end takes at once."""
        self._full = True

    def resume_writing(self) -> None:
        """It was taken."""
        self._full = False
        self._wake()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports keep this interface without inheriting from it.
        self.transport = cast("asyncio.Transport", transport)
        self._connections.open.add(self)
        self._connections.opened += 1

    def data_received(self, data: bytes) -> None:
        """Feed the parser, wake whoever can go on."""
        if self._done:
            self.transport.close()  # Bytes that nobody asked for: the connection is no good.
            return
        self._heard_at = self._loop.time()
        self._framing += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, zlib.error):
            self._fail(UpstreamBrokenError("the reply is not valid HTTP"))
        if self._framing > FRAMING_BYTES_MAX and not self._done:
            # The parser keeps what it has not understood yet, so it is stopped before that grows.
            self._fail(UpstreamTooLargeError("the reply has too much around its body"))
        if self._done or ((self._streaming or self._full) and self.headers_done):
            self._wake()
        if self._streaming and self._size > PAUSE_BYTES and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End an unsized body; anything else that was under way is broken."""
        self.closed = True
        self._connections.lost(self, self._closed_for)
        self._stop_timer()
        if self._done:
            return
        if exc is None and self.headers_done and not self._sized:
            self.on_message_complete()
            self._wake()
        else:
            self._fail(UpstreamBrokenError("the connection closed before the reply was complete"))

    # The parser's side.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        if self._done:
            return  # Of a reply that nobody asked for.
        self._header_count += 1
        if self._header_count > HEADERS_MAX:
            self._fail(UpstreamTooLargeError("the reply has too many headers"))
            return
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Note the status and how the body is delimited."""
        if self._done:
            return
        self.status = self._parser.get_status_code()
        if self.status < FINAL_STATUS_MIN:
            return
        self._sized = b"content-length" in self.headers or b"transfer-encoding" in self.headers
        if self.headers.get(b"content-encoding", b"") not in _IDENTITY:
            self._inflate = zlib.decompressobj(ZLIB_ANY_HEADER)
        self.headers_done = True

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body."""
        self._framing = max(self._framing - len(body) * (1 + FRAMING_BYTES_PER_BODY_BYTE), 0)
        if self._draining or self._done:
            return
        most = self._connections.limits.reply_bytes_max
        if self._inflate is not None:
            body = self._inflate.decompress(body, most - self._received + 1)
            if not body:
                return
        self._parts.append(body)
        self._size += len(body)
        self._received += len(body)
        if self._received > most:
            self._fail(UpstreamTooLargeError("the reply exceeds its maximum size"))

    def on_message_complete(self) -> None:
        """The reply is whole; a drained connection goes back to the pool."""
        if self._done:
            self._reusable = False
            return
        if self.status < FINAL_STATUS_MIN:
            self.headers.clear()  # An interim response, such as 103: the final one follows.
            return
        self._done = True
        # The parser forgets this once the message is complete.
        self._reusable = self._sized and not self._cut and self._parser.should_keep_alive()
        if self._draining:
            self._pool()

    # The reader's side.

    async def head(self) -> None:
        """Wait for status and headers."""
        while not self.headers_done and self._error is None and not self._done:
            await self._wait()
        if self._error is not None and not self.headers_done:
            raise self._error

    async def whole(self) -> bytes:
        """The complete body."""
        self._streaming = False
        if self._paused:
            self._resume()
        while not self._done:
            await self._wait()
        if self._error is not None:
            raise self._error
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    async def piece(self) -> bytes:
        """The next bytes, or b"" at the end."""
        while not self._size and not self._done:
            await self._wait()
        if self._size and not isinstance(self._error, UpstreamInterruptedError):
            piece = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts, self._size = [], 0
            if self._paused:
                self._resume()
            return piece
        if self._error is not None:
            raise self._error
        return b""

    def close(self, why: Closed) -> None:
        """Close it, which nobody uses, and say why."""
        self._closed_for = why
        self.transport.close()

    def abort(self, why: Closed) -> None:
        """The same at once, whoever uses it."""
        self._closed_for = why
        self.transport.abort()

    def interrupt(self) -> None:
        """Give the attempt up and close the connection."""
        if not self._done:
            self._fail(UpstreamInterruptedError("interrupted"))
        else:
            self._error = UpstreamInterruptedError("interrupted")
            self._wake()

    def release(self) -> None:
        """Return the connection to the pool, waiting a little for the end of the reply."""
        if self._done:
            self._pool()
            return
        self._draining = True
        self._parts, self._size = [], 0
        if self._paused:
            self._resume()
        self._attempt_until = self._loop.time() + DRAIN_S
        self._stop_timer()
        self._timer = self._loop.call_later(DRAIN_S, self._check_time)

    @property
    def unanswered(self) -> bool:
        """Whether the connection failed before any byte of a reply."""
        return self._error is not None and not self.headers_done and not self.headers

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        await self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: UpstreamError) -> None:
        self._error, self._done = error, True
        self._stop_timer()
        if not self.closed:
            self.closed = True
            gave_up = isinstance(error, UpstreamInterruptedError)
            self.abort(Closed.INTERRUPTED if gave_up else Closed.FAILED)
        self._wake()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_time(self) -> None:
        self._timer = None
        now = self._loop.time()
        silent_until = self._heard_at + self._connections.limits.silence_s
        due = min(self._attempt_until, silent_until)
        if self._done:
            return
        if now < due:
            self._timer = self._loop.call_at(due, self._check_time)
        else:
            self._fail(UpstreamTimeoutError("the upstream took too long"))

    def _resume(self) -> None:
        self._paused = False
        if not self.closed:
            self.transport.resume_reading()

    def _pool(self) -> None:
        if (
            self._error is None
            and not self.closed
            and self._reusable
            and self._connections.keep(self, self._loop)
        ):
            if self._paused:
                self._resume()
            self.fresh = False
        elif not self.closed:
            self.close(Closed.IDLE if self._reusable else Closed.PROVIDER)
