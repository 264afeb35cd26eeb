"""Price versions, and the cost of a usage.

Keeps P4. A version compiles its terms once to integers over one power of ten, so that the hot
path computes the exact cost with integer arithmetic and rounds once (money rule 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple, TypedDict, Unpack

from domain.pricing.audio import second_rate
from domain.pricing.extras import HEARD, LONG_CACHE
from domain.pricing.money import decimal_text, divide_half_even, divide_up
from domain.pricing.rates import Rates, Schedule, UnitRates
from domain.pricing.uses import TERM_OF_USE, TIER_TERM

if TYPE_CHECKING:
    from collections.abc import Collection

    from domain.pricing.terms import PriceTerms
    from domain.pricing.usage import Usage

NANO_PER_UNIT_FROM_USD = 1_000_000_000
NANO_PER_PIXEL_FROM_USD_PER_MEGAPIXEL = 1_000
NANO_PER_USE_FROM_USD_PER_THOUSAND = 1_000_000
NANO_PER_CHARACTER_FROM_USD_PER_MILLION = 1_000
PLAIN_RATES = 5
"""The first of the rates: those of text."""


class Cost(NamedTuple):
    """A rounded cost in nano-USD, and the exact one as a decimal string of nano-USD."""

    nano_usd: int
    exact_nano_usd: str


class Beside(TypedDict, total=False):
    """What else than tokens a call may use at most, by the names of its bound."""

    input_images: int
    images: int
    image_pixels: int
    audio_seconds: int
    searches: int
    characters: int
    extras: tuple[str, ...]
    uses: tuple[tuple[str, int], ...]
    service_tiers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceVersion:
    """One published price of one offer. A call cites the version at its hold (money rule 12)."""

    version: str
    source: str
    effective_at: str
    terms: PriceTerms
    _scale: int = field(init=False, repr=False)
    _digits: int = field(init=False, repr=False)
    _plain: Schedule = field(init=False, repr=False)
    _base: Rates = field(init=False, repr=False)
    _base_dearest: tuple[int, int] = field(init=False, repr=False)
    _request: int = field(init=False, repr=False)
    _tiers: tuple[tuple[int, Rates], ...] = field(init=False, repr=False)
    _units: UnitRates = field(init=False, repr=False)
    _extras: dict[str, int] = field(init=False, repr=False)
    _uses: dict[str, int] = field(init=False, repr=False)
    _services: dict[str, Schedule] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compile the decimals to integers of 1/scale nano-USD."""
        terms = self.terms
        zero = Decimal(0)
        units = (
            (terms.per_request or zero) * NANO_PER_UNIT_FROM_USD,
            (terms.per_input_image or zero) * NANO_PER_UNIT_FROM_USD,
            (terms.per_image or zero) * NANO_PER_UNIT_FROM_USD,
            (terms.per_megapixel or zero) * NANO_PER_PIXEL_FROM_USD_PER_MEGAPIXEL,
            second_rate(terms.per_minute) if terms.per_minute else zero,
            (terms.per_thousand_searches or zero) * NANO_PER_USE_FROM_USD_PER_THOUSAND,
            (terms.per_million_characters or zero) * NANO_PER_CHARACTER_FROM_USD_PER_MILLION,
        )
        extras = {name: price * NANO_PER_UNIT_FROM_USD for name, price in terms.extras}
        if terms.prices_long_cache:
            extras.setdefault(LONG_CACHE.name, zero)  # It is priced by its tokens.
        uses = {name: price * NANO_PER_USE_FROM_USD_PER_THOUSAND for name, price in terms.uses}
        priced = [terms, *(own for _, own in terms.service_tiers)]
        every = [value for own in priced for _, rates in own.nano_rates() for value in rates]
        every += [*units, *extras.values(), *uses.values()]
        digits = max(max(0, -int(value.as_tuple().exponent)) for value in every)
        scale = 10**digits
        plain = Schedule.of(terms, scale)
        request, *others = (int(value * scale) for value in units)
        for name, value in (
            ("_scale", scale),
            ("_digits", digits),
            ("_plain", plain),
            ("_base", plain.base),
            ("_base_dearest", plain.base.dearest),
            ("_request", request),
            ("_tiers", plain.tiers),
            ("_units", UnitRates(*others)),
            ("_extras", {name: int(value * scale) for name, value in extras.items()}),
            ("_uses", {name: int(value * scale) for name, value in uses.items()}),
            ("_services", {name: Schedule.of(own, scale) for name, own in terms.service_tiers}),
        ):
            object.__setattr__(self, name, value)

    @property
    def counts_images(self) -> bool:
        """Whether an image that is made has a price of its own."""
        return self.terms.per_image is not None or self.terms.per_megapixel is not None

    @property
    def counts_seconds(self) -> bool:
        """Whether audio that is heard has a price by its length."""
        return self.terms.per_minute is not None

    @property
    def counts_searches(self) -> bool:
        """Whether a search unit of a rerank has a price."""
        return self.terms.per_thousand_searches is not None

    @property
    def counts_characters(self) -> bool:
        """Whether a character that is read aloud has a price."""
        return self.terms.per_million_characters is not None

    @property
    def counts_tokens(self) -> bool:
        """Whether tokens have a stated price, be it 0; who prices other units may have none."""
        return self.terms.tokens_stated

    def prices_extra(self, name: str) -> bool:
        """Whether an extra has a price."""
        return name in self._extras

    @property
    def uses(self) -> Collection[str]:
        """What is priced by its uses."""
        return self._uses.keys()

    @property
    def service_tiers(self) -> Collection[str]:
        """The service tiers that have a price."""
        return self._services.keys()

    def prices_term(self, term: str) -> bool:
        """Whether it states a term of uses, of audio that is heard, or of a service tier."""
        if term == HEARD.term:
            return self.terms.audio_input_per_million is not None
        if term.startswith(TIER_TERM):
            return term.removeprefix(TIER_TERM) in self._services
        return any(TERM_OF_USE[name] == term for name in self._uses)

    def lacks(self, usage: Usage) -> list[str]:
        """What a usage names and has no term here; a term that falls back to another has one."""
        lacking = [each for each in usage.extras if each not in self._extras]
        lacking += [name for name, _ in usage.uses if name not in self._uses]
        if usage.service_tier and usage.service_tier not in self._services:
            lacking.append(f"{TIER_TERM}{usage.service_tier}")
        return lacking

    def _dearest(self, input_tokens: int, beside: Beside) -> tuple[int, int]:
        """The dearest input and output rate of a call that may be served at these tiers, too."""
        kept_long = LONG_CACHE.name in beside.get("extras", ())
        service_tiers = beside.get("service_tiers", ())
        if not (self._tiers or kept_long or service_tiers):
            return self._base_dearest
        schedules = (self._plain, *(self._services[each] for each in service_tiers))
        found = [each.dearest(input_tokens, kept_long=kept_long) for each in schedules]
        return max(input_ for input_, _ in found), max(output for _, output in found)

    def cost(self, usage: Usage) -> Cost:
        """The exact cost of a usage, rounded once, half to even, to nano-USD."""
        rates = self._plain.rates(usage.input_tokens) if self._tiers else self._base
        if usage.service_tier:
            rates = self._services[usage.service_tier].rates(usage.input_tokens)
        in_, cached, written, out, reasoning = rates[:PLAIN_RATES]
        total = (
            (usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens) * in_
            + usage.cached_input_tokens * cached
            + usage.cache_write_tokens * written
            + (usage.output_tokens - usage.reasoning_tokens) * out
            + usage.reasoning_tokens * reasoning
            + self._request
        )
        if usage.has_kinds:
            total += rates.of_kinds(usage)
        if usage.cache_write_1h_tokens:
            total += usage.cache_write_1h_tokens * (rates.kept_long - written)
        if usage.input_images or usage.images:
            total += self._of_images(usage.input_images, usage.images, usage.image_pixels)
        if usage.audio_seconds or usage.searches:
            total += usage.audio_seconds * self._units.second + usage.searches * self._units.search
        if usage.characters:
            total += usage.characters * self._units.character
        if usage.extras or usage.uses:
            total += self._of_extras(usage.extras, usage.uses)
        if self._scale == 1:
            return Cost(total, str(total))
        return Cost(divide_half_even(total, self._scale), decimal_text(total, self._digits))

    def bound(self, *, input_tokens: int, output_tokens: int, **beside: Unpack[Beside]) -> int:
        """The most that so much can cost, in nano-USD, rounded up (money rule 2)."""
        dearest_input, dearest_output = self._dearest(input_tokens, beside)
        total = input_tokens * dearest_input + output_tokens * dearest_output + self._request
        if beside:
            total += self._of_beside(beside)
        return divide_up(total, self._scale)

    def affordable_output_tokens(
        self, *, input_tokens: int, available_nano_usd: int, **beside: Unpack[Beside]
    ) -> int:
        """The largest output that `available_nano_usd` covers after all else that is held for."""
        dearest_input, dearest_output = self._dearest(input_tokens, beside)
        others = input_tokens * dearest_input + self._request + self._of_beside(beside)
        rest = available_nano_usd * self._scale - others
        if rest <= 0 or dearest_output == 0:
            return 0
        return rest // dearest_output

    def _of_beside(self, beside: Beside) -> int:
        """What costs beside the tokens, in parts of a nano-USD."""
        units = self._units
        total = self._of_images(
            beside.get("input_images", 0), beside.get("images", 0), beside.get("image_pixels", 0)
        )
        total += beside.get("audio_seconds", 0) * units.second
        total += beside.get("searches", 0) * units.search
        total += beside.get("characters", 0) * units.character
        return total + self._of_extras(beside.get("extras", ()), beside.get("uses", ()))

    def _of_images(self, given: int, made: int, pixels: int) -> int:
        """What images of the prompt cost, and those that are made."""
        units = self._units
        return given * units.input_image + made * units.image + pixels * units.pixel

    def _of_extras(self, extras: tuple[str, ...], uses: tuple[tuple[str, int], ...]) -> int:
        """What extras and uses cost."""
        counted = sum(self._uses[name] * count for name, count in uses)
        return counted + sum(self._extras[name] for name in extras)
