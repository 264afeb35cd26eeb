"""Reads audio that is made of a text as it passes (`replies/scanning`).

A provider sends the plain bytes, or events of OpenAI's ("Create speech": `speech.audio.delta` with
a piece in base64, `speech.audio.done` with the usage); a caller wants the ones or the others,
whatever the provider sends. Bytes have no way to say that they are not all: where they end too
soon the answer breaks off (RFC 9112, section 8).
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Any

import msgspec

from command_api.replies.scanners.media import EventsOfMedia
from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk
from command_api.replies.shapes import UNREADABLE
from command_api.replies.sse import LINE_BYTES_MAX
from command_api.replies.usage_report import parse_usage
from domain.pricing.audio import container_of, spoken_tokens
from domain.pricing.money import usd_number
from edge.asgi import EVENT_STREAM
from providers.inference.adapters.lines import LineTooLongError, WholeLines

if TYPE_CHECKING:
    from command_api.replies.scanning import Paid
    from domain.pricing.audio import SpeechBound
    from domain.pricing.usage import Usage

KINDS = {
    "mp3": b"audio/mpeg",
    "opus": b"audio/opus",
    "aac": b"audio/aac",
    "flac": b"audio/flac",
    "wav": b"audio/wav",
    "pcm": b"audio/pcm",
}
"""The content type of each format, where the provider says none of its own."""
WAV = KINDS["wav"]
BYTES_KINDS = frozenset({b"application/octet-stream", b"binary/octet-stream", b"application/ogg"})
"""What audio is called beside `audio/…`."""
AUDIO = b"audio/"
KIND_BYTES_MAX = 100
DELTA, DONE = "speech.audio.delta", "speech.audio.done"
_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class SpeechScanner(EventsOfMedia):
    """A scanner of audio."""

    def __init__(self, form: str, bound: SpeechBound, *, tells_events: bool, events: bool) -> None:
        """`tells_events`: the caller wants events; `events`: the provider may send them."""
        self._form, self._bound = form, bound
        self._tells_events, self._events_may_come = tells_events, events
        self._lines: WholeLines | None = None
        self._size = 0
        self.kind = EVENT_STREAM if tells_events else KINDS[form]
        self.breaks_off = not tells_events
        self.started = self.finished = self.done = False
        self.usage: Usage | None = None

    def begins(self, content_type: bytes) -> None:
        """Take what the provider calls its reply; raises BrokenStreamError for no audio."""
        kind = content_type.partition(b";")[0].strip().lower()
        if kind == EVENT_STREAM.partition(b";")[0] and self._events_may_come:
            self._lines = WholeLines(LINE_BYTES_MAX)
        elif kind.startswith(AUDIO):
            told = content_type.strip()
            good = len(told) <= KIND_BYTES_MAX and told.isascii() and told.decode().isprintable()
            if good and not self._tells_events:
                self.kind = told
        elif kind not in BYTES_KINDS:
            message = "what is no audio"
            raise BrokenStreamError(message)

    def feed(self, data: bytes) -> bytes:
        """Take a piece; raises StreamErrorChunk or BrokenStreamError."""
        if self._lines is None:
            return self._heard(data)
        try:
            return self._events_of(self._lines.add(data))
        except LineTooLongError as error:
            raise BrokenStreamError(str(error)) from None

    def end(self) -> bytes:
        """The provider's bytes are over; raises StreamErrorChunk or BrokenStreamError."""
        if self._lines is None:
            self.finished = self.started
            return b""
        out = self._events_of(self._lines.rest() + b"\n")
        if not self.done:
            message = "a stream that ended before it was done"
            raise BrokenStreamError(message, out)
        return out

    def take_pending(self) -> bytes:
        """Nothing is kept back: the first byte is output."""
        return b""

    @property
    def output_tokens(self) -> int:
        """Our own count, by the size of the audio."""
        return spoken_tokens(self._form, self._size, self._bound) if self._size else 0

    def ending(self, paid: Paid) -> bytes:
        """The end: of events the last one, which tells the usage; of bytes nothing."""
        if not self._tells_events:
            return b""
        usage, nano_usd = paid()
        report: dict[str, Any] = {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "total_tokens": usage.input_tokens + usage.output_tokens,
        }
        if usage.characters:
            report["characters"] = usage.characters
        report["cost"] = msgspec.Raw(usd_number(nano_usd).encode())
        return _event({"type": DONE, "usage": report})

    def _heard(self, audio: bytes) -> bytes:
        """Audio as the caller wants it."""
        if not audio:
            return b""
        self._size += len(audio)
        if self._size > self._bound.bytes:
            message = f"more than {self._bound.bytes} bytes of audio, which the text cannot become"
            raise BrokenStreamError(message)
        if not self.started and self._lines is not None and not self._tells_events:
            # Events do not say what their audio is: a WAV says it itself.
            self.kind = WAV if container_of(audio) == "wav" else self.kind
        self.started = True
        if not self._tells_events:
            return audio
        return _event({"type": DELTA, "audio": binascii.b2a_base64(audio, newline=False).decode()})

    def _event(self, payload: bytes) -> bytes:
        """One event; those that nobody knows are passed over."""
        if payload == b"[DONE]":
            return b""
        try:
            event = _decode(payload)
        except UNREADABLE as error:
            message = f"an event of the stream is not valid: {error}"
            raise BrokenStreamError(message) from None
        kind = event.get("type")
        if event.get("error") is not None or kind == "error":
            raise StreamErrorChunk(event.get("error") or event, b"")
        if kind == DELTA:
            return self._heard(_audio_of(event))
        if kind == DONE:
            if not self.started:
                message = "a stream without audio"
                raise BrokenStreamError(message)
            self.finished = self.done = True
            report = event.get("usage")
            self.usage = parse_usage(report) if isinstance(report, dict) else None
        return b""


def _audio_of(event: dict[str, Any]) -> bytes:
    """The bytes of a piece; raises BrokenStreamError for what is no base64."""
    try:
        return binascii.a2b_base64(event["audio"], strict_mode=True)
    except (KeyError, TypeError, ValueError):
        message = "a piece of audio that is no base64"
        raise BrokenStreamError(message) from None


def _event(said: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % _encode(said)
