"""Prices as exact decimals, price versions, and the cost of a usage.

Keeps P4 and P10. Prices are USD per million tokens, as providers publish them. A version
compiles them once to integers over one power of ten, so that the hot path computes the
exact cost with integer arithmetic and rounds once (money rule 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, NamedTuple

from domain.errors import InvalidPriceError
from domain.pricing.money import divide_half_even, divide_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.pricing.usage import Usage

NANO_PER_TOKEN_FROM_USD_PER_MILLION = 1_000
NANO_PER_UNIT_FROM_USD = 1_000_000_000
NANO_PER_PIXEL_FROM_USD_PER_MEGAPIXEL = 1_000
PRICE_DECIMALS_MAX = 18
"""More decimals than this in a price is taken for a mistake."""
TIERS_MAX = 8
BASE_ABOVE = -1
"""Every call has more input than this: the base rates count for all."""
ABOVE = "_above_"
"""`input_per_million_above_200000` is the input price of calls with more input tokens."""


def parse_price(name: str, text: str) -> Decimal:
    """Read one price term; raises InvalidPriceError when it is not a decimal of at least 0."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        message = f"{name} = {text!r} is not a decimal string of USD"
        raise InvalidPriceError(message) from None
    if not value.is_finite() or value < 0:
        message = f"{name} = {text!r} is not a finite price of at least 0"
        raise InvalidPriceError(message)
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > PRICE_DECIMALS_MAX:
        message = f"{name} = {text!r} has more than {PRICE_DECIMALS_MAX} decimals"
        raise InvalidPriceError(message)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTerms:
    """USD per million tokens for each term; None falls back, or is that of the tier below."""

    input_per_million: Decimal | None = None
    output_per_million: Decimal | None = None
    cached_input_per_million: Decimal | None = None
    cache_write_per_million: Decimal | None = None
    reasoning_per_million: Decimal | None = None
    audio_input_per_million: Decimal | None = None
    audio_output_per_million: Decimal | None = None


