"""The responses of one session: what they used, what those under way can use, and one more. Pure.

A session never stands without room for its next response, because a provider may begin one by
itself when it hears that the caller stopped to speak. So what is held covers what was used and the
bounds of all responses under way or asked for; where there is none, that of the next. The bound of
a response is what is in the conversation, up to the model's length, and the model's whole output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.pricing.plausible import UsageMaxima, believed
from domain.pricing.usage import TextCount, Usage, UsageSource, estimated_usage
from domain.realtime.counting import INSTRUCTIONS_TOKENS, AudioFormat, Sent, audio_sent
from domain.realtime.reports import together
from domain.realtime.transcripts import TranscriptCount

if TYPE_CHECKING:
    from domain.pricing.prices import PriceVersion

OUTPUT_TOKENS_UNKNOWN = 4_096
"""What a response is held for where nobody says how much a model makes (OpenAI, gpt-realtime)."""
OUTPUT_TOKENS_MOST = 32_000
"""What one can make there all the same (OpenAI, gpt-realtime-2)."""
CONTEXT_TOKENS_UNKNOWN = 128_000
"""The longest context of a realtime model (OpenAI, gpt-realtime-2)."""
ASKED_MAX = 16
"""Most responses that are asked for or under way at a time."""
FLOOD_FACTOR = 4
"""Our own count is at most so many times a provider's."""
SPARE_SHARE = 4
"""A response that makes more than its maximum is held for a quarter more than it made."""
RESPONSES_MAX = 10_000
"""Most responses of one session."""
NOTHING = Usage(0, 0)


class Bound(NamedTuple):
    """The most tokens that a session can have used with its next response."""

    input_tokens: int
    output_tokens: int

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.input_tokens + self.output_tokens


class TooManyResponsesError(Exception):
    """A session began more responses than one may."""


class UnderWay:
    """One response that began and is not done."""

    __slots__ = ("_bytes", "_text", "form", "input")

    def __init__(self, given: Sent, form: AudioFormat) -> None:
        """`given` is what was in the conversation, `form` how its audio comes."""
        self.input, self.form = given, form
        self._text, self._bytes = TextCount(), 0

    def add(self, text: str, size: int) -> None:
        """So much of its output was received: text, and bytes of audio."""
        self._text.add(text)
        self._bytes += size

    @property
    def spoken(self) -> int:
        """Tokens of audio that were received."""
        return self.form.spoken(self._bytes)

    @property
    def made(self) -> int:
        """Tokens of output that were received, by our count."""
        return self._text.tokens + self.spoken


