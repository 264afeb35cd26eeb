"""Fal.ai's queue behind the port: images in OpenAI's form.

Source: fal's documentation "Queue API": POST to the queue answers with a request id and the URLs
to ask; GET the status until COMPLETED, then GET the result. A base URL of `https://fal.run`
answers at once with the result, which is accepted as well.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from providers.inference.adapters.translation import JSON_HEADERS, decode_object, encode
from providers.inference.port import (
    Operation,
    UnsupportedError,
    UpstreamBrokenError,
    UpstreamInterruptedError,
    UpstreamTimeoutError,
)

if TYPE_CHECKING:
    from providers.inference.adapters.http1.client import HttpClient
    from providers.inference.adapters.http1.reply import HttpReply

POLL_FIRST_S = 0.25
POLL_MAX_S = 2.0
POLL_GROWTH = 1.5
CANCEL_S = 5.0
OK = 200
ACCEPTED = frozenset({200, 202})
WAITING = frozenset({"IN_QUEUE", "IN_PROGRESS"})
_SIZE = re.compile(r"(\d{2,5})x(\d{2,5})\Z")
DROPPED = frozenset(
    {"model", "n", "size", "response_format", "quality", "style", "user", "background"}
)
"""OpenAI's members that fal does not know, or knows by another name."""


def to_fal(asked: dict[str, Any]) -> dict[str, Any]:
    """An images body as fal's input; what else the caller sent goes along."""
    made = {name: value for name, value in asked.items() if name not in DROPPED}
    made["num_images"] = asked.get("n") or 1
    size = _SIZE.match(str(asked.get("size") or ""))
    if size:
        made["image_size"] = {"width": int(size[1]), "height": int(size[2])}
    elif asked.get("size") not in (None, "auto"):
        made["image_size"] = asked["size"]
    if asked.get("response_format") == "b64_json":
        made["sync_mode"] = True  # The image comes as a data URL.
    return made


def from_fal(body: dict[str, Any], created: int) -> dict[str, Any]:
    """Fal's result as OpenAI's images; raises UpstreamBrokenError for a result without any."""
    found = body.get("images") or ([body["image"]] if body.get("image") else [])
    if not isinstance(found, list):
        found = []
    data: list[dict[str, Any]] = []
    for image in found:
        url = image.get("url") if isinstance(image, dict) else image
        if not isinstance(url, str):
            continue
        size = (
            {name: image.get(name) for name in ("width", "height")}
            if isinstance(image, dict)
            else {}
        )
        head, comma, encoded = url.partition(",")
        if comma and head.startswith("data:"):
            data.append({"b64_json": encoded, **size})
        else:
            data.append({"url": url, **size})
    if not data:
        message = "the result has no image"
        raise UpstreamBrokenError(message)
    return {"created": created, "data": data}


class FalReply:
    """A finished result, or the error that came instead."""

    def __init__(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        """Everything is there already."""
        self.status = status
        kept = {name: headers[name] for name in (b"retry-after",) if name in headers}
        self.headers = {**kept, **JSON_HEADERS}
        self._body = body
        self._interrupted = False

    @property
    def report(self) -> None:
        """The body says it all."""

    async def whole(self) -> bytes:
        """The body."""
        if self._interrupted:
            message = "interrupted"
            raise UpstreamInterruptedError(message)
        return self._body

    async def piece(self) -> bytes:
        """The body, once."""
        body, self._body = await self.whole(), b""
        return body

    def interrupt(self) -> None:
        """Make a later wait raise."""
        self._interrupted = True

    def release(self) -> None:
        """Nothing is held."""


class FalUpstream:
    """Fal's queue over HTTP."""

    def __init__(self, client: HttpClient, *, deadline_s: float) -> None:
        """The client's base URL ends before the model's id."""
        self._client, self._deadline_s = client, deadline_s

    async def send(self, operation: Operation, body: bytes, *, stream: bool = False) -> FalReply:
        """Queue the request, wait for it, and give its result."""
        if operation is not Operation.IMAGES or stream:
            message = f"Fal.ai has no {operation}"
            raise UnsupportedError(message)
        asked = decode_object(body)
        path = "/" + quote(asked["model"].strip("/"), safe="/")
        status, headers, raw = await self._ask("POST", path, encode(to_fal(asked)))
        if status not in ACCEPTED:
            return FalReply(status, headers, raw)
        queued = _result_of(raw)
        if "request_id" in queued and "images" not in queued:
            status, headers, raw = await self._queued(queued)
            if status != OK:
                return FalReply(status, headers, raw)
        made = from_fal(_result_of(raw), int(time.time()))
        return FalReply(OK, headers, encode(made))

    async def close(self) -> None:
        """Close idle connections."""
        await self._client.close()

    async def _queued(self, queued: dict[str, Any]) -> tuple[int, dict[bytes, bytes], bytes]:
        """Wait until the request has left the queue, and fetch its result."""
        until = time.monotonic() + self._deadline_s
        wait_s = POLL_FIRST_S
        try:
            while True:
                status, headers, raw = await self._ask("GET", _path(queued, "status_url"))
                if status not in ACCEPTED:
                    return status, headers, raw
                if _result_of(raw).get("status") not in WAITING:
                    return await self._ask("GET", _path(queued, "response_url"))
                if time.monotonic() + wait_s > until:
                    message = "the request stayed in the queue too long"
                    raise UpstreamTimeoutError(message)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * POLL_GROWTH, POLL_MAX_S)
        except (asyncio.CancelledError, UpstreamTimeoutError):
            await self._cancel(queued)
            raise

    async def _cancel(self, queued: dict[str, Any]) -> None:
        """Take the request out of the queue, if that is still possible."""
        try:
            async with asyncio.timeout(CANCEL_S):
                await self._ask("PUT", _path(queued, "cancel_url"))
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - a courtesy, whatever comes.
            return

    async def _ask(
        self, method: str, path: str, body: bytes = b""
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        reply: HttpReply = await self._client.request(self._client.head(method, path), body)
        try:
            raw = await reply.whole()
        except asyncio.CancelledError:
            reply.interrupt()
            raise
        reply.release()
        return reply.status, reply.headers, raw


def _path(queued: dict[str, Any], name: str) -> str:
    """The path of a URL that fal gave. It is asked for at our own origin only, with our key."""
    url = str(queued.get(name) or "")
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if not parts.path or not url.isascii() or not url.isprintable() or " " in url:
        message = f"the queue's answer has no {name}"
        raise UpstreamBrokenError(message)
    return "/" + parts.path + (f"?{parts.query}" if parts.query else "")


def _result_of(raw: bytes) -> dict[str, Any]:
    try:
        return decode_object(raw)
    except (ValueError, RecursionError):
        message = "the reply is not a JSON object"
        raise UpstreamBrokenError(message) from None
