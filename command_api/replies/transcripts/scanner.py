"""Reads the events of a transcript as they pass (`replies/scanning`).

OpenAI's, "Create transcription": `transcript.text.delta` with a piece of the text,
`transcript.text.segment` with one of a speaker, `transcript.text.done` with all of the text and the
usage. Each is passed on as it came, but for the last, which is kept back until the charge is
durable, and tells it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from command_api.replies.scanners.media import StreamOfEvents
from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk
from command_api.replies.shapes import UNREADABLE
from command_api.replies.sse import LINE_BYTES_MAX
from domain.pricing.money import usd_number
from domain.pricing.usage import TextCount
from edge.body import decode_members
from providers.inference.adapters.lines import WholeLines

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.replies.scanning import Paid
    from domain.pricing.usage import Usage

DELTA, SEGMENT = "transcript.text.delta", "transcript.text.segment"
DONE = "transcript.text.done"
COUNT_FACTOR_MAX = 4
COUNT_TOKENS_SPARE = 64
"""Our own count of a text is at most so many times the provider's, and this."""
BYTES_A_TOKEN_MAX = 2_048
"""What a token may take in events: its text, its bytes and what else was likely, in JSON."""
BYTES_SPARE = 256 * 1024
_encode = msgspec.json.encode


class _Event(msgspec.Struct):
    type: Any = None
    delta: Any = None
    text: Any = None
    usage: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class TranscriptScanner(StreamOfEvents):
    """A scanner of a transcript."""

    TOO_MANY = "more events than can be of so much audio"
    ENDED_EARLY = "a stream that ended before it was done"

    def __init__(self, tokens_max: int, read: Callable[[msgspec.Raw], Usage | None]) -> None:
        """`tokens_max` is the most that can be said; `read` reads a report of usage."""
        self._tokens_max, self._read = tokens_max, read
        self._bytes_left = tokens_max * BYTES_A_TOKEN_MAX + BYTES_SPARE
        self._lines = WholeLines(LINE_BYTES_MAX)
        self._pieces, self._segments = TextCount(), TextCount()
        self._pending, self._last = b"", b""
        self.started = self.finished = self.done = False
        self.usage: Usage | None = None

    def take_pending(self) -> bytes:
        """Events that came before any text."""
        pending, self._pending = self._pending, b""
        return pending

    @property
    def output_tokens(self) -> int:
        """Our own count of the text so far, never above what can be said."""
        return min(self._said, self._tokens_max)

    @property
    def _said(self) -> int:
        """Segments may tell again what pieces told."""
        return max(self._pieces.tokens, self._segments.tokens)

    def ending(self, paid: Paid) -> bytes:
        """The last event, with what was used and what it costs."""
        if not self._last:
            return b""
        usage, nano_usd = paid()
        members = decode_members(self._last)
        report = members.get("usage", msgspec.Raw(b"null"))
        told = usage.source == "provider" and bytes(report).startswith(b"{")
        found = decode_members(report) if told else _counted(usage)
        found["cost"] = msgspec.Raw(usd_number(nano_usd).encode())
        members["usage"] = msgspec.Raw(_encode(found))
        return b"data: %b\n\n" % _encode(members)

    def _passed(self, block: bytes) -> bytes:
        """What of whole lines may be passed on: nothing before the first text."""
        before = self.started
        try:
            out = self._events_of(block)
        except (BrokenStreamError, StreamErrorChunk) as error:
            error.passed = self._since(before, error.passed)
            raise
        return self._since(before, out)

    def _since(self, before: bool, out: bytes) -> bytes:  # noqa: FBT001 - what `started` was.
        if before:
            return out
        self._pending += out
        return self.take_pending() if self.started else b""

    def _event(self, payload: bytes) -> bytes:
        """One event; those that nobody knows are passed over."""
        if payload == b"[DONE]":
            return b""
        try:
            event = _decode(payload)
        except UNREADABLE as error:
            message = f"an event of the stream is not valid: {error}"
            raise BrokenStreamError(message) from None
        if event.error is not None or event.type == "error":
            raise StreamErrorChunk(event.error or msgspec.json.decode(payload), b"")
        if event.type == DONE:
            self._ended(event, payload)
            return b""
        if event.type not in (DELTA, SEGMENT):
            return b""
        text = event.delta if event.type == DELTA else event.text
        self._hear(text, self._pieces if event.type == DELTA else self._segments)
        return b"data: %b\n\n" % payload

    def _hear(self, text: Any, count: TextCount) -> None:
        if not isinstance(text, str):
            message = "a piece of a transcript that is no text"
            raise BrokenStreamError(message)
        count.add(text)
        if self._said > self._tokens_max * COUNT_FACTOR_MAX + COUNT_TOKENS_SPARE:
            message = "more text than can be said in so much audio"
            raise BrokenStreamError(message)
        self.started = self.started or bool(text)

    def _ended(self, event: _Event, payload: bytes) -> None:
        whole = TextCount()
        self._hear(event.text, whole)
        if whole.tokens > self._said:
            self._pieces = whole
            self._hear("", whole)
        self.finished = self.done = True
        self._last, self.usage = payload, self._read(event.usage)


def _counted(usage: Usage) -> dict[str, msgspec.Raw]:
    """A report in OpenAI's form of what we counted."""
    if usage.audio_seconds:
        return {"type": msgspec.Raw(b'"duration"'), "seconds": _number(usage.audio_seconds)}
    return {
        "type": msgspec.Raw(b'"tokens"'),
        "input_tokens": _number(usage.input_tokens),
        "output_tokens": _number(usage.output_tokens),
        "total_tokens": _number(usage.input_tokens + usage.output_tokens),
    }


def _number(value: int) -> msgspec.Raw:
    return msgspec.Raw(b"%d" % value)
