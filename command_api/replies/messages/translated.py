"""Reads a Chat Completions stream for a caller who speaks Anthropic's API.

The chunks are read, mended and counted as for any caller of OpenAI's; what may be passed on becomes
events. Which block is open is the translator's to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from command_api.replies.messages.events import Kept, answer_tokens, closing, kept_within
from command_api.replies.messages.usage import told
from command_api.replies.sse import BrokenStreamError, StreamErrorChunk
from providers.inference.adapters.anthropic.as_message import written
from providers.inference.adapters.translation import ODD, decode_object
from providers.inference.port import UpstreamBrokenError

if TYPE_CHECKING:
    from command_api.replies.scanning import Paid
    from command_api.replies.sse import StreamScanner
    from domain.pricing.usage import Usage
    from providers.inference.adapters.anthropic.as_message import MessageEvents

PING = written({"type": "ping"})
"""What a comment becomes, with which a provider keeps the connection alive."""


class TranslatedScanner:
    """A scanner of chunks whose output is Anthropic's (`replies/scanning`)."""

    __slots__ = ("_events", "_kept", "_open_before", "_scanner")

    def __init__(self, scanner: StreamScanner, events: MessageEvents) -> None:
        """Read by `scanner`, told by `events`."""
        self._scanner, self._events = scanner, events
        self._open_before: int | None = None
        self._kept = Kept(b"", None, told=False)

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
        self._kept = kept_within(out, most - before, self._open_before)
        return self._kept.out

    def ending(self, paid: Paid) -> bytes:
        """The end of the open block, why the message ended, and what it used."""
        return b"".join(map(written, self._events.end(told(*paid()))))

    def cut_short(self, paid: Paid) -> bytes:
        """The events that end the message at its maximum."""
        return closing(self._kept, told(*paid()))

    def _told(self, block: bytes) -> bytes:
        """Whole lines of chunks as events."""
        self._open_before = self._events.open_index
        made: list[bytes] = []
        try:
            for line in block.split(b"\n"):
                if line.startswith(b"data:"):
                    made += map(written, self._events.chunk(decode_object(line[5:])))
                elif line.startswith(b":"):
                    made.append(PING)
        except (UpstreamBrokenError, *ODD) as error:
            message = f"a chunk of the stream cannot be translated: {error}"
            raise BrokenStreamError(message, b"".join(made)) from None
        return b"".join(made)
