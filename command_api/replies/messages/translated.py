"""Reads a Chat Completions stream for a caller who speaks Anthropic's API.

The chunks are read, mended and counted as for any caller of OpenAI's; what may be passed on becomes
events. Which block is open is the translator's to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from command_api.replies.messages.events import Kept, answer_tokens, closing, kept_within
from command_api.replies.messages.usage import told
from command_api.replies.scanners.around import ScannerAround
from command_api.replies.scanning import BrokenStreamError
from providers.inference.adapters.anthropic.as_message import written
from providers.inference.adapters.translation import ODD, decode_object
from providers.inference.port import UpstreamBrokenError

if TYPE_CHECKING:
    from command_api.replies.scanning import Paid
    from command_api.replies.sse import StreamScanner
    from providers.inference.adapters.anthropic.as_message import MessageEvents

PING = written({"type": "ping"})
"""What a comment becomes, with which a provider keeps the connection alive."""


class TranslatedScanner(ScannerAround):
    """A scanner of chunks whose output is Anthropic's (`replies/scanning`)."""

    __slots__ = ("_events", "_kept", "_open_before")

    def __init__(self, scanner: StreamScanner, events: MessageEvents) -> None:
        """Read by `scanner`, told by `events`."""
        super().__init__(scanner)
        self._events = events
        self._open_before: int | None = None
        self._kept = Kept(b"", None, told=False)

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
