"""What a call used, in tokens, in one convention for all providers.

`input_tokens` includes cached and cache-written ones, `output_tokens` includes reasoning,
whatever the provider's own convention (contract, section "calls").
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

UsageSource = Literal["provider", "estimated"]

ASCII_CHARACTERS_PER_TOKEN = 4
TWO_BYTE_CHARACTERS_PER_TOKEN = 2
FOUR_BYTE_TOKENS_PER_CHARACTER = 2

REPORTED_TOKENS_MAX = 100_000_000
"""No report of more input or output is believed, whatever its model is said to take."""


class Usage(NamedTuple):
    """Counts of one call; `source` says whether the provider or we counted.

    Audio and image tokens are part of the input and output tokens: fresh ones, and apart from them
    those that are cached, which are part of the cached ones too; of the cache-written ones
    `cache_write_1h_tokens` are kept for an hour. `input_images` are those of the prompt, `images`
    those that were made, `image_pixels` their pixels altogether; `audio_seconds` those of
    audio that was heard, where its length is what is paid; `searches` are the search units of a
    rerank (`domain/pricing/searches.py`), `characters` those of a text that is read aloud, where
    they are what is paid. `implausible` marks our own count where the provider's
    cannot be. `extras` are those that the call pays for, `uses` the counts of what it pays by its
    uses, `service_tier` the tier whose token prices it pays, empty for the plain ones. In a
    provider's report the last two are what it says, be it what it may.
    """

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    source: UsageSource = "provider"
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    input_images: int = 0
    images: int = 0
    image_pixels: int = 0
    audio_seconds: int = 0
    implausible: bool = False
    extras: tuple[str, ...] = ()
    cache_write_1h_tokens: int = 0
    searches: int = 0
    uses: tuple[tuple[str, int], ...] = ()
    service_tier: str = ""
    characters: int = 0
    image_input_tokens: int = 0
    cached_audio_input_tokens: int = 0
    cached_image_input_tokens: int = 0

    @property
    def has_kinds(self) -> bool:
        """Whether any token of it is one of audio or of an image."""
        return bool(
            self.audio_input_tokens
            or self.audio_output_tokens
            or self.image_input_tokens
            or self.cached_audio_input_tokens
            or self.cached_image_input_tokens
        )

    def as_dict(self) -> dict[str, Any]:
        """The usage as it stands in events and replies; what is rare only when there is any."""
        found = self._tokens()
        if self.implausible:
            found["implausible"] = True
        if self.extras:
            found["extras"] = list(self.extras)
        if self.uses:
            found["uses"] = dict(self.uses)
        if self.service_tier:
            found["service_tier"] = self.service_tier
        rare = self.has_kinds
        rare = rare or bool(self.audio_seconds or self.searches or self.characters)
        if rare or self.input_images or self.images or self.cache_write_1h_tokens:
            found |= {name: getattr(self, name) for name in RARE_COUNTS if getattr(self, name)}
        return found

    def with_input_images(self, images: int) -> Usage:
        """The same, with so many images in the prompt."""
        return self._replace(input_images=images)

    def with_answer_at_most(self, tokens: int) -> Usage:
        """The same, with no more output than its reasoning and so many tokens of answer."""
        if self.output_tokens - self.reasoning_tokens <= tokens:
            return self
        return self._replace(
            output_tokens=self.reasoning_tokens + tokens,
            audio_output_tokens=min(self.audio_output_tokens, tokens),
        )

    def with_images(self, images: int, pixels: int) -> Usage:
        """The same, with so many images made, of so many pixels altogether."""
        return self._replace(images=images, image_pixels=pixels)

    def _tokens(self) -> dict[str, Any]:
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_input_tokens": self.cached_input_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "source": self.source,
        }


RARE_COUNTS = (
    *("audio_input_tokens", "audio_output_tokens"),
    *("input_images", "images", "image_pixels", "audio_seconds"),
    *("cache_write_1h_tokens", "searches", "characters"),
    *("image_input_tokens", "cached_audio_input_tokens", "cached_image_input_tokens"),
)
"""Counts that an event carries only when they are not 0."""


UNREADABLE = Usage(-1, -1)
"""What a report stands for that cannot be read: it cannot be."""


class Report(NamedTuple):
    """A provider's Chat Completions report as it stands; absent counts are 0."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    cache_write_1h_tokens: int | None = None
    """None where the provider does not say for how long it writes."""


