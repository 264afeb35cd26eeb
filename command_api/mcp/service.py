"""One process's server of the protocol: loaded when it is first asked, and bounded."""

from __future__ import annotations

import asyncio
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from command_api.mcp.calling import ToolCall
from command_api.mcp.metrics import ToolCounts
from edge.asgi import EVENT_STREAM, JSON, header_of
from edge.errors import PERMISSION, ApiError, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from command_api.mcp.asking import Endpoint
    from edge.asgi import Header, Message, Scope

UNDER_WAY_MAX = 64
"""Most messages that a process serves at once."""
EVENTS_TYPE = b"text/event-stream"


class Reply(NamedTuple):
    """What is answered."""

    status: int
    body: bytes
    content_type: bytes | None


class McpService:
    """Answers messages; one for each process."""

    def __init__(self, origins: Iterable[str], public_url: str | None) -> None:
        """`origins` are those of pages that may call; the public URL's own is among them."""
        self.counts = ToolCounts()
        self._origins = {each.encode() for each in origins}
        if public_url:
            parts = urlsplit(public_url)
            self._origins.add(f"{parts.scheme}://{parts.netloc}".encode())
        self._loading = asyncio.Lock()
        self._protocol: Any = None
        """The library's part, whose type cannot be named before it is loaded."""
        self._under_way = 0

    def check_origin(self, scope: Scope) -> None:
        """Raise ApiError 403 for a page of another origin: it may have bent a name to this address.

        Programs send no Origin. One that equals our own Host proves nothing, for such a page sends
        that as well (Streamable HTTP, "Security & Endpoint").
        """
        given = [value for name, value in scope["headers"] if name == b"origin"]
        if b"*" in self._origins or all(each in self._origins for each in given):
            return
        message = (
            "Pages of this origin may not call /mcp: the operator names those that may in "
            "GATEWAYZ_CORS_ORIGINS."
        )
        raise ApiError(403, "origin_not_allowed", message, kind=PERMISSION)

    async def answer(self, endpoint: Endpoint, scope: Scope, message: bytes) -> Reply:
        """What one message is answered, as the caller accepts it; raises ApiError 406 and 503."""
        as_events = _wants_events(header_of(scope, b"accept"))
        if self._under_way >= UNDER_WAY_MAX:
            raise unavailable("mcp_busy", "Too many messages are served at this moment: try again.")
        self._under_way += 1
        try:
            await self._load()
            call = ToolCall(endpoint, scope, self.counts)
            status, content_type, body = await self._served(scope, message, call)
        finally:
            self._under_way -= 1
        if not body:
            return Reply(status, b"", None)
        body = call.filled(body)
        if as_events:
            return Reply(status, b"event: message\ndata: %b\n\n" % body, EVENT_STREAM)
        return Reply(status, body, content_type)

    async def _load(self) -> None:
        async with self._loading:
            if self._protocol is None:
                # Beside the event loop: it takes a second, and calls go on meanwhile.
                module = await asyncio.to_thread(import_module, "command_api.mcp.protocol")
                protocol = module.Protocol(version("gatewayz"))
                await protocol.start()
                self._protocol = protocol

    async def _served(
        self, scope: Scope, message: bytes, call: ToolCall
    ) -> tuple[int, bytes | None, bytes]:
        """Status, content type and body of what the library answers."""
        sent, parts = False, list[bytes]()
        status, content_type = 0, None
        asked: Scope = {**scope, "headers": _headers(scope["headers"], len(message))}

        async def receive() -> Message:
            nonlocal sent
            if sent:  # The whole came before; whoever waits for the end is ended with the answer.
                await asyncio.Event().wait()
            sent = True
            return {"type": "http.request", "body": message, "more_body": False}

        async def send(given: Message) -> None:
            nonlocal status, content_type
            if given["type"] == "http.response.start":
                status = given["status"]
                content_type = dict(given["headers"]).get(b"content-type")
            else:
                parts.append(given.get("body", b""))

        await self._protocol.serve(asked, receive, send, call)
        return status, content_type, b"".join(parts)

    async def stop(self) -> None:
        """Serve nothing more."""
        async with self._loading:
            if self._protocol is not None:
                await self._protocol.stop()
                self._protocol = None


def _wants_events(accept: bytes) -> bool:
    """Whether the caller takes an event stream alone; raises ApiError 406 where it takes neither.

    Clients name both (Streamable HTTP, "Sending Messages"); JSON is what they then get.
    """
    kinds = {each.partition(b";")[0].strip().lower() for each in accept.split(b",")}
    if not accept or kinds & {JSON, b"*/*", b"application/*"}:
        return False
    if kinds & {EVENTS_TYPE, b"text/*"}:
        return True
    message = "Accept must name application/json or text/event-stream, and should name both."
    raise ApiError(406, "not_acceptable", message)


def _headers(given: list[Header], length: int) -> list[Header]:
    """As the library wants them: both kinds accepted, and the length of what it is given."""
    kept = [each for each in given if each[0] not in {b"accept", b"content-length"}]
    return [*kept, (b"accept", JSON + b", " + EVENTS_TYPE), (b"content-length", b"%d" % length)]
