"""One request and its response."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from command_api.front.limits import SLICE_BYTES
from edge.asgi import LET_GO, WHOLE_BODY
from edge.errors import gateway_stopping, internal_error

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGIReceiveEvent, ASGISendEvent

    from command_api.front.connection import FrontConnection
    from edge.errors import ApiError

CLOSE = (b"connection", b"close")
LAST_CHUNK = b"0\r\n\r\n"


class Cycle(RequestResponseCycle):
    """uvicorn's, for requests that take the long way."""

    front: FrontConnection | None = None
    """The connection, while this request is being answered."""
    size = 0
    """Bytes of its body so far that are kept."""
    taken = 0
    """What it takes of the process's room for bodies."""
    refused: ApiError | None = None
    """Why there will be no more of its body."""

    def let_go(self) -> None:
        """Nothing of its body is kept any more."""
        if self.taken and self.front is not None:
            self.front.bodies.give_back(self.taken)
            cast("dict[str, object]", self.scope).pop(LET_GO, None)
        # Of a body that goes on, only what comes from here on is kept.
        self.taken = self.size = 0

    async def receive(self) -> ASGIReceiveEvent:
        """As ASGI has it; raises ApiError 503 where there is no room for the body."""
        message = await super().receive()
        if self.refused is not None and message["type"] == "http.request":
            raise self.refused
        return message

    async def send(self, message: ASGISendEvent) -> None:
        """As ASGI has it; what is large goes out as fast as it is read."""
        if len(cast("dict[str, bytes]", message).get("body", b"")) <= SLICE_BYTES:
            await super().send(message)
            return
        assert message["type"] == "http.response.body"
        # Such a body may be one that is kept for others too, so it is looked at, not copied.
        await self._in_slices(memoryview(message["body"]), more=message.get("more_body", False))

    async def _in_slices(self, rest: memoryview | bytearray, *, more: bool) -> None:
        """Write a large body; of a bytearray only what is left of it is kept."""
        front = self.front
        assert front is not None
        try:
            while rest and not self.disconnected:
                if self.flow.write_paused:
                    front.replies.hold(front, len(rest))
                    await self.flow.drain()
                    continue
                piece = bytes(rest[:SLICE_BYTES])
                if isinstance(rest, bytearray):
                    del rest[:SLICE_BYTES]
                else:
                    rest = rest[SLICE_BYTES:]
                front.unwritten = len(rest)
                await self._write_slice(piece, more=more or bool(rest))
        finally:
            front.all_written()

    async def _write_slice(self, piece: bytes, *, more: bool) -> None:
        await super().send({"type": "http.response.body", "body": piece, "more_body": more})

    async def run_asgi(self, app: ASGI3Application) -> None:
        """Answer; what could not be answered whole must not look as if it were."""
        assert self.front is not None
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            await self._end_badly(gateway_stopping())  # Nobody else ends a request from outside.
        except BaseException:
            self.logger.exception("a request met a defect")
            await self._end_badly(internal_error())
        else:
            if not (self.response_complete or self.disconnected):
                await self._end_badly(internal_error())
        finally:
            self.let_go()
            self.front = None
            self.on_response = _nothing

    async def _end_badly(self, error: ApiError) -> None:
        if self.response_complete:
            return  # The framework answers a defect first, and raises it then.
        if self.response_started:
            assert self.front is not None
            self.front.cut()
            return
        body = error.openai()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *((name.encode(), value.encode()) for name, value in error.headers.items()),
            CLOSE,
        ]
        await self.send({"type": "http.response.start", "status": error.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


class ShortCycle(Cycle):
    """One request to an inference route, and its response.

    Its headers are all made by us, and of a response its head and first piece are one write.
    """

    _start: ASGISendEvent | None = None

    def hand_body_over(self) -> None:
        """Put the body, which is all there, where nobody needs to wait for it."""
        self.scope[WHOLE_BODY] = bytes(self.body)  # type: ignore[literal-required]
        self.body = bytearray()
        self.message_event.clear()

    async def send(self, message: ASGISendEvent) -> None:
        """As ASGI has it; raises RuntimeError for a line break in a header."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.start":
            self._start = message
            return
        body, more = message.get("body", b""), bool(message.get("more_body", False))
        assert isinstance(body, bytes)
        if len(body) > SLICE_BYTES:
            del body
            await self._send_large(message, more=more)
            return
        if not self.response_started:
            self.transport.write(self._begin(body, more=more) + (_chunk(body) if more else body))
        elif more:
            self.transport.write(_chunk(body))
        else:
            self.transport.write(_chunk(body) + LAST_CHUNK)
        if not more:
            self._complete()

    async def _send_large(self, message: ASGISendEvent, *, more: bool) -> None:
        """Take the body out of the message, so that what was written of it can be let go."""
        rest = bytearray(cast("dict[str, bytes]", message).pop("body"))
        if not self.response_started:
            self.transport.write(self._begin(rest, more=more))
        await self._in_slices(rest, more=more)

    async def _write_slice(self, piece: bytes, *, more: bool) -> None:
        if self.chunked_encoding:
            piece = _chunk(piece) if more else _chunk(piece) + LAST_CHUNK
        self.transport.write(piece)
        if not more:
            self._complete()

    def _begin(self, body: bytes | bytearray, *, more: bool) -> bytes:
        """The head of a response that begins with this body."""
        head = self._head(chunked=more, size=len(body))
        self.response_started, self.chunked_encoding = True, more
        return head

    def _complete(self) -> None:
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive and self.front is not None:
            self.front.say_no_more(unread=self.more_body)
        self.on_response()

    def _head(self, *, chunked: bool, size: int) -> bytes:
        start = self._start
        assert start is not None and start["type"] == "http.response.start"
        headers = [*self.default_headers, *start["headers"]]
        lines = [b"%b: %b\r\n" % (name, value) for name, value in headers]
        if chunked:
            lines.append(b"transfer-encoding: chunked\r\n")
        elif not any(name == b"content-length" for name, _ in start["headers"]):
            lines.append(b"content-length: %d\r\n" % size)
        text = b"".join(lines)
        if text.count(b"\n") != len(lines) or text.count(b"\r") != len(lines):
            message = "a header of the response holds a line break"
            raise RuntimeError(message)
        if not self.keep_alive:
            text += b"connection: close\r\n"
        elif b"connection: close\r\n" in text:
            self.keep_alive = False
        return b"%b%b\r\n" % (STATUS_LINE[start["status"]], text)


def _chunk(body: bytes) -> bytes:
    """An empty one would end the body, so there is none."""
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""


def _nothing() -> None:
    """Said to nobody any more."""