def reported_usage(report: Report) -> Usage:
    """Bring a provider's report into our convention.

    What the total has beyond prompt and completion tells where the parts lie, whoever the
    provider is: as much as the reasoning, and the reasoning lies outside the completion (measured
    on every xAI reply with reasoning); as much as the audio or the cached tokens, and those lie
    beside the prompt (audio measured at Mistral). Anything else was made and is charged as
    output: Gemini in OpenAI's form counts its thoughts nowhere but in the total. A total of
    prompt + completion says that the parts are inside, however large they claim to be (measured
    at OpenRouter and Vercel). Parts never exceed their whole, so that no term is ever charged a
    negative count; a negative whole makes the report unreadable. Where nobody says for how long
    a cache was written, all of it may be kept for an hour: who did not ask for that pays none.
    """
    prompt, completion = report.prompt_tokens, report.completion_tokens
    if prompt < 0 or completion < 0:
        return UNREADABLE
    if not any(report[3:]) and report.total_tokens == prompt + completion:
        return Usage(prompt, completion)  # The plainest, and commonest.
    reasoning, heard = max(report.reasoning_tokens, 0), max(report.audio_input_tokens, 0)
    cached = max(report.cached_tokens, 0)
    beyond = report.total_tokens - prompt - completion
    if beyond > 0:
        if beyond == reasoning:
            completion += reasoning
        elif beyond in (heard, cached):
            prompt += beyond
        else:
            completion += beyond
            reasoning = max(reasoning, beyond)
    cached = min(cached, prompt)
    written = min(max(report.cache_write_tokens, 0), prompt - cached)
    told_long = report.cache_write_1h_tokens
    reasoning = min(reasoning, completion)
    return Usage(
        audio_input_tokens=min(heard, prompt - cached - written),
        audio_output_tokens=min(max(report.audio_output_tokens, 0), completion - reasoning),
        input_tokens=prompt,
        output_tokens=completion,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
        cache_write_1h_tokens=written if told_long is None else min(max(told_long, 0), written),
    )


class TextCount:
    """Our own count of a text that comes in pieces: the same as of the whole (money rule 6).

    It counts by script. ASCII has four characters a token; two-byte scripts (Latin with marks,
    Greek, Cyrillic, Hebrew, Arabic) two characters; three-byte scripts (CJK, Indic, Thai) one;
    four-byte characters (emoji) two tokens each. Each script is rounded up once, at the end.
    """

    __slots__ = ("_ascii", "_tokens", "_two")

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._ascii = self._two = self._tokens = 0

    def add(self, text: str) -> None:
        """Count a piece."""
        if text.isascii():
            self._ascii += len(text)
            return
        ascii_count = len(text.encode("ascii", "ignore"))
        four = len(text.encode("utf-16-le", "surrogatepass")) // 2 - len(text)
        middle = len(text) - ascii_count - four
        three = len(text.encode("utf-8", "surrogatepass")) - ascii_count - 4 * four - 2 * middle
        self._ascii += ascii_count
        self._two += middle - three
        self._tokens += three + FOUR_BYTE_TOKENS_PER_CHARACTER * four

    @property
    def tokens(self) -> int:
        """So many, so far."""
        return (
            -(-self._ascii // ASCII_CHARACTERS_PER_TOKEN)
            + -(-self._two // TWO_BYTE_CHARACTERS_PER_TOKEN)
            + self._tokens
        )


def estimate_tokens(text: str) -> int:
    """Our own count of a whole text."""
    count = TextCount()
    count.add(text)
    return count.tokens


def estimated_usage(*, input_tokens: int, output_tokens: int) -> Usage:
    """Our own count; prompt and output are at least one token each (money rule 6)."""
    return Usage(
        input_tokens=max(input_tokens, 1),
        output_tokens=max(output_tokens, 1),
        source="estimated",
    )
