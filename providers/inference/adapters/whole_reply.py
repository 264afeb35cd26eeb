"""A whole answer, where a stream of events was asked for.

A model that does not stream is told to all the same, and answers whole: it is paid, so its answer
is told as events.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from providers.inference.port import UpstreamReply

EVENTS = b"text/event-stream"
JSON = b"application/json"
_encode = msgspec.json.encode


class WholeReply(ABC):
    """A reply as events."""

    report = None

    def __init__(self, reply: UpstreamReply) -> None:
        """Nothing of it was read yet."""
        self._reply, self._read = reply, False
        self.status, self.headers = reply.status, {**reply.headers, b"content-type": EVENTS}

    async def whole(self) -> bytes:
        """The body as it came; raises UpstreamError."""
        return await self._reply.whole()

    async def piece(self) -> bytes:
        """All events at once, then the end; raises UpstreamError."""
        if self._read:
            return b""
        raw = await self._reply.whole()
        self._read = True
        told = self._events(raw, kind_of(self._reply))
        return b"".join(b"data: %b\n\n" % _encode(each) for each in told)

    def interrupt(self) -> None:
        """Give the attempt up."""
        self._reply.interrupt()

    def release(self) -> None:
        """Done with the reply."""
        self._reply.release()

    @abstractmethod
    def _events(self, raw: bytes, kind: bytes, /) -> list[dict[str, Any]]:
        """The events that a body of a media type stands for; raises UpstreamBrokenError."""


def kind_of(reply: UpstreamReply) -> bytes:
    """The media type of a reply, without its parameters."""
    return reply.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
