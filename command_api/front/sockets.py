"""WebSockets of this server: which requests for one are taken, and how they end.

A request is taken on the paths that have sockets, with a handshake that is whole (RFC 6455, 4.2.1).
Every other that offers an upgrade is read as one that does not.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from edge.asgi import Header

PATHS = frozenset({b"/v1/realtime"})
CLOSE_S = 5.0
"""Time for a client to answer that the session is over."""
ABORT_S = 8.0
"""After that nothing is kept of it, also what it did not read."""
REFUSED = "websocket.http.response.body"
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_quiet = logging.getLogger("gatewayz.sockets")
_quiet.setLevel(logging.WARNING)


def is_taken(url: bytes, method: bytes | None, headers: Iterable[Header]) -> bool:
    """Whether a request opens a socket here."""
    given = {name: value.strip() for name, value in headers}
    connection = [each.strip().lower() for each in given.get(b"connection", b"").split(b",")]
    return (
        method == b"GET"
        and url.isascii()
        and url.partition(b"?")[0] in PATHS
        and b"upgrade" in connection
        and given.get(b"upgrade", b"").lower() == b"websocket"
        and given.get(b"sec-websocket-version") == b"13"
        and _KEY.fullmatch(given.get(b"sec-websocket-key", b"")) is not None
    )


class FrontSocket(WebSocketsSansIOProtocol):
    """uvicorn's, which writes no address down, and ends for good."""

    answering = True
    """As a connection it is never idle."""
    idle_since = 0.0

    def __init__(self, **named: Any) -> None:
        """As uvicorn makes it; its lines would tell the whole address of each session."""
        super().__init__(**named)
        self.logger = _quiet
        self.close_timeout = CLOSE_S

    def shutdown(self) -> None:
        """The server stops: a session has the grace of every call, and says good-bye itself."""

    async def send(self, message: Any) -> None:
        """A refusal in HTTP completes the handshake: uvicorn would tell the log of a defect."""
        await super().send(message)
        if message["type"] == REFUSED and not message.get("more_body"):
            self.handshake_complete = True

    async def run_asgi(self) -> None:
        """Serve the session; whatever is not read some seconds after its end is dropped."""
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(ABORT_S, self.transport.abort)


def hand_over(front: Any, method: bytes, rest: bytes) -> None:
    """Give a connection to a socket of its own, with the head that was read."""
    front.let_go_timers()
    front.connections.discard(front)
    lines = [b"%b %b HTTP/1.1" % (method, front.url)]
    lines += [b"%b: %b" % each for each in front.headers]
    socket = FrontSocket(
        config=front.config, server_state=front.server_state, app_state=front.app_state
    )
    transport: asyncio.Transport = front.transport
    socket.connection_made(transport)
    transport.set_protocol(socket)
    socket.data_received(b"\r\n".join([*lines, b"", rest]))
