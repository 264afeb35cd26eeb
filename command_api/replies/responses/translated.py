"""Reads a Chat Completions stream for a caller of Responses.

The chunks are read, mended and counted as for any caller of chat's; what may be passed on becomes
events, which are numbered here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from command_api.replies.responses.assembled import Assembled, answer_tokens, kept_within
from command_api.replies.responses.events import Event, numbered, written
from command_api.replies.responses.usage import told
from command_api.replies.sse import BrokenStreamError, StreamErrorChunk
from providers.inference.adapters.translation import ODD, decode_object
from providers.inference.port import UpstreamBrokenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from command_api.replies.scanning import Paid
    from command_api.replies.sse import StreamScanner
    from domain.pricing.usage import Usage
    from edge.errors import ApiError
    from providers.inference.adapters.responses.events import ResponseEvents

ALIVE = b": alive\n\n"
"""What a comment becomes, with which a provider keeps the connection alive."""


class TranslatedScanner:
    """A scanner of chunks whose output is events of Responses (`replies/scanning`)."""

    __slots__ = ("_assembled", "_events", "_fresh", "_number", "_scanner", "response")

    def __init__(self, scanner: StreamScanner, events: ResponseEvents) -> None:
        """Read by `scanner`, told by `events`."""
        self._scanner, self._events = scanner, events
        self._assembled = Assembled()
        self._fresh: list[Event] = []
        self._number = -1
        self.response: dict[str, Any] | None = None
        """The whole response, once the stream has ended."""

    @property
    def started(self) -> bool:
        """Whether there was output."""
        return self._scanner.started

    @property
    def finished(self) -> bool:
        """Whether the provider said why the output ended."""
        return self._scanner.finished

    @property
    def done(self) -> bool:
        """Whether the stream said that it is over."""
        return self._scanner.done

    @property
    def usage(self) -> Usage | None:
        """The provider's last report."""
        return self._scanner.usage

    @property
    def request_id(self) -> str | None:
        """The provider's id of the reply."""
        return self._scanner.request_id

    @property
    def uncounted_bytes(self) -> int:
        """What came since the last `count`."""
        return self._scanner.uncounted_bytes

    @property
    def output_tokens(self) -> int:
        """Our own count, as far as it has been made."""
        return self._scanner.output_tokens

    @property
    def answer_tokens(self) -> int:
        """The same without reasoning."""
        return self._scanner.answer_tokens

    def count(self) -> int:
        """Our own count of the output so far."""
        return self._scanner.count()

    def feed(self, data: bytes) -> bytes:
        """Take a piece; raises StreamErrorChunk or BrokenStreamError."""
        try:
            out = self._scanner.feed(data)
        except (BrokenStreamError, StreamErrorChunk) as error:
            error.passed = self._told(error.passed)
            raise
        return self._told(out)

    def end(self) -> bytes:
        """The provider's bytes are over; raises StreamErrorChunk or BrokenStreamError."""
        try:
            out = self._scanner.end()
        except (BrokenStreamError, StreamErrorChunk) as error:
            error.passed = self._told(error.passed)
            raise
        return self._told(out)

    def take_pending(self) -> bytes:
        """What was kept back before output, for a stream that ended without any."""
        return self._told(self._scanner.take_pending())

    def within(self, out: bytes, most: int) -> bytes:
        """Of the last output, what lies within so many tokens of answer altogether."""
        before = self.answer_tokens - answer_tokens(out)
        kept, self._fresh = kept_within(out, most - before)
        return kept

    def ending(self, paid: Paid) -> bytes:
        """The end of the open item, and the whole response with what it used."""
        events = list(self._events.end(told(*paid())))
        self.response = events[-1]["response"]
        return b"".join(self._written(events))

    def cut_short(self, paid: Paid) -> bytes:
        """The events that end the response at its maximum."""
        self._assemble()
        last, self.response = self._assembled.cut(told(*paid()))
        return last

    def broken(self, error: ApiError) -> bytes:
        """The event that ends a response which cannot go on."""
        self._assemble()
        return self._assembled.failed(error)

    def _assemble(self) -> None:
        for event in self._fresh:
            self._assembled.take(event)
        self._fresh = []

    def _written(self, events: Iterable[Event]) -> Iterable[bytes]:
        for event in events:
            self._number += 1
            made = numbered(event, self._number)
            self._fresh.append(made)
            yield written(made)

    def _told(self, block: bytes) -> bytes:
        """Whole lines of chunks as events."""
        self._assemble()
        made: list[bytes] = []
        try:
            for line in block.split(b"\n"):
                if line.startswith(b"data:"):
                    made += self._written(self._events.chunk(decode_object(line[5:])))
                elif line.startswith(b":"):
                    made.append(ALIVE)
        except (UpstreamBrokenError, *ODD) as error:
            message = f"a chunk of the stream cannot be translated: {error}"
            raise BrokenStreamError(message, b"".join(made)) from None
        return b"".join(made)
