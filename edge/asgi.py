"""The few lines of ASGI that the hot path needs, below any framework."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edge.envelopes import OPENAI
from edge.errors import ApiError, too_large

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from edge.envelopes import Envelope

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

Header = tuple[bytes, bytes]

JSON = b"application/json"
NO_STORE: Header = (b"cache-control", b"no-store")
"""On every reply that says something of its caller."""
EVENT_STREAM = b"text/event-stream; charset=utf-8"
REQUEST_ID_MAX = 128
APP_CHARACTERS_MAX = 100
TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
CALL = "gatewayz.call"
"""Where a scope has the call that was made of its request, for who looks afterwards."""
WHOLE_BODY = "gatewayz.body"
"""Where a scope has the body, when all of it came before the request was handed on."""
REQUEST_ID = "gatewayz.request_id"
"""Where the scope of a framework's request has its id."""
LET_GO = "gatewayz.let_go"
"""Where a scope has what to call once nobody keeps a large body any more."""


class ClientGoneError(Exception):
    """The client hung up before its request was complete."""


async def read_body(
    scope: Scope, declared: bytes, receive: Receive, *, bytes_max: int, timeout_s: float
) -> bytes:
    """The whole body, of `declared` content length; raises ApiError 413 or 408, ClientGoneError.

    It is the caller's alone: a scope that had it has it no longer.
    """
    if declared.isdigit() and int(declared) > bytes_max:
        raise too_large(bytes_max)
    whole: bytes | None = scope.pop(WHOLE_BODY, None)
    if whole is not None:
        if len(whole) > bytes_max:
            raise too_large(bytes_max)
        return whole
    parts, size = list[bytes](), 0
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise ClientGoneError
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if size > bytes_max:
                    raise too_large(bytes_max)
                if not message.get("more_body", False):
                    return b"".join(parts)
    except TimeoutError:
        raise body_too_slow(timeout_s) from None


def body_too_slow(timeout_s: float) -> ApiError:
    """A 408: the body did not come in time."""
    text = f"The body did not arrive within {timeout_s:g} s. Nothing was charged: send it again."
    return ApiError(408, "request_timeout", text, headers={"connection": "close"})


class Headers:
    """The request headers that the hot path asks for."""

    __slots__ = (
        *("authorization", "cache", "cache_control", "content_length", "idempotency_key"),
        *("referer", "request_id", "title", "traceparent"),
    )

    def __init__(self, scope: Scope) -> None:
        """Absent ones are b""; Idempotency-Key is None, for an empty one is a mistake."""
        given = dict(scope["headers"]).get
        self.authorization: bytes = given(b"authorization", b"")
        self.content_length: bytes = given(b"content-length", b"")
        self.idempotency_key: bytes | None = given(b"idempotency-key")
        self.request_id: bytes = given(b"x-request-id", b"")
        self.referer: bytes = given(b"http-referer", b"") or given(b"referer", b"")
        self.title: bytes = given(b"x-title", b"")
        self.cache: bytes = given(b"x-gatewayz-cache", b"")
        self.cache_control: bytes = given(b"cache-control", b"")
        trace: bytes = given(b"traceparent", b"")
        self.traceparent = trace_of(trace) if trace else b""

    def take_api_key(self, api_key: bytes) -> None:
        """Take a key that came as `x-api-key`, which counts beside a token that is none of ours.

        Clients of Anthropic's may send both, one of them meant for somebody else.
        """
        if api_key and not _OURS.match(self.authorization):
            self.authorization = b"Bearer " + api_key


_OURS = re.compile(rb"bearer +gw_", re.IGNORECASE)


class ReplyHeaders:
    """What every reply of an inference route says of its call."""

    __slots__ = ("_id_headers", "call_id", "limits_told", "more", "provider", "request_id")

    def __init__(self, id_headers: tuple[bytes, ...] = OPENAI.id_headers) -> None:
        """What is empty is not sent: of an unknown caller nothing is known yet."""
        self._id_headers = id_headers
        self.call_id = self.request_id = self.provider = ""
        self.more: list[Header] = []
        self.limits_told = False
        """Whether `more` says what the caller's rate limits leave."""

    def listed(self) -> list[Header]:
        """As ASGI takes them; nobody keeps what a call was answered."""
        found: list[Header] = [NO_STORE]
        if self.call_id:
            found.append((b"x-gatewayz-call-id", self.call_id.encode()))
        if self.request_id:
            found += [(name, self.request_id.encode()) for name in self._id_headers]
        if self.provider:
            found.append((b"x-gatewayz-provider", self.provider.encode()))
        return found + self.more if self.more else found


def is_json(scope: Scope) -> bool:
    """Whether a request says that its body is JSON."""
    return header_of(scope, b"content-type").partition(b";")[0].strip().lower() == JSON


def header_of(scope: Scope, name: bytes) -> bytes:
    """A request header's value, or b""."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return b""


def accepts_gzip(given: bytes) -> bool:
    """Whether an Accept-Encoding names gzip, or anything, with a weight above nothing."""
    weights: dict[bytes, bool] = {}
    for each in given.lower().split(b","):
        name, _, weight = each.partition(b";")
        number = weight.replace(b" ", b"").removeprefix(b"q=")
        weights[name.strip()] = bool(number.strip(b"0.")) if number else True
    return weights.get(b"gzip", weights.get(b"*", False))


def request_id_of(given: bytes, fallback: str) -> str:
    """The caller's x-request-id when it is short printable ASCII, else `fallback`."""
    if given and len(given) <= REQUEST_ID_MAX and given.isascii():
        text = given.decode("ascii")
        if text.isprintable():
            return text
    return fallback


def trace_of(given: bytes) -> bytes:
    """A `traceparent` as W3C Trace Context has it, with ids that are not zero; else b""."""
    found = TRACEPARENT.fullmatch(given)
    if found is None or found[1] == b"ff" or not all(int(found[part], 16) for part in (2, 3)):
        return b""
    return given


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
    """Answer with one body; who writes it may take it out of the message, and let it go."""
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
    message: Message = {"type": "http.response.body", "body": body}
    del body
    await send(message)


async def send_error(
    send: Send,
    error: ApiError,
    headers: list[Header],
    envelope: Envelope = OPENAI,
    request_id: str = "",
) -> None:
    """Answer with an error in its envelope."""
    extra = [(name.encode(), value.encode("latin-1")) for name, value in error.headers.items()]
    body = envelope.body(error, request_id)
    await send_whole(send, envelope.status(error), body, [*headers, *extra])
