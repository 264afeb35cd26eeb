"""The caller's side of a session: one ASGI WebSocket, bounded in time (ASGI, "WebSocket")."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from event_store.ids import new_uuid7_text

if TYPE_CHECKING:
    from edge.asgi import Header, Receive, Scope, Send
    from edge.errors import ApiError

REALTIME = "realtime"
KEY = "openai-insecure-api-key."
"""How browsers, which cannot set headers, carry a key (OpenAI's clients)."""
REASON_BYTES_MAX = 120
"""A close frame has room for 123 (RFC 6455, 5.5.1)."""
HTTP_RESPONSE = "websocket.http.response"
_encode = msgspec.json.encode


class ClientGoneError(Exception):
    """The caller has closed the session, or its connection is lost."""


class SlowReaderError(Exception):
    """The caller does not read."""


class BinaryFrameError(Exception):
    """The caller sent what is no text."""


def authorization_of(scope: Scope) -> bytes:
    """The caller's key as the header has it, or as a subprotocol does."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            return bytes(value)
    for each in scope.get("subprotocols") or ():
        if each.startswith(KEY):
            key: str = each.removeprefix(KEY)
            return b"Bearer " + key.encode("latin-1", "replace")
    return b""


class ClientSocket:
    """One caller's socket."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, reader_s: float) -> None:
        """`reader_s` is how long a caller may read nothing, seconds."""
        self._receive, self._send, self._reader_s = receive, send, reader_s
        self._offered = scope.get("subprotocols") or ()
        self._answers = HTTP_RESPONSE in (scope.get("extensions") or {})
        self.accepted = self.gone = False

    async def asked(self) -> None:
        """The handshake's first message; raises ClientGoneError."""
        message = await self._receive()
        if message["type"] != "websocket.connect":
            self.gone = True
            raise ClientGoneError

    async def accept(self, headers: list[Header]) -> None:
        """The session begins."""
        chosen = REALTIME if REALTIME in self._offered else None
        await self._say({"type": "websocket.accept", "subprotocol": chosen, "headers": headers})
        self.accepted = True

    async def refuse(self, error: ApiError, headers: list[Header]) -> None:
        """No session: an HTTP answer where the server can, else an event and a close."""
        if self.gone:
            return
        body = error.openai()
        more = [(name.encode(), value.encode("latin-1")) for name, value in error.headers.items()]
        try:
            if self._answers:
                told = [(b"content-type", b"application/json"), *headers, *more]
                kind = f"{HTTP_RESPONSE}.start"
                await self._say({"type": kind, "status": error.status, "headers": told})
                await self._say({"type": f"{HTTP_RESPONSE}.body", "body": body})
            else:
                await self.accept(headers)
                await self.tell(error)
                await self.close(1008, error.code)
        except (ClientGoneError, SlowReaderError):
            self.gone = True

    async def receive(self) -> str:
        """The next frame; raises ClientGoneError or BinaryFrameError."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self.gone = True
            raise ClientGoneError
        text: str | None = message.get("text")
        if text is None:
            raise BinaryFrameError
        return text

    async def send(self, text: str) -> None:
        """Send a frame, once there is room; raises ClientGoneError or SlowReaderError."""
        await self._say({"type": "websocket.send", "text": text})

    async def tell(self, error: ApiError, event_id: str | None = None) -> None:
        """Send an error as an event; raises as `send`."""
        told = {
            "type": error.kind,
            "code": error.code,
            "message": error.message,
            "param": error.param,
            "event_id": event_id,
            **error.extra,
        }
        event = {"type": "error", "event_id": f"event_{new_uuid7_text()}", "error": told}
        await self.send(_encode(event).decode())

    async def close(self, code: int, reason: str) -> None:
        """Say good-bye; who has gone is told nothing."""
        if self.gone:
            return
        words = reason.encode()[:REASON_BYTES_MAX].decode("utf-8", "ignore")
        with suppress(ClientGoneError, SlowReaderError):
            await self._say({"type": "websocket.close", "code": code, "reason": words})
        self.gone = True

    async def _say(self, message: dict[str, object]) -> None:
        try:
            async with asyncio.timeout(self._reader_s):
                await self._send(message)
        except TimeoutError:
            raise SlowReaderError from None
        except (OSError, RuntimeError):
            # uvicorn's word for a client that has left, or a socket that is closed already.
            self.gone = True
            raise ClientGoneError from None
