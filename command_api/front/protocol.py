"""The server's protocol: uvicorn's, with a short way for the inference routes (ADR 0016).

uvicorn prepares everything that any application might ask of a request, checks every header of a
response against a pattern, and sets a timer after each. That was a quarter of the CPU of a call.
What is a plain POST to an inference route gets here what the route needs and no more.

uvicorn also takes headers without end, which it copies at every packet, answers what it cannot
parse before what was asked earlier, and forgets the body of a request that offers an upgrade.
Here the reading is bounded (`limits`), and refusals wait for their turn.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT

from command_api.front import refusals, sockets
from command_api.front.bodies import SMALL_BODY_BYTES
from command_api.front.connection import FrontConnection
from command_api.front.cycle import Cycle, ShortCycle
from command_api.front.limits import HEADERS_MAX, PIPELINED_MAX, URL_BYTES_MAX
from edge.asgi import LET_GO
from edge.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from edge.asgi import Receive, Scope, Send

    Endpoint = Callable[[Scope, Receive, Send], Awaitable[None]]

BETWEEN, IN_HEAD, IN_BODY = 0, 1, 2
"""Where the parser stands: between two requests, or inside one."""
NEW = -1
"""In `_silent`: the parser told something of this very slice."""
UPGRADES = (b"upgrade", b"http2-settings")
"""Headers that are about an upgrade, which is not taken (RFC 9110, 7.8)."""


class FrontProtocol(FrontConnection):
    """One connection, and what is read from it."""

    endpoints: ClassVar[Mapping[bytes, Endpoint]] = {}
    """By the request target, exactly as it stands in the request line."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """As uvicorn makes it."""
        super().__init__(*arguments, **named)
        self._opened: tuple[Cycle, ASGI3Application] | None = None
        self._place = BETWEEN
        self._silent = NEW
        """Bytes since the parser last told of a request's begin, or of a piece of a body."""

    def data_received(self, data: bytes) -> None:
        """Start a call once all that came is read: most often that is the whole body.

        The parser gets at most a head's worth of bytes at a time, and of a head that goes on it
        keeps what came, so its copies are bounded.
        """
        if self._deaf:
            self._discard(len(data))
            return
        most = self.limits.head_bytes_max
        if len(data) <= most:
            self._feed(data)
        else:
            whole = memoryview(data)
            for start in range(0, len(data), most):
                self._feed(whole[start : start + most])
                if self._deaf or self.transport.is_closing():
                    break
        opened, self._opened = self._opened, None
        if opened is None:
            return
        if self.transport.is_closing():
            opened[0].let_go()
        else:
            self._start_asgi_task(*opened)

    def _feed(self, data: bytes | memoryview) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay_with_http(bytes(data[upgrade.args[0] :]))
            return
        except httptools.HttpParserError as error:
            told = error.__context__
            self._refuse(told if isinstance(told, ApiError) else refusals.malformed())
        if self._place != BETWEEN:
            self._unfinished(len(data))

    def _unfinished(self, size: int) -> None:
        """A request goes on behind this slice: bound what of it is neither told nor a body."""
        if self._silent == NEW:
            self._silent = 0
        else:
            self._silent += size
        most = self.limits.head_bytes_max
        if self._place == IN_HEAD and len(self.url) > URL_BYTES_MAX:
            self._refuse(refusals.url_too_long())
        elif self._silent > most:
            self._refuse(refusals.headers_too_large(most))
        elif len(self.headers) > HEADERS_MAX:
            self._refuse(refusals.too_many_headers())
        elif self._place == IN_HEAD and "head" not in self._timers:
            self._set("head", self.limits.head_timeout_s, self._head_late)

    def _head_late(self) -> None:
        self._refuse(refusals.headers_too_slow(self.limits.head_timeout_s))

    def _stay_with_http(self, rest: bytes) -> None:
        """Read a request that offers an upgrade as one that does not: so its body is its body.

        The parser takes what comes behind such a head for another protocol. It gets the head
        again, without the offer.
        """
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            self._refuse(refusals.malformed())
            return
        if sockets.is_taken(self.url, method, self.headers) and not (self._busy or self._crowded):
            sockets.hand_over(self, method, rest)
            return
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [each.strip() for each in value.split(b",")]
                left = b", ".join(each for each in tokens if each.lower() not in UPGRADES)
                lines += [b"connection: " + left] if left else []
            elif name not in UPGRADES:
                lines.append(b"%b: %b" % (name, value))
        self._feed(b"\r\n".join([*lines, b"", rest]))

    def on_message_begin(self) -> None:
        """The scope is made when it is known whose request this is."""
        if len(self.pipeline) >= PIPELINED_MAX:
            raise refusals.too_many_pipelined()
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._place, self._silent = IN_HEAD, NEW

    def on_headers_complete(self) -> None:
        """Take the short way where that is possible."""
        if self._silent != NEW or len(self.headers) > HEADERS_MAX:
            self._check_head()
        if self.parser.should_upgrade():
            return
        if self._crowded:
            raise refusals.too_many_connections()
        endpoint = self.endpoints.get(self.url)
        if endpoint is not None and self._plain():
            if not self._answered_early():
                self._take(self._short_cycle(), endpoint)  # type: ignore[arg-type]
        else:
            self._take(self._long_cycle(), self.app)
        self._place, self._silent = IN_BODY, NEW
        # What comes behind the body under this name is no header (RFC 9110, 6.5.1).
        self.headers = []

    def _check_head(self) -> None:
        """Raise ApiError for a head that came in pieces, or has many fields, and is too large."""
        self._unset("head")
        if len(self.url) > URL_BYTES_MAX:
            raise refusals.url_too_long()
        if len(self.headers) > HEADERS_MAX:
            raise refusals.too_many_headers()
        most = self.limits.head_bytes_max
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > most:
            raise refusals.headers_too_large(most)

    def _plain(self) -> bool:
        parser = self.parser
        return (
            parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and not self.expect_100_continue
        )

    def _short_cycle(self) -> ShortCycle:
        """A request with what the inference routes ask for."""
        return ShortCycle(
            scope={  # type: ignore[typeddict-item]  # No more is asked of it.
                "type": "http",
                "method": "POST",
                "client": self.client,
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

    def _long_cycle(self) -> Cycle:
        """A request with all that an application may ask of it, as uvicorn makes it."""
        if len(self.url) > URL_BYTES_MAX:
            raise refusals.url_too_long()
        version = self.parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        return Cycle(
            scope={
                "type": "http",
                "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
                "http_version": version,
                "server": self.server,
                "client": self.client,
                "scheme": self.scheme or "http",
                "method": self.parser.get_method().decode("ascii"),
                "root_path": self.root_path,
                "path": self.root_path + (unquote(path) if "%" in path else path),
                "raw_path": self.root_path.encode("ascii") + url.path,
                "query_string": url.query or b"",
                "headers": self.headers,
                "state": self.app_state.copy(),
            },
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

    def _take(self, cycle: Cycle, app: ASGI3Application) -> None:
        """The request's turn is now, or after those before it."""
        cycle.front = self
        before, self.cycle = self.cycle, cycle
        if before is None or before.response_complete:
            self._opened = (cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))

    def on_body(self, body: bytes) -> None:
        """Keep it for the request's application, as far as that keeps up."""
        self._silent = NEW
        cycle = self.cycle
        if cycle.response_complete or cycle.refused is not None:
            self._discard(len(body))
            return
        cycle.body += body
        cycle.size += len(body)
        if cycle.size > SMALL_BODY_BYTES:
            self._large(cycle)
        cycle.message_event.set()

    def _large(self, cycle: Cycle) -> None:
        """There may be no room for it; and it is read no faster than its application reads it."""
        if self.bodies.take(cycle.size - cycle.taken):
            cycle.taken = cycle.size
            cycle.scope[LET_GO] = cycle.let_go  # type: ignore[literal-required]
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
        else:
            cycle.let_go()
            cycle.refused, cycle.body = refusals.too_many_bodies(), bytearray()

    def on_message_complete(self) -> None:
        """All of a request was read; one that offers an upgrade is read again."""
        if self._place == IN_HEAD:
            return
        self._place, self._discarded = BETWEEN, 0
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        if isinstance(cycle, ShortCycle) and not (cycle.more_body or cycle.refused):
            cycle.hand_body_over()
        super()._start_asgi_task(cycle, app)

    def _refuse(self, error: ApiError) -> None:
        """Answer what cannot be read, after what was asked before it, and read no more."""
        self._deaf = True
        self._unset("head")
        in_body, self._place = self._place == IN_BODY, BETWEEN
        words = refusals.refusal(error, self.url, self.server_state.default_headers)
        cycle = self.cycle
        if not self.answering:
            # A body that nobody waits for, as its request was answered, gets no second answer.
            self._say_last(b"" if in_body else words)
        elif not in_body:
            self._last_words = words
        elif self._opened is not None and self._opened[0] is cycle:
            self._opened = None
            cycle.let_go()
            self._say_last(words)
        elif self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
            cycle.let_go()
            self._last_words = words
        elif cycle.response_started:
            self.cut()
        else:
            # The application waits for a body that never ends: for it the client is gone.
            cycle.disconnected = True
            cycle.message_event.set()
            self._say_last(words)
