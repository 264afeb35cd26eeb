"""Reads a Chat Completions stream for a caller of Responses.

The chunks are read, mended and counted as for any caller of chat's; what may be passed on becomes
events, which are numbered here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from command_api.replies.responses.assembled import Assembled, answer_tokens, kept_within
from command_api.replies.responses.events import Event, numbered, written
from command_api.replies.responses.usage import told
from command_api.replies.scanners.around import ScannerAround
from command_api.replies.scanning import BrokenStreamError
from providers.inference.adapters.translation import ODD, decode_object
from providers.inference.port import UpstreamBrokenError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from command_api.replies.scanning import Paid
    from command_api.replies.sse import StreamScanner
    from edge.errors import ApiError
    from providers.inference.adapters.responses.events import ResponseEvents

ALIVE = b": alive\n\n"
"""What a comment becomes, with which a provider keeps the connection alive."""


class TranslatedScanner(ScannerAround):
    """A scanner of chunks whose output is events of Responses (`replies/scanning`)."""

    __slots__ = ("_assembled", "_events", "_fresh", "_number", "response")

    def __init__(self, scanner: StreamScanner, events: ResponseEvents) -> None:
        """Read by `scanner`, told by `events`."""
        super().__init__(scanner)
        self._events = events
        self._assembled = Assembled()
        self._fresh: list[Event] = []
        self._number = -1
        self.response: dict[str, Any] | None = None
        """The whole response, once the stream has ended."""

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
        last, self.response = self._assembled.failed(error)
        return last

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
