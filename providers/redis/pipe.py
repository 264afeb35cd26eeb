"""One connection to Redis for what every request asks: all that waits goes out in one write.

A command that is not answered in time ends the connection, for everything behind it waits too. Who
asks meanwhile is told at once that Redis is away, and a task of its own brings the connection back.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from redis.connection import parse_url

from providers.redis.replies import GarbledError, RedisReplyError, ReplyReader, command

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Ask = Callable[[bytes], asyncio.Future[Any]]

logger = logging.getLogger("gatewayz.redis")

IN_FLIGHT_MAX = 10_000
"""Most commands that wait for their answers."""
CONNECT_S = 0.5
"""Longest wait for a connection, and for the answers to its first commands, seconds."""
BACK_S, BACK_MAX_S = 0.1, 2.0
"""Pause before the first attempt to come back, and the longest, seconds."""


class RedisAwayError(Exception):
    """Redis does not answer now."""


class _Connection(asyncio.Protocol):
    """What stands until the first thing goes wrong."""

    def __init__(self) -> None:
        self.timeout_s = CONNECT_S
        self._transport: asyncio.Transport | None = None
        self._reader = ReplyReader()
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._out: list[bytes] = []
        self._watching = False
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[str] = self._loop.create_future()
        """Resolved with the reason once it is gone."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class.

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(str(exc) if exc else "it hung up")

    def data_received(self, data: bytes) -> None:
        try:
            replies = self._reader.feed(data)
        except GarbledError:
            self.end("what it answers is not Redis' protocol")
            return
        for reply in replies:
            if not self._waiting:
                self.end("it answers what nobody asked")
                return
            _, future = self._waiting.popleft()
            if future.done():
                continue
            if isinstance(reply, RedisReplyError):
                future.set_exception(reply)
            else:
                future.set_result(reply)

    def ask(self, raw: bytes) -> asyncio.Future[Any]:
        """The answer to a command, which goes out with all others of this turn of the loop."""
        if self.lost.done() or len(self._waiting) >= IN_FLIGHT_MAX:
            raise RedisAwayError
        future = self._loop.create_future()
        if not self._out:
            self._loop.call_soon(self._write)
        self._out.append(raw)
        self._waiting.append((self._loop.time(), future))
        if not self._watching:
            self._watching = True
            self._loop.call_later(self.timeout_s, self._watch, None)
        return future

    def _write(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and out and not self.lost.done():
            self._transport.write(b"".join(out))

    def _watch(self, overdue: asyncio.Future[Any] | None) -> None:
        """End the connection when its oldest command is late at two looks.

        One look is not enough: after a standstill of this process its timers come before what
        arrived meanwhile.
        """
        if not self._waiting or self.lost.done():
            self._watching = False
            return
        asked, oldest = self._waiting[0]
        if oldest is overdue:
            self.end(f"it did not answer within {self.timeout_s * 1_000:g} ms")
            return
        left = self.timeout_s - (self._loop.time() - asked)
        if left <= 0:
            self._loop.call_later(self.timeout_s / 4, self._watch, oldest)
        else:
            self._loop.call_later(left, self._watch, None)

    def end(self, reason: str) -> None:
        """Hang up; whoever waits is told that Redis is away."""
        if self.lost.done():
            return
        self.lost.set_result(reason)
        if self._transport is not None:
            self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for _, future in waiting:
            if not future.done():
                future.set_exception(RedisAwayError(reason))


class RedisPipe:
    """The connection of one process, brought back whenever it is lost."""

    def __init__(
        self, url: str, *, timeout_s: float, greeting: Callable[[], Sequence[bytes]]
    ) -> None:
        """`greeting` are commands that every new connection begins with; all must be answered."""
        parsed: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
        self._parts = parsed
        self._timeout_s, self._greeting = timeout_s, greeting
        self._connection: _Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self.came_back: Callable[[Ask], Awaitable[None]] | None = None
        """Called with each new connection, before anybody else may ask on it."""
        self._ready = False

    @property
    def ready(self) -> bool:
        """Whether commands are taken."""
        connection = self._connection
        return self._ready and connection is not None and not connection.lost.done()

    async def start(self) -> None:
        """Connect, or begin to try."""
        first = asyncio.get_running_loop().create_future()
        self._task = asyncio.get_running_loop().create_task(self._keep(first))
        await first

    async def stop(self) -> None:
        """Disconnect."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._connection is not None:
            self._connection.end("stopped")
        self._ready = False

    def ask(self, raw: bytes) -> asyncio.Future[Any]:
        """The answer to a command. Raises RedisAwayError, as the answer does.

        The answer raises RedisReplyError too.
        """
        if not self._ready or self._connection is None:
            raise RedisAwayError
        return self._connection.ask(raw)

    def hang_up(self, reason: str) -> None:
        """Give this connection up, for it answers what cannot be; another is made."""
        self._ready = False
        if self._connection is not None:
            self._connection.end(reason)

    async def _keep(self, first: asyncio.Future[None]) -> None:
        pause, told = BACK_S, False
        while True:
            reason = "unknown"
            try:
                async with asyncio.timeout(CONNECT_S):
                    connection = self._connection = await self._connect()
                    for raw in (*self._hello(), *self._greeting()):
                        await connection.ask(raw)
                    if self.came_back is not None:
                        await self.came_back(connection.ask)
                connection.timeout_s = self._timeout_s
                self._ready = True
                if told:
                    logger.warning("Redis is back")
                pause, told = BACK_S, False
                if not first.done():
                    first.set_result(None)
                reason = await asyncio.shield(connection.lost)
            except (OSError, TimeoutError, RedisAwayError, RedisReplyError) as error:
                reason = str(error) or type(error).__name__
            self._ready = False
            if self._connection is not None:
                self._connection.end(reason)
            if not first.done():
                first.set_result(None)
            if not told:
                logger.warning("Redis is away: %s", reason)
                told = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, BACK_MAX_S)

    async def _connect(self) -> _Connection:
        loop, parts = asyncio.get_running_loop(), self._parts
        connection = _Connection()
        if "path" in parts:
            await loop.create_unix_connection(lambda: connection, str(parts["path"]))
        else:
            secure = "SSL" in getattr(parts.get("connection_class"), "__name__", "")
            await loop.create_connection(
                lambda: connection,
                str(parts.get("host", "localhost")),
                int(parts.get("port", 6379)),
                ssl=ssl.create_default_context() if secure else None,
            )
        return connection

    def _hello(self) -> list[bytes]:
        found: list[bytes] = []
        if password := self._parts.get("password"):
            user = self._parts.get("username")
            login = [str(each) for each in (user, password) if each]
            found.append(command("AUTH", *login))
        if database := self._parts.get("db"):
            found.append(command("SELECT", int(database)))
        return [*found, command("PING")]
