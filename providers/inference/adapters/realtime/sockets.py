"""One WebSocket to a provider for each session (RFC 6455), through the `websockets` library."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

from websockets.asyncio.client import connect
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)

from providers.inference.port import (
    RealtimeRefusal,
    UpstreamBrokenError,
    UpstreamConnectError,
    UpstreamTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from websockets.asyncio.client import ClientConnection

    from providers.inference.port import RealtimeLimits

FRAMES_WAITING_MAX = 8
"""Frames that wait to be read; of more the provider is not read."""
WRITE_BYTES_MAX = 64 * 1024
"""Bytes that wait to be written before a writer waits."""
PING_S = 20.0
"""Time between pings, and for the answer to one."""
CLOSE_S = 2.0
SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class _Connect(connect):
    """The library's, which goes nowhere but to the operator's own address."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Whatever answers with another address is refused as it stands."""
        return exc


class Socket:
    """A session's connection; keeps the port's promises."""

    def __init__(self, connection: ClientConnection) -> None:
        """The handshake is done."""
        self._connection = connection

    async def send(self, text: str) -> None:
        """Send one frame of text, once there is room; raises UpstreamBrokenError."""
        try:
            await self._connection.send(text)
        except ConnectionClosed as closed:
            raise _broken(closed) from None

    async def receive(self) -> str | None:
        """The next frame; None at a clean end. Raises UpstreamBrokenError."""
        try:
            message = await self._connection.recv()
        except ConnectionClosedOK:
            return None
        except ConnectionClosed as closed:
            raise _broken(closed) from None
        if isinstance(message, str):
            return message
        reason = "a binary frame"
        raise UpstreamBrokenError(reason)

    async def close(self) -> None:
        """Say good-bye, within a time."""
        with suppress(WebSocketException, OSError):
            await self._connection.close()

    def abort(self) -> None:
        """End at once."""
        self._connection.transport.abort()


class Sockets:
    """The way to one provider's sessions."""

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        """The base URL ends before `/realtime`; the headers carry the key."""
        parts = urlsplit(base_url)
        self._url = urlunsplit(
            (SCHEMES.get(parts.scheme, "wss"), parts.netloc, parts.path + "/realtime", "", "")
        )
        self._headers = {name: value for name, value in headers.items() if name != "content-type"}

    async def open(self, model: str, limits: RealtimeLimits) -> Socket | RealtimeRefusal:
        """Open a session; raises UpstreamConnectError or UpstreamTimeoutError."""
        opening = _Connect(
            f"{self._url}?model={quote(model, safe='')}",
            additional_headers=self._headers,
            user_agent_header=None,
            compression=None,
            proxy=None,
            open_timeout=limits.connect_s,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            close_timeout=CLOSE_S,
            max_size=limits.frame_bytes_max,
            max_queue=FRAMES_WAITING_MAX,
            write_limit=WRITE_BYTES_MAX,
        )
        try:
            return Socket(await opening)
        except InvalidStatus as refused:
            answer = refused.response
            headers = {
                name.lower().encode(): value.encode("latin-1", "replace")
                for name, value in answer.headers.raw_items()
            }
            return RealtimeRefusal(answer.status_code, headers, bytes(answer.body or b""))
        except TimeoutError:
            reason = "no session in time"
            raise UpstreamTimeoutError(reason) from None
        except InvalidHandshake:
            reason = "no WebSocket"
            raise UpstreamBrokenError(reason) from None
        except (OSError, WebSocketException) as error:
            raise UpstreamConnectError(type(error).__name__) from None


def _broken(closed: ConnectionClosed) -> UpstreamBrokenError:
    """What is said of an end: its code, never the provider's words."""
    code = closed.rcvd.code if closed.rcvd is not None else None
    return UpstreamBrokenError(f"the session ended with code {code}")
