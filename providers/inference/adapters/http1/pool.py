"""Which connections there are, of one client and of all: those that nobody needs are closed."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from providers.inference.adapters.http1.connection import HttpConnection
    from providers.inference.adapters.http1.limits import ClientLimits

IDLE_CONNECTIONS_MAX = 512
"""Most idle connections of one client."""


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
        idle[0].idle.pop(0).transport.close()
        return True


@dataclass(slots=True)
class Connections:
    """What the connections of one client share."""

    limits: ClientLimits
    idle: list[HttpConnection] = field(default_factory=list)
    """In the order in which they became so."""
    open: set[HttpConnection] = field(default_factory=set)
    """Every connection there is, idle or not."""
    _timer: asyncio.TimerHandle | None = None
    """One for all idle ones, while there are any."""

    def keep(self, connection: HttpConnection, loop: asyncio.AbstractEventLoop) -> bool:
        """Take one that is idle now; False where there are enough."""
        if len(self.idle) >= IDLE_CONNECTIONS_MAX:
            return False
        connection.idle_since = loop.time()
        self.idle.append(connection)
        if self._timer is None:
            self._timer = loop.call_later(self.limits.idle_connection_s, self._close_old, loop)
        return True

    def oldest(self) -> HttpConnection | None:
        """The one that has been idle for longest and is still open."""
        while self.idle and self.idle[0].closed:
            self.idle.pop(0)
        return self.idle[0] if self.idle else None

    def stop(self) -> None:
        """No connection is kept any more."""
        self.idle.clear()
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
                each.transport.close()
        if self.idle:
            due = self.idle[0].idle_since + life_s
            self._timer = loop.call_at(due, self._close_old, loop)
