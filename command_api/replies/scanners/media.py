"""Streams of speech, transcripts and images: what their scanners share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk
from edge.asgi import EVENT_STREAM
from providers.inference.adapters.lines import LineTooLongError, WholeLines

if TYPE_CHECKING:
    from command_api.replies.scanning import Paid


class EventsOfMedia(ABC):
    """What scanners of speech, transcripts and images share: events line by line, and one count.

    More than can be is refused as it comes, so that nothing has to be cut off at the end.
    """

    uncounted_bytes = 0
    request_id: str | None = None
    done = False

    @property
    @abstractmethod
    def output_tokens(self) -> int:
        """Our own count of the output so far, in tokens (money rule 6)."""

    @abstractmethod
    def ending(self, paid: Paid, /) -> bytes:
        """The end of a stream that ended by itself."""

    @abstractmethod
    def _event(self, payload: bytes, /) -> bytes:
        """What of one event is told; raises StreamErrorChunk or BrokenStreamError."""

    def count(self) -> int:
        """The same as it stands: nothing is looked at again."""
        return self.output_tokens

    @property
    def answer_tokens(self) -> int:
        """The same: nobody thinks here."""
        return self.output_tokens

    def within(self, out: bytes, answer_tokens: int) -> bytes:
        """All of it."""
        del answer_tokens
        return out

    def cut_short(self, paid: Paid) -> bytes:
        """The same as an end by itself."""
        return self.ending(paid)

    def _events_of(self, block: bytes) -> bytes:
        """What whole lines of events tell; an error carries what came before it."""
        out: list[bytes] = []
        try:
            for line in block.split(b"\n"):
                text = line.strip()
                if text.startswith(b"data:") and not self.done:
                    out.append(self._event(text[5:].strip()))
        except (BrokenStreamError, StreamErrorChunk) as error:
            error.passed = b"".join(out)
            raise
        return b"".join(out)


class StreamOfEvents(EventsOfMedia):
    """One whose provider answers in events alone, of which there is a most in bytes."""

    kind = EVENT_STREAM
    breaks_off = False
    TOO_MANY: ClassVar[str]
    """What is said of more events than can be."""
    ENDED_EARLY: ClassVar[str]
    """What is said of a stream without its last event."""
    _lines: WholeLines
    _bytes_left: int

    def begins(self, content_type: bytes) -> None:
        """Take what the provider calls its reply; raises BrokenStreamError for no events."""
        if content_type.partition(b";")[0].strip().lower() != EVENT_STREAM.partition(b";")[0]:
            message = "what is no stream of events"
            raise BrokenStreamError(message)

    def feed(self, data: bytes) -> bytes:
        """Take a piece; raises StreamErrorChunk or BrokenStreamError."""
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise BrokenStreamError(self.TOO_MANY)
        try:
            return self._passed(self._lines.add(data))
        except LineTooLongError as error:
            raise BrokenStreamError(str(error)) from None

    def end(self) -> bytes:
        """The provider's bytes are over; raises StreamErrorChunk or BrokenStreamError."""
        out = self._passed(self._lines.rest() + b"\n")
        if not self.done:
            raise BrokenStreamError(self.ENDED_EARLY, out)
        return out

    def _passed(self, block: bytes) -> bytes:
        """What of whole lines may be passed on."""
        return self._events_of(block)
