"""One exchange on a connection, as its caller has it: until it is released.

Then the connection goes back to the pool, and to somebody else; whoever kept the reply of an
exchange that is over can do nothing with it, least of all interrupt what is now another's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.inference.port import UpstreamInterruptedError

if TYPE_CHECKING:
    from providers.inference.adapters.http1.connection import HttpConnection


class HttpReply:
    """A reply whose status and headers have arrived."""

    __slots__ = ("_connection", "headers", "status")

    def __init__(self, connection: HttpConnection) -> None:
        """The connection is the caller's until `release`."""
        self._connection: HttpConnection | None = connection
        self.status, self.headers = connection.status, connection.headers

    @property
    def report(self) -> None:
        """The body says it all."""

    async def whole(self) -> bytes:
        """The complete body; raises UpstreamError."""
        return await self._mine().whole()

    async def piece(self) -> bytes:
        """The next bytes, or b"" at the end; raises UpstreamError."""
        return await self._mine().piece()

    def interrupt(self) -> None:
        """Give the attempt up and close its connection, unless it is another's by now."""
        if self._connection is not None:
            self._connection.interrupt()

    def release(self) -> None:
        """Return the connection, once: to the pool if it can be reused."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()

    def _mine(self) -> HttpConnection:
        if self._connection is None:
            message = "the reply was released"
            raise UpstreamInterruptedError(message)
        return self._connection
