"""What one token costs by its kind: of text, audio or images, fresh, cached, written or made.

Pure. The rates of a price in one order, with the fallbacks of money rule 1, and what of them counts
for a call with so much input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from domain.pricing.terms import PriceTerms
    from domain.pricing.usage import Usage

NANO_PER_TOKEN_FROM_USD_PER_MILLION = 1_000


RATE_TERMS = (
    *("input_per_million", "cached_input_per_million", "cache_write_per_million"),
    *("output_per_million", "reasoning_per_million"),
    *("audio_input_per_million", "audio_output_per_million"),
    "cache_write_1h_per_million",
    *("image_input_per_million", "cached_audio_input_per_million"),
    "cached_image_input_per_million",
)
"""The terms in the order of `Rates`."""


class Rates(NamedTuple):
    """One tier's prices of one token, each in the same small unit."""

    fresh: int
    cached: int
    written: int
    output: int
    reasoning: int
    heard: int
    spoken: int
    kept_long: int
    seen: int
    heard_again: int
    seen_again: int

    @property
    def dearest(self) -> tuple[int, int]:
        """The dearest token of the input, and of the output."""
        return (
            max(
                *(self.fresh, self.cached, self.written, self.heard),
                *(self.seen, self.heard_again, self.seen_again),
            ),
            max(self.output, self.reasoning, self.spoken),
        )

    def of_kinds(self, usage: Usage) -> int:
        """What audio and images cost beyond what the same tokens of text do."""
        return (
            usage.audio_input_tokens * (self.heard - self.fresh)
            + usage.audio_output_tokens * (self.spoken - self.output)
            + usage.image_input_tokens * (self.seen - self.fresh)
            + usage.cached_audio_input_tokens * (self.heard_again - self.cached)
            + usage.cached_image_input_tokens * (self.seen_again - self.cached)
        )


class Schedule(NamedTuple):
    """The rates of one service tier: its base, and what counts above so many input tokens."""

    base: Rates
    tiers: tuple[tuple[int, Rates], ...]

    @classmethod
    def of(cls, terms: PriceTerms, scale: int) -> Schedule:
        """The token terms in units of 1/scale nano-USD."""
        (_, base), *above = (
            (threshold, Rates(*(int(value * scale) for value in nano)))
            for threshold, nano in terms.nano_rates()
        )
        return cls(base, tuple(above))

    def rates(self, input_tokens: int) -> Rates:
        """The rates of a call with so much input."""
        rates = self.base
        for above, own in self.tiers:
            if input_tokens > above:
                rates = own
        return rates

    def dearest(self, input_tokens: int, *, kept_long: bool) -> tuple[int, int]:
        """The dearest input and output rate that a call of at most so much input could pay.

        A tier may be cheaper than the one below it, so every tier in reach counts. What is written
        to a cache for an hour counts for a call that asks for that.
        """
        reach = [self.base, *(own for above, own in self.tiers if input_tokens > above)]
        inputs, outputs = zip(*(each.dearest for each in reach), strict=True)
        dearest_input = max(inputs)
        if kept_long:
            dearest_input = max(dearest_input, *(each.kept_long for each in reach))
        return dearest_input, max(outputs)


class UnitRates(NamedTuple):
    """Prices of what is no token: an image asked with or made, a pixel, a second and the like."""

    input_image: int
    image: int
    pixel: int
    second: int
    search: int
    character: int


def nano_rates_of(terms: Mapping[str, Decimal | None]) -> tuple[Decimal, ...]:
    """Nano-USD of one token in the order of `Rates`, with the fallbacks of money rule 1.

    Cached audio and images fall back to the price of cached text only where their fresh tokens
    have no price of their own either: else to that, so that nothing dear is sold as cheap.
    """
    input_, output = terms["input_per_million"], terms["output_per_million"]
    assert input_ is not None
    assert output is not None

    def of(name: str, otherwise: Decimal) -> Decimal:
        value = terms[name]
        return otherwise if value is None else value

    cached = of("cached_input_per_million", input_)
    written = of("cache_write_per_million", input_)
    heard, seen = terms["audio_input_per_million"], terms["image_input_per_million"]
    chosen = (
        input_,
        cached,
        written,
        output,
        of("reasoning_per_million", output),
        input_ if heard is None else heard,
        of("audio_output_per_million", output),
        of("cache_write_1h_per_million", written),
        input_ if seen is None else seen,
        of("cached_audio_input_per_million", cached if heard is None else heard),
        of("cached_image_input_per_million", cached if seen is None else seen),
    )
    return tuple(value * NANO_PER_TOKEN_FROM_USD_PER_MILLION for value in chosen)
