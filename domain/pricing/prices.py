"""Price versions, and the cost of a usage.

Keeps P4. A version compiles its terms once to integers over one power of ten, so that the hot
path computes the exact cost with integer arithmetic and rounds once (money rule 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from domain.pricing.extras import LONG_CACHE
from domain.pricing.money import divide_half_even, divide_up

if TYPE_CHECKING:
    from domain.pricing.terms import PriceTerms
    from domain.pricing.usage import Usage

NANO_PER_UNIT_FROM_USD = 1_000_000_000
NANO_PER_PIXEL_FROM_USD_PER_MEGAPIXEL = 1_000
NANO_PER_SEARCH_FROM_USD_PER_THOUSAND = 1_000_000


class Cost(NamedTuple):
    """A rounded cost in nano-USD, and the exact one as a decimal string of nano-USD."""

    nano_usd: int
    exact_nano_usd: str


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

    @property
    def dearest(self) -> tuple[int, int]:
        """The dearest token of the input, and of the output."""
        return (
            max(self.fresh, self.cached, self.written, self.heard),
            max(self.output, self.reasoning, self.spoken),
        )


class UnitRates(NamedTuple):
    """Prices of what is not tokens: an image of the prompt, one made, one pixel, one search."""

    input_image: int
    image: int
    pixel: int
    search: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceVersion:
    """One published price of one offer. A call cites the version at its hold (money rule 12)."""

    version: str
    source: str
    effective_at: str
    terms: PriceTerms
    _scale: int = field(init=False, repr=False)
    _digits: int = field(init=False, repr=False)
    _base: Rates = field(init=False, repr=False)
    _base_dearest: tuple[int, int] = field(init=False, repr=False)
    _request: int = field(init=False, repr=False)
    _tiers: tuple[tuple[int, Rates], ...] = field(init=False, repr=False)
    _units: UnitRates = field(init=False, repr=False)
    _extras: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compile the decimals to integers of 1/scale nano-USD."""
        terms = self.terms
        thresholds, nano = zip(*terms.nano_rates(), strict=True)
        zero = Decimal(0)
        units = (
            (terms.per_request or zero) * NANO_PER_UNIT_FROM_USD,
            (terms.per_input_image or zero) * NANO_PER_UNIT_FROM_USD,
            (terms.per_image or zero) * NANO_PER_UNIT_FROM_USD,
            (terms.per_megapixel or zero) * NANO_PER_PIXEL_FROM_USD_PER_MEGAPIXEL,
            (terms.per_thousand_searches or zero) * NANO_PER_SEARCH_FROM_USD_PER_THOUSAND,
        )
        extras = {name: price * NANO_PER_UNIT_FROM_USD for name, price in terms.extras}
        if terms.prices_long_cache:
            extras.setdefault(LONG_CACHE.name, zero)  # It is priced by its tokens.
        every = [value for rates in nano for value in rates] + [*units, *extras.values()]
        digits = max(max(0, -int(value.as_tuple().exponent)) for value in every)
        scale = 10**digits
        rates = [Rates(*(int(value * scale) for value in each)) for each in nano]
        request, *others = (int(value * scale) for value in units)
        tiers = tuple(zip(thresholds[1:], rates[1:], strict=True))
        for name, value in (
            ("_scale", scale),
            ("_digits", digits),
            ("_base", rates[0]),
            ("_base_dearest", rates[0].dearest),
            ("_request", request),
            ("_tiers", tiers),
            ("_units", UnitRates(*others)),
            ("_extras", {name: int(value * scale) for name, value in extras.items()}),
        ):
            object.__setattr__(self, name, value)

    @property
    def counts_images(self) -> bool:
        """Whether an image that is made has a price of its own."""
        return self.terms.per_image is not None or self.terms.per_megapixel is not None

    @property
    def counts_searches(self) -> bool:
        """Whether a search unit of a rerank has a price."""
        return self.terms.per_thousand_searches is not None

    @property
    def counts_tokens(self) -> bool:
        """Whether tokens have a stated price, be it 0; who prices other units may have none."""
        return self.terms.tokens_stated

    def prices_extra(self, name: str) -> bool:
        """Whether an extra has a price."""
        return name in self._extras

    def _rates(self, input_tokens: int) -> Rates:
        """The rates of a call with so much input."""
        rates = self._base
        for above, own in self._tiers:
            if input_tokens > above:
                rates = own
        return rates

    def _dearest(self, input_tokens: int, *, kept_long: bool = False) -> tuple[int, int]:
        """The dearest input and output rate that a call of at most so much input could pay.

        A tier may be cheaper than the one below it, so every tier in reach counts. What is written
        to a cache for an hour counts for a call that asks for that.
        """
        if not (self._tiers or kept_long):
            return self._base_dearest
        reach = [self._base, *(own for above, own in self._tiers if input_tokens > above)]
        inputs, outputs = zip(*(each.dearest for each in reach), strict=True)
        dearest_input = max(inputs)
        if kept_long:
            dearest_input = max(dearest_input, *(each.kept_long for each in reach))
        return dearest_input, max(outputs)

    def cost(self, usage: Usage) -> Cost:
        """The exact cost of a usage, rounded once, half to even, to nano-USD."""
        rates = self._rates(usage.input_tokens) if self._tiers else self._base
        in_, cached, written, out, reasoning, heard, spoken, kept_long = rates
        total = (
            (usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens) * in_
            + usage.cached_input_tokens * cached
            + usage.cache_write_tokens * written
            + (usage.output_tokens - usage.reasoning_tokens) * out
            + usage.reasoning_tokens * reasoning
            + self._request
        )
        if usage.audio_input_tokens or usage.audio_output_tokens:
            total += usage.audio_input_tokens * (heard - in_)
            total += usage.audio_output_tokens * (spoken - out)
        if usage.cache_write_1h_tokens:
            total += usage.cache_write_1h_tokens * (kept_long - written)
        if usage.input_images or usage.images:
            total += usage.input_images * self._units.input_image
            total += usage.images * self._units.image + usage.image_pixels * self._units.pixel
        if usage.searches:
            total += usage.searches * self._units.search
        if usage.extras:
            total += sum(self._extras[name] for name in usage.extras)
        if self._scale == 1:
            return Cost(total, str(total))
        return Cost(divide_half_even(total, self._scale), _decimal(total, self._digits))

    def bound(
        self,
        *,
        input_tokens: int,
        output_tokens: int,
        input_images: int = 0,
        images: int = 0,
        image_pixels: int = 0,
        searches: int = 0,
        extras: tuple[str, ...] = (),
    ) -> int:
        """The most that so much can cost, in nano-USD, rounded up (money rule 2)."""
        dearest_input, dearest_output = self._dearest(
            input_tokens, kept_long=LONG_CACHE.name in extras
        )
        total = input_tokens * dearest_input + output_tokens * dearest_output + self._request
        if input_images or images:
            total += input_images * self._units.input_image
            total += images * self._units.image + image_pixels * self._units.pixel
        if searches:
            total += searches * self._units.search
        if extras:
            total += sum(self._extras[name] for name in extras)
        return divide_up(total, self._scale)

    def affordable_output_tokens(self, *, input_tokens: int, available_nano_usd: int) -> int:
        """The largest output that `available_nano_usd` covers after the input bound."""
        dearest_input, dearest_output = self._dearest(input_tokens)
        rest = available_nano_usd * self._scale - input_tokens * dearest_input - self._request
        if rest <= 0 or dearest_output == 0:
            return 0
        return rest // dearest_output


def _decimal(value: int, digits: int) -> str:
    """An integer of 10^-digits as a decimal string, exactly, however large it is."""
    whole, rest = divmod(value, 10**digits)
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".")
