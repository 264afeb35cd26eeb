"""What the transcripts of a session's input use: the most there can be, and what is told. Pure.

All transcripts of a session together are never more than all audio that passed in it can be
written down as. So much is held for, and a report that goes beyond what the earlier ones left of
it cannot be (money rules 2 and 6). A piece of audio is charged once, by its item's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.ledger.holds import AUDIO_MINUTE_TOKENS_MAX
from domain.pricing.usage import TextCount
from domain.pricing.uses import (
    HEARD_AUDIO,
    HEARD_MILLISECONDS,
    HEARD_OUTPUT,
    HEARD_TEXT,
)
from domain.realtime.counting import MILLISECONDS_PER_TOKEN, text_sent

if TYPE_CHECKING:
    from domain.pricing.prices import PriceVersion

MINUTE_MS = 60_000
WRITTEN_TOKENS_A_MINUTE_MAX = 1_000
"""Nobody speaks half as fast: a record is 650 words a minute."""
ITEM_MS_MIN = 100
"""No shorter audio makes an item (OpenAI, "Realtime", `input_audio_buffer.commit`)."""
ROUNDING_MS = 1_000
"""A provider may tell whole seconds of each item."""
MARGIN_TOKENS = 64
"""Of each item: its end, and what a provider says to its model."""
TRANSCRIPTS_MAX = 10_000
"""Most items of one session that are written down."""
FLOOD_FACTOR = 4


class TooManyTranscriptsError(Exception):
    """A session has more transcripts than one may."""


class Heard(NamedTuple):
    """What transcripts use: milliseconds where those are paid, else tokens by their kind."""

    milliseconds: int = 0
    text: int = 0
    audio: int = 0
    output: int = 0

    def plus(self, other: Heard) -> Heard:
        """Both together."""
        return Heard(*(one + two for one, two in zip(self, other, strict=True)))

    def minus(self, other: Heard) -> Heard:
        """What is left of it."""
        return Heard(*(one - two for one, two in zip(self, other, strict=True)))

    def at_most(self, other: Heard) -> Heard:
        """No more of anything than that."""
        return Heard(*(min(one, two) for one, two in zip(self, other, strict=True)))

    def within(self, other: Heard) -> bool:
        """Whether nothing of it is negative or more than that."""
        return all(0 <= one <= two for one, two in zip(self, other, strict=True))

    @property
    def uses(self) -> tuple[tuple[str, int], ...]:
        """As a usage counts them."""
        names = (HEARD_MILLISECONDS, HEARD_TEXT, HEARD_AUDIO, HEARD_OUTPUT)
        return tuple((name, count) for name, count in zip(names, self, strict=True) if count)


class TranscriptCount:
    """The transcripts of one session, all by one model."""

    def __init__(self, price: PriceVersion) -> None:
        """At a price of `with_transcripts`; nothing was written down yet."""
        self._price = price
        self.by_length = HEARD_MILLISECONDS in price.uses
        """Whether audio is paid by its length."""
        self.used = Heard()
        self.estimated = self.implausible = False
        """Whether any of it is our own count, and whether that replaces a report."""
        self._wish = self._commits = self._marked = 0
        self._lengths: dict[str, int] = {}
        self._open: dict[str, TextCount] = {}
        self._done: set[str] = set()

    def wished(self, size: int) -> None:
        """The wish, with its prompt, has so many bytes: the longest one counts for every item."""
        self._wish = max(self._wish, size)

    def commits(self) -> None:
        """The caller makes an item of what was heard."""
        self._commits += 1

    def committed(self, item: str, heard_ms: int) -> None:
        """The provider did, of what came since the last one; raises TooManyTranscriptsError."""
        if item in self._lengths:
            return
        if len(self._lengths) >= TRANSCRIPTS_MAX:
            raise TooManyTranscriptsError
        self._lengths[item] = max(heard_ms - self._marked, 0)
        self._marked = heard_ms

    def made(self, item: str, text: str) -> None:
        """A piece of a transcript was received; raises TooManyTranscriptsError."""
        if item in self._done:
            return
        if item not in self._open:
            if len(self._open) + len(self._done) >= TRANSCRIPTS_MAX:
                raise TooManyTranscriptsError
            self._open[item] = TextCount()
        self._open[item].add(text)

    def flooded(self, heard_ms: int) -> bool:
        """Whether more text came than so much audio can be."""
        most = self._most_written(heard_ms) * FLOOD_FACTOR
        return any(each.tokens > most for each in self._open.values())

    def done(self, item: str, report: Heard | None, text: str, heard_ms: int) -> None:
        """A transcript is complete; one that was before is passed over (P3).

        What the report says is charged where that can be, else our own count. Raises
        TooManyTranscriptsError.
        """
        if item in self._done:
            return
        if len(self._done) >= TRANSCRIPTS_MAX:
            raise TooManyTranscriptsError
        received = self._open.pop(item, None)
        whole = TextCount()
        whole.add(text)
        written = max(whole.tokens, received.tokens if received else 0)
        left = self.most(heard_ms).minus(self.used)
        self._done.add(item)
        if report is not None and report.within(left) and (any(report) or not written):
            self.used = self.used.plus(report)
            return
        self.implausible = self.implausible or report is not None
        if written:
            self._estimate(item, written, heard_ms)

    def end(self, heard_ms: int) -> Heard:
        """What was written down and nobody reported is our own count (money rule 4)."""
        for item, received in self._open.items():
            if received.tokens:
                self._estimate(item, received.tokens, heard_ms)
        self._open.clear()
        return self.used

    def most(self, heard_ms: int) -> Heard:
        """The most that so much audio can be written down as."""
        items = self._items(heard_ms)
        if self.by_length:
            return Heard(milliseconds=heard_ms + items * ROUNDING_MS)
        return Heard(
            text=items * (text_sent(self._wish).most + MARGIN_TOKENS),
            audio=-(-heard_ms * AUDIO_MINUTE_TOKENS_MAX // MINUTE_MS) + items * MARGIN_TOKENS,
            output=self._most_written(heard_ms),
        )

    def cost_bound(self, heard_ms: int) -> int:
        """The most that can cost, nano-USD."""
        uses = self.most(heard_ms).uses
        return self._price.bound(input_tokens=0, output_tokens=0, uses=uses)

    def _most_written(self, heard_ms: int) -> int:
        spoken = -(-heard_ms * WRITTEN_TOKENS_A_MINUTE_MAX // MINUTE_MS)
        return spoken + self._items(heard_ms) * MARGIN_TOKENS

    def _items(self, heard_ms: int) -> int:
        """Items that there are and one more, but never more than the audio can make."""
        told = max(self._commits, len(self._lengths), len(self._done)) + 1
        return min(told, heard_ms // ITEM_MS_MIN + 1)

    def _estimate(self, item: str, written: int, heard_ms: int) -> None:
        """Our own count: all that was heard for the item, or since the last one."""
        length = self._lengths.get(item, max(heard_ms - self._marked, 0))
        counted = (
            Heard(milliseconds=max(length, 1))
            if self.by_length
            else Heard(
                text=text_sent(self._wish).counted,
                audio=max(-(-length // MILLISECONDS_PER_TOKEN), 1),
                output=written,
            )
        )
        self.used = self.used.plus(counted.at_most(self.most(heard_ms).minus(self.used)))
        self.estimated = True