class SessionCount:
    """The counts of one session at one offer."""

    def __init__(
        self,
        price: PriceVersion,
        *,
        context_length: int | None,
        max_output_tokens: int | None,
    ) -> None:
        """Nothing was said yet."""
        self._price = price
        self._context = context_length or CONTEXT_TOKENS_UNKNOWN
        self._output = max_output_tokens or OUTPUT_TOKENS_UNKNOWN
        self._maxima = UsageMaxima.of(
            context_length=self._context,
            max_output_tokens=max_output_tokens or OUTPUT_TOKENS_MOST,
            requested=None,
            unknown_tokens=self._context,
        )
        self.used: Usage | None = None
        """What is charged so far; None before any response was."""
        self.asked = 0
        """Responses that were asked for and did not begin."""
        self._instructions = Sent(INSTRUCTIONS_TOKENS, 0)
        self._said = Sent()
        self._heard = dict.fromkeys(AudioFormat, 0)
        self.form = AudioFormat.PCM
        """How audio is made from now on."""
        self._apart = Sent()
        self._open: dict[str, UnderWay] = {}
        self._seen: set[str] = set()
        self._late = UnderWay(Sent(), self.form)
        self.transcripts: TranscriptCount | None = None
        """Of what is heard, once the caller asks for them."""

    @property
    def crowded(self) -> bool:
        """Whether no further response may be asked for now."""
        return self.asked + len(self._open) >= ASKED_MAX

    @property
    def open(self) -> int:
        """Responses under way."""
        return len(self._open)

    def configured(self, sent: Sent) -> None:
        """Instructions and tools stand in the place of those before: the larger ones count."""
        self._instructions = self._instructions.or_more(sent)

    def said(self, sent: Sent) -> None:
        """So much more may lie in the conversation."""
        self._said = self._said.and_also(sent)

    def hears(self, size: int, form: AudioFormat) -> None:
        """So many bytes of audio may lie in the conversation."""
        self._heard[form] += size

    @property
    def heard_ms(self) -> int:
        """How long all audio is that passed."""
        return sum(form.milliseconds(size) for form, size in self._heard.items())

    def transcribes(self, price: PriceVersion, size: int) -> None:
        """What is heard is written down from now on, by a wish of so many bytes, at a price."""
        if self.transcripts is None:
            self.transcripts = TranscriptCount(price)
        self.transcripts.wished(size)

    def asks(self, beside: Sent) -> None:
        """The caller asks for a response that reads so much beside the conversation."""
        self.asked += 1
        self._apart = self._apart.or_more(beside)

    def declined(self) -> None:
        """The provider told an error: what was asked for may not begin."""
        self.asked = max(self.asked - 1, 0)

    def began(self, response: str) -> None:
        """A response begins; one that did before is passed over. Raises TooManyResponsesError."""
        if response in self._seen or response in self._open:
            return
        if len(self._seen) >= RESPONSES_MAX or len(self._open) >= ASKED_MAX:
            raise TooManyResponsesError
        if response:
            self._seen.add(response)
        self._open[response] = UnderWay(self._given, self.form)
        self.asked = max(self.asked - 1, 0)

    def made(self, response: str, text: str, size: int) -> None:
        """So much of a response's output was received, whether its beginning was told or not.

        What comes after its end was paid with it, and is only kept from flooding. An empty name is
        that of the response under way. Raises TooManyResponsesError.
        """
        name = self._named(response)
        if name in self._seen and name not in self._open:
            self._late.add(text, size)
            return
        self.began(name)
        self._open[name].add(text, size)

    @property
    def flooded(self) -> bool:
        """Whether a response made more than any that knows its maximum, or a transcript did."""
        if self.transcripts is not None and self.transcripts.flooded(self.heard_ms):
            return True
        most = self._maxima.output_tokens * FLOOD_FACTOR
        return any(each.made > most for each in (self._late, *self._open.values()))

    def _named(self, response: str) -> str:
        """Of what names no response, that of the one under way, where there is just one."""
        return response or (next(iter(self._open)) if len(self._open) == 1 else "")

    def done(self, response: str, report: Usage | None, text: str = "") -> Usage | None:
        """A response is done: what is charged for it (money rule 6); None where that is nothing.

        `text` is the whole of what it says, which counts where no piece of it was received. What
        never began is charged as well, where it used or says anything: once, by its name. What has
        no name and did not begin cannot be told from one that was charged. What it made is in the
        conversation from now on. Raises TooManyResponsesError.
        """
        name = self._named(response)
        if (
            name
            and name not in self._seen
            and (text or (report is not None and max(report[:2]) > 0))
        ):
            self.began(name)
        found = self._open.pop(name, None)
        if found is None:
            return None
        if not found.made:
            found.add(text, 0)
        usage = believed(
            report,
            self._maxima,
            self._price,
            made=lambda: found.made,
            estimate=lambda made: self._estimated(found) if made else _nothing(),
        )
        self._add(usage)
        tokens = max(usage.output_tokens, min(found.made, self._maxima.output_tokens))
        self.said(Sent(tokens, tokens, min(found.spoken, tokens)))
        return usage

    def end(self) -> Usage | None:
        """The session is over: what was made and nobody told is our own count (money rule 4).

        None where nothing at all was made.
        """
        for found in self._open.values():
            if found.made:
                self._add(self._estimated(found))
        self._open.clear()
        if self.transcripts is not None and (heard := self.transcripts.end(self.heard_ms).uses):
            self._add(self._with_transcripts(heard, self.transcripts))
        return self.used

    @staticmethod
    def _with_transcripts(heard: tuple[tuple[str, int], ...], count: TranscriptCount) -> Usage:
        source: UsageSource = "estimated" if count.estimated else "provider"
        return NOTHING._replace(uses=heard, source=source, implausible=count.implausible)

    @property
    def bound(self) -> Bound:
        """What was used, what is under way or asked for; where nothing is, one response more."""
        used = self.used or NOTHING
        more = self.asked if self._open else max(self.asked, 1)
        input_tokens = used.input_tokens + more * self._given.most
        output_tokens = used.output_tokens + more * self._output
        for each in self._open.values():
            input_tokens += each.input.most
            output_tokens += max(self._output, each.made + self._output // SPARE_SHARE)
        return Bound(input_tokens, output_tokens)

    @property
    def next_response(self) -> Bound:
        """What one response can use that begins now."""
        return Bound(self._given.most, self._output)

    def cost_bound(self) -> int:
        """What that can cost at most, nano-USD: what was used is known, all else is bounded."""
        used, bound = self.used or NOTHING, self.bound
        known = self._price.cost(used).nano_usd + 1 if self.used else 0
        if self.transcripts is not None:
            known += self.transcripts.cost_bound(self.heard_ms)
        return known + self._price.bound(
            input_tokens=bound.input_tokens - used.input_tokens,
            output_tokens=bound.output_tokens - used.output_tokens,
        )

    @property
    def _given(self) -> Sent:
        """What a response reads that begins now."""
        given = self._instructions.and_also(self._said).and_also(self._apart)
        for form, size in self._heard.items():
            given = given.and_also(audio_sent(size, form))
        return given.at_most(self._context)

    def _add(self, usage: Usage) -> None:
        self.used = usage if self.used is None else together(self.used, usage)

    def _estimated(self, found: UnderWay) -> Usage:
        """Our own count of a response, which is never more than a report could be."""
        output = min(found.made, self._maxima.output_tokens)
        made = estimated_usage(input_tokens=found.input.counted, output_tokens=output)
        return made._replace(
            audio_input_tokens=min(found.input.heard, made.input_tokens),
            audio_output_tokens=min(found.spoken, made.output_tokens),
        )


def _nothing() -> Usage:
    """Of a response that made nothing, and of which nobody told anything."""
    return NOTHING._replace(source="estimated")
