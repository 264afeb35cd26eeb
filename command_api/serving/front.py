"""The server's protocol: uvicorn's, with a short way for the inference routes (ADR 0016).

uvicorn prepares everything that any application might ask of a request, checks every header of a
response against a pattern, and sets a timer after each. That was a quarter of the CPU of a call.
What is a plain POST to an inference route gets here what the route needs and no more; everything
else, and all that is rare (pipelining, `Expect`, HTTP/1.0, too many connections), is uvicorn's.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import uvicorn
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from edge.asgi import WHOLE_BODY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from uvicorn._types import ASGI3Application, ASGISendEvent

    from command_api.settings import Settings
    from edge.asgi import Receive, Scope, Send

    Endpoint = Callable[[Scope, Receive, Send], Awaitable[None]]

KEEP_ALIVE_S = 65
BACKLOG = 2_048
LAST_CHUNK = b"0\r\n\r\n"


class FrontProtocol(HttpToolsProtocol):
    """One connection."""

    endpoints: ClassVar[Mapping[bytes, Endpoint]] = {}
    """By the request target, exactly as it stands in the request line."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """As uvicorn makes it."""
        super().__init__(*arguments, **named)
        self._opened: tuple[RequestResponseCycle, Endpoint] | None = None
        self._idle_since = 0.0

    # Idle connections: one timer that looks now and then, instead of one a response.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection that never sends a request is idle too."""
        super().connection_made(transport)
        self._idle_since = self.loop.time()
        self._look_again(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to look at."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()

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
        if self.cycle is not None and not self.cycle.response_complete:
            self._look_again(self.timeout_keep_alive)
            return
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0:
            self._look_again(left_s)
        else:
            self.transport.close()

    def on_response_complete(self) -> None:
        """The connection is idle, unless a pipelined request waits."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        self._idle_since = self.loop.time()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    # The parser's side.

    def data_received(self, data: bytes) -> None:
        """Start a call once all that came is read: most often that is the whole body."""
        super().data_received(data)
        opened, self._opened = self._opened, None
        if opened is not None and not self.transport.is_closing():
            self._start_asgi_task(*opened)  # type: ignore[arg-type]

    def on_message_begin(self) -> None:
        """The scope is made when it is known whose request this is."""
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """Take the short way where that is possible."""
        endpoint = self.endpoints.get(self.url)
        if endpoint is None or not self._plain():
            self._as_uvicorn_does()
            return
        existing = self.cycle
        cycle = self.cycle = ShortCycle(
            scope={  # type: ignore[typeddict-item]  # What the inference routes ask for.
                "type": "http",
                "method": "POST",
                "headers": self.headers,
            },
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if existing is None or existing.response_complete:
            self._opened = (cycle, endpoint)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, endpoint))  # type: ignore[arg-type]

    def _plain(self) -> bool:
        parser, most = self.parser, self.limit_concurrency
        return (
            parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and not self.expect_100_continue
            and not parser.should_upgrade()
            and (most is None or (len(self.connections) < most and len(self.tasks) < most))
        )

    def _as_uvicorn_does(self) -> None:
        url, headers, expected = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.headers.extend(headers)
        self.url, self.expect_100_continue = url, expected
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if isinstance(cycle, ShortCycle) and not cycle.more_body:
            cycle.hand_body_over()
        super()._start_asgi_task(cycle, app)


class ShortCycle(RequestResponseCycle):
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
        if not self.response_started:
            head = self._head(chunked=more, size=len(body))
            self.response_started = True
            self.chunked_encoding = more
            self.transport.write(head + (_chunk(body) if more else body))
        elif more:
            self.transport.write(_chunk(body))
        else:
            self.transport.write(_chunk(body) + LAST_CHUNK)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
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


class Application(Protocol):
    """An ASGI application, some of whose paths have endpoints of their own."""

    @property
    def inference(self) -> Mapping[str, Endpoint]:
        """Those endpoints, by their paths."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> None:
        """Serve all that the endpoints do not."""
        ...


def make_server(app: Application, settings: Settings) -> uvicorn.Server:
    """The server of a process; it is given its listening sockets when it runs."""
    targets = {path.encode(): endpoint for path, endpoint in app.inference.items()}
    return uvicorn.Server(
        uvicorn.Config(
            app,
            loop="uvloop" if sys.platform != "win32" else "asyncio",
            http=type("Front", (FrontProtocol,), {"endpoints": targets}),
            ws="none",
            access_log=False,
            log_level=settings.installation.log_level,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=settings.server.shutdown_grace_s,
            limit_concurrency=settings.server.connections_max,
            backlog=BACKLOG,
        )
    )
