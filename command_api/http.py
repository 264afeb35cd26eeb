"""The few lines of ASGI that the hot path needs, below any framework."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from command_api.body import too_large
from command_api.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

Header = tuple[bytes, bytes]

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"
REQUEST_ID_MAX = 128
REFERERS = frozenset({b"referer", b"http-referer"})
APP_CHARACTERS_MAX = 100


class ClientGoneError(Exception):
    """The client hung up before its request was complete."""


async def read_body(
    declared: bytes, receive: Receive, *, bytes_max: int, timeout_s: float
) -> bytes:
    """The whole body, of `declared` content length; raises ApiError 413 or 408, ClientGoneError."""
    if declared.isdigit() and int(declared) > bytes_max:
        raise too_large(bytes_max)
    limit = BodyLimit(timeout_s)
    try:
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            return bytes(message.get("body", b""))
        parts, size = list[bytes](), 0
        while message["type"] == "http.request":
            parts.append(message["body"])
            size += len(message["body"])
            if size > bytes_max:
                raise too_large(bytes_max)
            if not message.get("more_body", False):
                return b"".join(parts)
            message = await receive()
    except asyncio.CancelledError:
        if not limit.passed:
            raise
        limit.task.uncancel()
        raise _too_slow(timeout_s) from None
    finally:
        limit.timer.cancel()
    raise ClientGoneError


class BodyLimit:
    """Cancels the task that reads a body when its time is over.

    What asyncio.timeout does, without its bookkeeping: this runs once for every call, and nearly
    every body is there before it is asked for.
    """

    __slots__ = ("passed", "task", "timer")

    def __init__(self, timeout_s: float) -> None:
        """Start the clock."""
        self.passed = False
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None
        self.task = task
        self.timer = loop.call_later(timeout_s, self._over)

    def _over(self) -> None:
        self.passed = True
        self.task.cancel()


def _too_slow(timeout_s: float) -> ApiError:
    text = f"The body did not arrive within {timeout_s:g} s. Nothing was charged: send it again."
    return ApiError(408, "request_timeout", text, headers={"connection": "close"})


class Headers:
    """The request headers that the hot path asks for, found in one pass."""

    __slots__ = (
        *("authorization", "content_length", "idempotency_key", "referer", "request_id"),
        "title",
    )

    def __init__(self, scope: Scope) -> None:
        """Absent ones are b""."""
        self.authorization = self.content_length = self.idempotency_key = self.request_id = b""
        self.referer = self.title = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                self.authorization = value
            elif name == b"content-length":
                self.content_length = value
            elif name == b"idempotency-key":
                self.idempotency_key = value
            elif name == b"x-request-id":
                self.request_id = value
            elif name in REFERERS:
                self.referer = value
            elif name == b"x-title":
                self.title = value


def header_of(scope: Scope, name: bytes) -> bytes:
    """A request header's value, or b""."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


def request_id_of(given: bytes, fallback: str) -> str:
    """The caller's x-request-id when it is short printable ASCII, else `fallback`."""
    if given and len(given) <= REQUEST_ID_MAX and given.isascii():
        text = given.decode("ascii")
        if text.isprintable():
            return text
    return fallback


def app_of(referer: bytes, title: bytes) -> str:
    """The app that calls, as OpenRouter's clients name it; empty when they do not.

    The origin of `HTTP-Referer` (or `Referer`), never its path, else the text of `X-Title`.
    """
    if not (referer or title):
        return ""
    try:
        parts = urlsplit(referer.decode("ascii"))
        if parts.scheme in ("http", "https") and parts.hostname:
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:APP_CHARACTERS_MAX]
    except ValueError:
        pass
    text = title.decode("utf-8", "replace").strip()[:APP_CHARACTERS_MAX]
    return text if text.isprintable() else ""


async def send_whole(
    send: Send, status: int, body: bytes, headers: list[Header], content_type: bytes = JSON
) -> None:
    """Answer with one body."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type),
                (b"content-length", b"%d" % len(body)),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: ApiError, headers: list[Header]) -> None:
    """Answer with OpenAI's envelope."""
    extra = [(name.encode(), value.encode("latin-1")) for name, value in error.headers.items()]
    await send_whole(send, error.status, error.openai(), [*headers, *extra])
