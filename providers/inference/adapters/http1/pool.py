"""Which connections there are, of one client and of all: those that nobody needs are closed."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from providers.inference.port import UpstreamBusyError, UpstreamConnectError

if TYPE_CHECKING:
    from providers.inference.adapters.http1.connection import HttpConnection
    from providers.inference.adapters.http1.limits import ClientLimits

WAITING_MAX = 10_000
"""Most requests of one client that wait for a connection."""


class Closed(StrEnum):
    """Why a connection was closed."""

    IDLE = "idle"
    """Nobody needed it for too long, or there were enough idle ones."""
    ROOM = "room"
    """It was idle, and another provider's connection found no room."""
    PROVIDER = "provider"
    """The provider closed it, or said that it would."""
    INTERRUPTED = "interrupted"
    """A call was given up in the middle of its reply."""
    FAILED = "failed"
    """A reply was late, broken or too large."""
    STOPPED = "stopped"
    """The process ends."""


class ConnectionRoom:
    """What the clients of a process may have open together, as each connection is a file.

    A call is never refused for want of room: an idle connection, of whichever client, makes it.
    """

    def __init__(self, most: int = sys.maxsize) -> None:
        """There is room for `most` connections."""
        self.most = most
        self.clients: list[Connections] = []
        self.connecting = 0
        """Connections that are being made, and are none yet."""

    def make(self) -> bool:
        """Close the connection that has been idle for longest if another one finds no room."""
        if self.connecting + sum(len(each.open) for each in self.clients) <= self.most:
            return False
        idle = [each for each in self.clients if each.oldest() is not None]
        if not idle:
            return False
        idle.sort(key=lambda each: each.idle[0].idle_since)
        idle[0].idle.pop(0).close(Closed.ROOM)
        return True


@dataclass(slots=True)
class Connections:
    """What the connections of one client share."""

    limits: ClientLimits
    idle: list[HttpConnection] = field(default_factory=list)
    """In the order in which they became so."""
    open: set[HttpConnection] = field(default_factory=set)
    """Every connection there is, idle or not."""
    making: int = 0
    """Connections that are being made, and places for those that will be."""
    opened: int = 0
    waited: int = 0
    """Requests that waited for a connection."""
    refused: int = 0
    """Requests that waited in vain."""
    closed: Counter[Closed] = field(default_factory=Counter)
    waiting: deque[asyncio.Future[HttpConnection | None]] = field(default_factory=deque)
    """Requests that wait now; None is a place for a connection that is still to be made."""
    _timer: asyncio.TimerHandle | None = None
    """One for all idle ones, while there are any."""

    @property
    def in_use(self) -> int:
        """Connections on which a reply is awaited or read."""
        return len(self.open) - self.idle_now

    @property
    def idle_now(self) -> int:
        """Connections that are idle, and still open."""
        return sum(not each.closed for each in self.idle)

    def take(self) -> bool:
        """A place for a new connection, where there is one and nobody waits for it."""
        full = len(self.open) + self.making >= self.limits.connections_max
        if full or self.waiting:
            return False
        self.making += 1
        return True

    def give_back(self) -> None:
        """A place was used, or is not needed: whoever waits may have what is free now."""
        self.making -= 1
        self.call_next()

    def call_next(self) -> None:
        """Let those make connections for whom there are places now."""
        while self.waiting and len(self.open) + self.making < self.limits.connections_max:
            one = self.waiting.popleft()
            if not one.done():
                self.making += 1
                one.set_result(None)

    async def wait(self, loop: asyncio.AbstractEventLoop) -> HttpConnection | None:
        """A connection that became idle, or None for a place. Raises UpstreamBusyError."""
        if len(self.waiting) >= WAITING_MAX:
            self.refused += 1
            raise UpstreamBusyError("too many requests wait for a connection")
        self.waited += 1
        one: asyncio.Future[HttpConnection | None] = loop.create_future()
        self.waiting.append(one)
        try:
            async with asyncio.timeout(self.limits.wait_s):
                return await one
        except TimeoutError:
            self._not_wanted(one, loop)
            self.refused += 1
            raise UpstreamBusyError("no connection was free in time") from None
        except asyncio.CancelledError:
            self._not_wanted(one, loop)
            raise

    def _not_wanted(
        self, one: asyncio.Future[HttpConnection | None], loop: asyncio.AbstractEventLoop
    ) -> None:
        """What came for one who waits no more is another's."""
        if one in self.waiting:
            self.waiting.remove(one)
        if not one.done() or one.cancelled() or one.exception() is not None:
            return
        came = one.result()
        if came is None:
            self.give_back()
        elif not came.closed and not self.keep(came, loop):
            came.close(Closed.IDLE)

    def keep(self, connection: HttpConnection, loop: asyncio.AbstractEventLoop) -> bool:
        """Take one that is idle now; False where there are enough."""
        while self.waiting:
            one = self.waiting.popleft()
            if not one.done():
                one.set_result(connection)
                return True
        if len(self.idle) >= self.limits.idle_max:
            return False
        connection.idle_since = loop.time()
        self.idle.append(connection)
        if self._timer is None:
            self._timer = loop.call_later(self.limits.idle_connection_s, self._close_old, loop)
        return True

    def lost(self, connection: HttpConnection, why: Closed) -> None:
        """It is closed: there is room for another one."""
        if connection in self.open:
            self.open.remove(connection)
            self.closed[why] += 1
            self.call_next()

    def oldest(self) -> HttpConnection | None:
        """The one that has been idle for longest and is still open."""
        while self.idle and self.idle[0].closed:
            self.idle.pop(0)
        return self.idle[0] if self.idle else None

    def stop(self) -> None:
        """No connection is kept any more."""
        self.idle.clear()
        for one in self.waiting:
            if not one.done():
                one.set_exception(UpstreamConnectError("the gateway stops"))
        self.waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_old(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        life_s = self.limits.idle_connection_s
        oldest = loop.time() - life_s
        old = [each for each in self.idle if each.idle_since <= oldest]
        del self.idle[: len(old)]
        for each in old:
            if not each.closed:
                each.close(Closed.IDLE)
        if self.idle:
            due = self.idle[0].idle_since + life_s
            self._timer = loop.call_at(due, self._close_old, loop)
