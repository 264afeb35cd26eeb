"""A lean HTTP/1.1 client on httptools: one request at a time on a pooled connection.

It does what the hot path needs and no more. Everything else in the project uses httpx (ADR 0007
has the measurements).
"""

from __future__ import annotations

import asyncio
import ssl
from copy import copy
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from providers.inference.adapters.http1.connection import HttpConnection
from providers.inference.adapters.http1.limits import ClientLimits
from providers.inference.adapters.http1.pool import Closed, Connections
from providers.inference.adapters.http1.reply import HttpReply
from providers.inference.port import TRACE, UpstreamBrokenError, UpstreamConnectError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


@cache
def _authorities() -> ssl.SSLContext:
    """Reading the machine's certificates takes long, and seventy providers may be there."""
    return ssl.create_default_context()


class HttpClient:
    """Requests to one origin; its adapters say which paths and headers."""

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str] | None = None,
        limits: ClientLimits | None = None,
    ) -> None:
        """`base_url` ends before the paths of `request`; raises ValueError for other schemes."""
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            message = f"{base_url!r} is not an http or https URL"
            raise ValueError(message)
        self._connections = Connections(limits or ClientLimits())
        self._room = self._connections.limits.room
        self._room.clients.append(self._connections)
        self._host = parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = _authorities() if parts.scheme == "https" else None
        self._plain = {
            "host": parts.netloc.rpartition("@")[2],
            "content-type": "application/json",
            "accept": "*/*",
            "accept-encoding": "identity",
            "user-agent": "gatewayz",
        }
        self._base_path = parts.path.rstrip("/")
        self.fields = {**self._plain, **(headers or {})}
        """What stands in every head."""

    def sharing(self, headers: Mapping[str, str]) -> HttpClient:
        """The same client with these headers in the place of its own, over the same connections."""
        other = copy(self)
        other.fields = {**self._plain, **headers}
        return other

    def head(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """The request line and headers of a request, up to the value of content-length.

        `path` is relative to the base URL, or absolute from `//`; `headers` replace those of the
        client that have their names. Adapters keep what they reuse.
        Raises ValueError for characters that may not stand in a head.
        """
        target = path[1:] if path.startswith("//") else self._base_path + path
        fields = {**self.fields, **(headers or {})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        text = f"{method} {target} HTTP/1.1\r\n{lines}content-length: "
        line_count = len(fields) + 1
        if text.count("\n") != line_count or text.count("\r") != line_count or " " in target:
            message = "a path or header holds a line break or a space"
            raise ValueError(message)
        return text.encode("latin-1")

    async def request(self, head: bytes, body: bytes, *, stream: bool = False) -> HttpReply:
        """Send a request; a pooled connection that turns out to be closed is replaced once."""
        trace = TRACE.get()
        more = b"traceparent: %b\r\n" % trace if trace else b""
        request = b"%b%d\r\n%b\r\n%b" % (head, len(body), more, body)
        loop = asyncio.get_running_loop()
        connection = self._reusable(loop) or await self._next(loop)
        while True:
            connection.start(request, streaming=stream)
            try:
                await connection.head()
            except UpstreamBrokenError:
                # The upstream closed an idle connection just as we wrote on it.
                if connection.fresh or not connection.unanswered:
                    raise
                connection = await self._next(loop)
            except asyncio.CancelledError:
                connection.interrupt()
                connection.release()
                raise
            else:
                return HttpReply(connection)

    async def upload(
        self, head: bytes, size: int, pieces: AsyncIterator[bytes], *, stream: bool = False
    ) -> HttpReply:
        """Send a request whose body comes in pieces, as fast as it is read at the other end.

        It has a connection of its own: a pooled one that turns out to be closed would need the
        body again. An answer that comes before all was sent is the answer.
        """
        trace = TRACE.get()
        more = b"traceparent: %b\r\n" % trace if trace else b""
        connection = await self._connect(asyncio.get_running_loop())
        connection.start(b"%b%d\r\n%b\r\n" % (head, size, more), streaming=stream)
        try:
            async for piece in pieces:
                if not await connection.send_more(piece):
                    break
            await connection.head()
        except BaseException:
            connection.interrupt()
            connection.release()
            raise
        return HttpReply(connection)

    async def close(self) -> None:
        """Close all connections, also those that still wait for the end of a reply."""
        idle = self._connections.idle
        for each in list(self._connections.open):
            if each in idle:
                each.close(Closed.STOPPED)
            else:
                each.abort(Closed.STOPPED)
        self._connections.stop()
        await asyncio.sleep(0)  # Transports close at the loop's next turn.

    def _reusable(self, loop: asyncio.AbstractEventLoop) -> HttpConnection | None:
        idle = self._connections.idle
        oldest = loop.time() - self._connections.limits.idle_connection_s
        while idle:
            connection = idle.pop()
            if not connection.closed and connection.idle_since > oldest:
                return connection
            if not connection.closed:
                connection.close(Closed.IDLE)
        return None

    async def _next(self, loop: asyncio.AbstractEventLoop) -> HttpConnection:
        """A new connection, or one that became idle where there are as many as there may be."""
        pool = self._connections
        while not pool.take():
            came = await pool.wait(loop)
            if came is None:
                break
            if not came.closed:
                return came
        try:
            return await self._connect(loop)
        finally:
            pool.give_back()

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> HttpConnection:
        connect_s = self._connections.limits.connect_s
        self._room.connecting += 1
        try:
            if self._room.make():
                await asyncio.sleep(0)  # Transports close at the loop's next turn.
            async with asyncio.timeout(connect_s):
                _, connection = await loop.create_connection(
                    lambda: HttpConnection(self._connections, loop),
                    self._host,
                    self._port,
                    ssl=self._tls,
                )
        except TimeoutError as error:
            message = f"no connection within {connect_s} s"
            raise UpstreamConnectError(message) from error
        except OSError as error:
            raise UpstreamConnectError(str(error)) from error
        finally:
            self._room.connecting -= 1
        return connection
