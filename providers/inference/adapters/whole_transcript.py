"""A whole transcript, where a stream of its events was asked for.

A model that does not stream is told to all the same, and answers whole (OpenAI, "Create
transcription", on `whisper-1`): then the answer is told as its last event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from providers.inference.port import UpstreamBrokenError

if TYPE_CHECKING:
    from providers.inference.port import UpstreamReply

EVENTS = b"text/event-stream"
JSON = b"application/json"
SEGMENT, DONE = "transcript.text.segment", "transcript.text.done"
_encode = msgspec.json.encode


class WholeTranscript:
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
        kind = self._kind()
        return b"".join(b"data: %b\n\n" % _encode(each) for each in _events(raw, kind))

    def interrupt(self) -> None:
        """Give the attempt up."""
        self._reply.interrupt()

    def release(self) -> None:
        """Done with the reply."""
        self._reply.release()

    def _kind(self) -> bytes:
        return kind_of(self._reply)


def kind_of(reply: UpstreamReply) -> bytes:
    """The media type of a reply, without its parameters."""
    return reply.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()


def _events(raw: bytes, kind: bytes) -> list[dict[str, Any]]:
    """The events that a whole transcript stands for; raises UpstreamBrokenError for none."""
    try:
        body = msgspec.json.decode(raw) if kind == JSON else {"text": raw.decode()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = None
    if not isinstance(body, dict):
        message = "what is no transcript"
        raise UpstreamBrokenError(message)
    if body.get("error") is not None:
        return [{"error": body["error"]}]
    if "text" not in body:
        message = "no transcript"
        raise UpstreamBrokenError(message)
    listed = body.get("segments")
    told = [each for each in listed if _is_segment(each)] if isinstance(listed, list) else []
    done = {"type": DONE, "text": body["text"]}
    if body.get("usage") is not None:
        done["usage"] = body["usage"]
    elif body.get("duration") is not None:
        done["usage"] = {"type": "duration", "seconds": body["duration"]}
    return [*told, done]


def _is_segment(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == SEGMENT