RATE_TERMS = (
    *("input_per_million", "cached_input_per_million", "cache_write_per_million"),
    *("output_per_million", "reasoning_per_million"),
    *("audio_input_per_million", "audio_output_per_million"),
)
"""The terms in the order of `Rates`."""
TOKEN_TERMS = tuple(item.name for item in fields(TokenTerms))
UNIT_TERMS = ("per_request", "per_input_image", "per_image", "per_megapixel")
PRICED_IMAGES = ("per_image", "per_megapixel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """The terms of calls with more than `above` input tokens."""

    above: int
    terms: TokenTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTerms:
    """What an offer costs: USD per million tokens, and USD for other units.

    A missing optional term falls back: cached, cache-write and audio input to input; reasoning
    and audio output to output. `per_request` is USD for one request, `per_input_image` for an
    image of the prompt, `per_image` for one that is made, `per_megapixel` for a million pixels
    of those. A call whose input exceeds a tier's threshold pays that tier's terms for all of its
    tokens, as OpenAI, Google and Anthropic bill long prompts.
    """

    input_per_million: Decimal
    output_per_million: Decimal
    cached_input_per_million: Decimal | None = None
    cache_write_per_million: Decimal | None = None
    reasoning_per_million: Decimal | None = None
    audio_input_per_million: Decimal | None = None
    audio_output_per_million: Decimal | None = None
    per_request: Decimal | None = None
    per_input_image: Decimal | None = None
    per_image: Decimal | None = None
    per_megapixel: Decimal | None = None
    tiers: tuple[Tier, ...] = ()

    @classmethod
    def parse(cls, terms: Mapping[str, str]) -> PriceTerms:
        """Read the terms from decimal strings; raises InvalidPriceError.

        A missing input or output price is refused, but where made images are priced: there a
        missing token price is 0. Tiers are terms named with `_above_` and a number of tokens.
        """
        found: dict[str, Decimal] = {}
        above: dict[int, dict[str, Decimal]] = {}
        for name, text in terms.items():
            base, found_above, threshold = name.partition(ABOVE)
            if base not in TOKEN_TERMS and (found_above or base not in UNIT_TERMS):
                message = f"{name} is not a price term"
                raise InvalidPriceError(message)
            if not found_above:
                found[name] = parse_price(name, text)
            elif threshold.isdecimal():
                above.setdefault(int(threshold), {})[base] = parse_price(name, text)
            else:
                message = f"{name} needs a number of tokens behind `{ABOVE}`"
                raise InvalidPriceError(message)
        if any(name in found for name in PRICED_IMAGES):
            found = {"input_per_million": Decimal(0), "output_per_million": Decimal(0)} | found
        for required in ("input_per_million", "output_per_million"):
            if required not in found:
                message = f"{required} is missing: a model without it is unpriced and refused"
                raise InvalidPriceError(message)
        if len(above) > TIERS_MAX:
            message = f"there are more than {TIERS_MAX} tiers"
            raise InvalidPriceError(message)
        tiers = (Tier(above=each, terms=TokenTerms(**above[each])) for each in sorted(above))
        return cls(**found, tiers=tuple(tiers))

    def at(self, input_tokens: int) -> dict[str, Decimal]:
        """Every token term of a call with so much input, fallbacks applied, USD per million."""
        reached = [rates for above, rates in self.nano_rates() if input_tokens > above]
        rates = zip(RATE_TERMS, reached[-1], strict=True)
        return {name: value / NANO_PER_TOKEN_FROM_USD_PER_MILLION for name, value in rates}

    def nano_rates(self) -> list[tuple[int, tuple[Decimal, ...]]]:
        """For the base and each tier: the input tokens above which it counts, and its rates.

        Rates are nano-USD of one token in the order of RATE_TERMS. What a tier does not state is
        as in the tier below it.
        """
        stated: dict[str, Decimal | None] = {name: getattr(self, name) for name in TOKEN_TERMS}
        found = [(BASE_ABOVE, _nano_rates(stated))]
        for tier in self.tiers:
            own = {name: getattr(tier.terms, name) for name in TOKEN_TERMS}
            stated |= {name: value for name, value in own.items() if value is not None}
            found.append((tier.above, _nano_rates(stated)))
        return found

    def as_strings(self) -> dict[str, str]:
        """The stated terms as decimal strings, for events and replies; `parse` reads them."""
        stated = {
            name: format(value, "f")
            for name in (*TOKEN_TERMS, *UNIT_TERMS)
            if (value := getattr(self, name)) is not None
        }
        for tier in self.tiers:
            for name in TOKEN_TERMS:
                if (value := getattr(tier.terms, name)) is not None:
                    stated[f"{name}{ABOVE}{tier.above}"] = format(value, "f")
        return stated


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

    @property
    def dearest(self) -> tuple[int, int]:
        """The dearest token of the input, and of the output."""
        return (
            max(self.fresh, self.cached, self.written, self.heard),
            max(self.output, self.reasoning, self.spoken),
        )


class UnitRates(NamedTuple):
    """Prices of what is not tokens: an image of the prompt, one made, one pixel made."""

    input_image: int
    image: int
    pixel: int


def _nano_rates(terms: Mapping[str, Decimal | None]) -> tuple[Decimal, ...]:
    """Nano-USD of one token in the order of `Rates`, with the fallbacks of money rule 1."""
    input_, output = terms["input_per_million"], terms["output_per_million"]
    assert input_ is not None
    assert output is not None
    cached, written, reasoning, heard, spoken = (
        terms[name]
        for name in (
            "cached_input_per_million",
            "cache_write_per_million",
            "reasoning_per_million",
            "audio_input_per_million",
            "audio_output_per_million",
        )
    )
    chosen = (
        input_,
        input_ if cached is None else cached,
        input_ if written is None else written,
        output,
        output if reasoning is None else reasoning,
        input_ if heard is None else heard,
        output if spoken is None else spoken,
    )
    return tuple(value * NANO_PER_TOKEN_FROM_USD_PER_MILLION for value in chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceVersion:
    """One published price of one offer. A call cites the version at its hold (money rule 12)."""

    version: str
    source: str
    effective_at: str
    terms: PriceTerms
    _scale: int = field(init=False, repr=False)
    _base: Rates = field(init=False, repr=False)
    _base_dearest: tuple[int, int] = field(init=False, repr=False)
    _request: int = field(init=False, repr=False)
    _tiers: tuple[tuple[int, Rates], ...] = field(init=False, repr=False)
    _units: UnitRates = field(init=False, repr=False)

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
        )
        every = [value for rates in nano for value in rates] + list(units)
        scale = 10 ** max(max(0, -int(value.as_tuple().exponent)) for value in every)
        rates = [Rates(*(int(value * scale) for value in each)) for each in nano]
        request, *others = (int(value * scale) for value in units)
        tiers = tuple(zip(thresholds[1:], rates[1:], strict=True))
        for name, value in (
            ("_scale", scale),
            ("_base", rates[0]),
            ("_base_dearest", rates[0].dearest),
            ("_request", request),
            ("_tiers", tiers),
            ("_units", UnitRates(*others)),
        ):
            object.__setattr__(self, name, value)

    def _rates(self, input_tokens: int) -> Rates:
        """The rates of a call with so much input."""
        rates = self._base
        for above, own in self._tiers:
            if input_tokens > above:
                rates = own
        return rates

    def _dearest(self, input_tokens: int) -> tuple[int, int]:
        """The dearest input and output rate that a call of at most so much input could pay.

        A tier may be cheaper than the one below it, so every tier in reach counts.
        """
        if not self._tiers:
            return self._base_dearest
        reach = [self._base, *(own for above, own in self._tiers if input_tokens > above)]
        return max(r.dearest[0] for r in reach), max(r.dearest[1] for r in reach)

    def cost(self, usage: Usage) -> Cost:
        """The exact cost of a usage, rounded once, half to even, to nano-USD."""
        rates = self._rates(usage.input_tokens) if self._tiers else self._base
        in_, cached, written, out, reasoning, heard, spoken = rates
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
        if usage.input_images or usage.images:
            total += usage.input_images * self._units.input_image
            total += usage.images * self._units.image + usage.image_pixels * self._units.pixel
        if self._scale == 1:
            return Cost(total, str(total))
        exact = format(Decimal(total) / self._scale, "f")
        return Cost(divide_half_even(total, self._scale), exact)

    def bound(
        self,
        *,
        input_tokens: int,
        output_tokens: int,
        input_images: int = 0,
        images: int = 0,
        image_pixels: int = 0,
    ) -> int:
        """The most that so much can cost, in nano-USD, rounded up (money rule 2)."""
        dearest_input, dearest_output = self._dearest(input_tokens)
        total = input_tokens * dearest_input + output_tokens * dearest_output + self._request
        if input_images or images:
            total += input_images * self._units.input_image
            total += images * self._units.image + image_pixels * self._units.pixel
        return divide_up(total, self._scale)

    def affordable_output_tokens(self, *, input_tokens: int, available_nano_usd: int) -> int:
        """The largest output that `available_nano_usd` covers after the input bound."""
        dearest_input, dearest_output = self._dearest(input_tokens)
        rest = available_nano_usd * self._scale - input_tokens * dearest_input - self._request
        if rest <= 0 or dearest_output == 0:
            return 0
        return rest // dearest_output
