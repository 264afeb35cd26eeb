"""Reads the events of an image as they pass (`replies/scanning`).

OpenAI's, "Create image" and "Create image edit": `image_generation.partial_image` with a picture of
what is there so far, `image_generation.completed` with the whole and the usage; `image_edit.…` for
edits. Each is passed on as it came, but for the last, which is kept back until the charge is
durable, and tells it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from command_api.replies.scanners.media import StreamOfEvents
from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk
from command_api.replies.shapes import UNREADABLE
from domain.images.made import PARTIAL_TOKENS
from domain.pricing.money import usd_number
from edge.body import decode_members
from providers.inference.adapters.lines import WholeLines

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.replies.scanning import Paid
    from domain.pricing.usage import Usage

PARTIAL, COMPLETED = "partial_image", "completed"
PIXELS_LEAST = 2_048 * 2_048
"""A picture is believed to be of so many, whatever was asked for."""
TEXT_BYTES_A_PIXEL = 6
"""Four channels, not compressed at all, in base64."""
BYTES_SPARE = 256 * 1024
"""What an event holds beside its picture, and a stream beside its events."""
EVENT_BYTES_MAX = 64 * 2**20
_encode = msgspec.json.encode


class _Event(msgspec.Struct):
    type: Any = None
    b64_json: Any = None
    url: Any = None
    usage: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class ImageScanner(StreamOfEvents):
    """A scanner of one image."""

    TOO_MANY = "more events than one image can be"
    ENDED_EARLY = "a stream that ended before its image"

    def __init__(
        self,
        name: str,
        read: Callable[[Any], Usage | None],
        *,
        partial_images: int,
        image_tokens: int,
        pixels: int,
    ) -> None:
        """`name` is what its events' names begin with; `read` reads a report of usage.

        `partial_images` and `pixels` are those asked for, `image_tokens` our own count of an image.
        """
        self._partial, self._completed = f"{name}.{PARTIAL}", f"{name}.{COMPLETED}"
        self._read, self._partial_left = read, partial_images
        self._image_tokens, self._partial_tokens = image_tokens, 0
        picture = TEXT_BYTES_A_PIXEL * max(pixels, PIXELS_LEAST) + BYTES_SPARE
        most = min(picture, EVENT_BYTES_MAX)
        self._lines = WholeLines(most)
        self._bytes_left = (partial_images + 1) * most + BYTES_SPARE
        self._last = b""
        self.started = self.finished = self.done = False
        self.usage: Usage | None = None

    def take_pending(self) -> bytes:
        """Nothing is kept back but the last: the first picture is output."""
        return b""

    @property
    def output_tokens(self) -> int:
        """Our own count: of whatever is seen of an image, the whole was begun."""
        return self._partial_tokens + self._image_tokens if self.started else 0

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
        return _told(self._completed, _encode(members))

    def _event(self, payload: bytes) -> bytes:
        """One event; those that nobody knows or asked for are passed over."""
        if payload == b"[DONE]":
            return b""
        try:
            event = _decode(payload)
        except UNREADABLE as error:
            message = f"an event of the stream is not valid: {error}"
            raise BrokenStreamError(message) from None
        if event.error is not None or event.type == "error":
            raise StreamErrorChunk(event.error or msgspec.json.decode(payload), b"")
        if event.type == self._completed:
            _check(event)
            self.started = self.finished = self.done = True
            self._last, self.usage = payload, self._read(event.usage)
        elif event.type == self._partial and self._partial_left:
            _check(event)
            self._partial_left -= 1
            self._partial_tokens += PARTIAL_TOKENS
            self.started = True
            return _told(self._partial, payload)
        return b""


def _check(event: _Event) -> None:
    """A picture, or where it lies, is a text; raises BrokenStreamError."""
    picture = event.url if event.b64_json is None else event.b64_json
    if not (isinstance(picture, str) and picture):
        message = "an event without its picture"
        raise BrokenStreamError(message)


def _told(name: str, payload: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), payload)


def _counted(usage: Usage) -> dict[str, msgspec.Raw]:
    """A report in OpenAI's form of what we counted."""
    pictures = usage.image_input_tokens
    details = {"text_tokens": usage.input_tokens - pictures, "image_tokens": pictures}
    counts = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "input_tokens_details": details,
    }
    return {name: msgspec.Raw(_encode(count)) for name, count in counts.items()}
