"""Price terms as exact decimals, as providers publish them: USD per million tokens, and per unit.

Keeps P4 and P10: what is no price is refused, and missing optional terms fall back (money rule 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from domain.errors import InvalidPriceError
from domain.pricing.rates import (
    NANO_PER_TOKEN_FROM_USD_PER_MILLION,
    RATE_TERMS,
    nano_rates_of,
)
from domain.pricing.uses import PLAIN_TIERS, TERM_OF_USE, TIER, USE_OF_TERM

if TYPE_CHECKING:
    from collections.abc import Mapping


PRICE_DECIMALS_MAX = 18
"""More decimals than this in a price is taken for a mistake."""


PRICE_USD_MAX = 1_000_000
"""The largest price of a million tokens or of a unit; more is taken for a mistake."""


TIERS_MAX = 8
"""Most tiers of long prompts, and most service tiers."""


BASE_ABOVE = -1
"""Every call has more input than this: the base rates count for all."""


ABOVE = "_above_"
"""`input_per_million_above_200000` is the input price of calls with more input tokens."""


AT_TIER = "_at_"
"""`input_per_million_at_flex` is the input price of calls that are served at that service tier."""


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
    if value > PRICE_USD_MAX:
        message = f"{name} = {text!r} is more than {PRICE_USD_MAX} USD, the largest price"
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
    cache_write_1h_per_million: Decimal | None = None
    image_input_per_million: Decimal | None = None
    cached_audio_input_per_million: Decimal | None = None
    cached_image_input_per_million: Decimal | None = None


TOKEN_TERMS = tuple(item.name for item in fields(TokenTerms))


REQUIRED_TERMS = ("input_per_million", "output_per_million")
UNIT_TERMS = (
    *("per_request", "per_input_image", "per_image", "per_megapixel", "per_minute"),
    *("per_thousand_searches", "per_million_characters"),
)


PRICED_UNITS = (
    *("per_image", "per_megapixel", "per_minute"),
    *("per_thousand_searches", "per_million_characters"),
)
"""A model with a price for one of these needs none for tokens."""


EXTRA = "extra_"
"""`extra_web_search` is the price of that extra, for a call that asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """The terms of calls with more than `above` input tokens."""

    above: int
    terms: TokenTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceTerms:
    """What an offer costs: USD per million tokens, and USD for other units.

    A missing optional term falls back: cached, cache-write, audio and image input to input; what is
    written to a cache for an hour to cache-write; reasoning and audio output to output; cached
    audio and images to fresh ones where those have a price, else to cached.
    `per_request` is USD for one request, `per_input_image` for an image of the prompt, `per_image`
    for one that is made, `per_megapixel` for a million pixels of those, `per_minute` for a minute
    of audio that is heard, `per_thousand_searches` for a thousand search units of a rerank,
    `per_million_characters` for a million characters that are read aloud; `extras` are USD for a
    call that asks for one, `uses` for a thousand uses. `service_tiers` are whole token prices: what
    one does not state falls back within it. A call whose input exceeds a tier's threshold pays that
    tier's terms for all of its tokens, as OpenAI, Google and Anthropic bill long prompts.
    """

    input_per_million: Decimal
    output_per_million: Decimal
    cached_input_per_million: Decimal | None = None
    cache_write_per_million: Decimal | None = None
    reasoning_per_million: Decimal | None = None
    audio_input_per_million: Decimal | None = None
    audio_output_per_million: Decimal | None = None
    cache_write_1h_per_million: Decimal | None = None
    image_input_per_million: Decimal | None = None
    cached_audio_input_per_million: Decimal | None = None
    cached_image_input_per_million: Decimal | None = None
    per_request: Decimal | None = None
    per_input_image: Decimal | None = None
    per_image: Decimal | None = None
    per_megapixel: Decimal | None = None
    per_minute: Decimal | None = None
    per_thousand_searches: Decimal | None = None
    per_million_characters: Decimal | None = None
    tiers: tuple[Tier, ...] = ()
    extras: tuple[tuple[str, Decimal], ...] = ()
    uses: tuple[tuple[str, Decimal], ...] = ()
    service_tiers: tuple[tuple[str, PriceTerms], ...] = ()
    tokens_stated: bool = field(default=True, compare=False)
    """Whether both token prices were stated; where they were not, 0 stands in."""

    @classmethod
    def parse(cls, terms: Mapping[str, str]) -> PriceTerms:
        """Read the terms from decimal strings; raises InvalidPriceError.

        A missing input or output price is refused, but where one of PRICED_UNITS is priced: there
        a missing token price is 0, and `tokens_stated` is False. Tiers are terms named with
        `_above_` and a number of tokens, those of a service tier end in `_at_` and its name.
        """
        found: dict[str, Decimal] = {}
        above: dict[int, dict[str, Decimal]] = {}
        extras: dict[str, Decimal] = {}
        uses: dict[str, Decimal] = {}
        plain, at_tiers = _by_service_tier(terms)
        for name, text in plain.items():
            if name.startswith(EXTRA):
                extras[name.removeprefix(EXTRA)] = parse_price(name, text)
                continue
            if name in USE_OF_TERM:
                uses[USE_OF_TERM[name]] = parse_price(name, text)
                continue
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
        stated = all(name in found for name in REQUIRED_TERMS)
        if any(name in found for name in PRICED_UNITS):
            found = dict.fromkeys(REQUIRED_TERMS, Decimal(0)) | found
        _check_required(found)
        if len(above) > TIERS_MAX:
            message = f"there are more than {TIERS_MAX} tiers"
            raise InvalidPriceError(message)
        tiers = (Tier(above=each, terms=TokenTerms(**above[each])) for each in sorted(above))
        return cls(
            **found,
            tiers=tuple(tiers),
            extras=tuple(sorted(extras.items())),
            uses=tuple(sorted(uses.items())),
            service_tiers=tuple((each, _tier_terms(each, at_tiers[each])) for each in at_tiers),
            tokens_stated=stated,
        )

    @property
    def prices_long_cache(self) -> bool:
        """Whether what is written to a cache for an hour has a price of its own, at any tier."""
        stated = [each.terms.cache_write_1h_per_million for each in self.tiers]
        return any(each is not None for each in (self.cache_write_1h_per_million, *stated))

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
        found = [(BASE_ABOVE, nano_rates_of(stated))]
        for tier in self.tiers:
            own = {name: getattr(tier.terms, name) for name in TOKEN_TERMS}
            stated |= {name: value for name, value in own.items() if value is not None}
            found.append((tier.above, nano_rates_of(stated)))
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
        stated |= {f"{EXTRA}{name}": format(price, "f") for name, price in self.extras}
        stated |= {TERM_OF_USE[name]: format(price, "f") for name, price in self.uses}
        for served, terms in self.service_tiers:
            own = terms.as_strings()
            stated |= {f"{name}{AT_TIER}{served}": text for name, text in own.items()}
        return stated


def _check_required(found: Mapping[str, Decimal]) -> None:
    for required in REQUIRED_TERMS:
        if required not in found:
            message = f"{required} is missing: a model without it is unpriced and refused"
            raise InvalidPriceError(message)


def _by_service_tier(
    terms: Mapping[str, str],
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The plain terms, and those of each service tier without its name; tiers by their names."""
    plain: dict[str, str] = {}
    found: dict[str, dict[str, str]] = {}
    for name, text in terms.items():
        base, at_tier, tier = name.partition(AT_TIER)
        if not at_tier or name.startswith(EXTRA):
            plain[name] = text
        elif tier in PLAIN_TIERS or not TIER.fullmatch(tier):
            message = f"{name} needs the name of a service tier behind `{AT_TIER}`, such as flex"
            raise InvalidPriceError(message)
        else:
            found.setdefault(tier, {})[base] = text
    if len(found) > TIERS_MAX:
        message = f"there are more than {TIERS_MAX} service tiers"
        raise InvalidPriceError(message)
    return plain, dict(sorted(found.items()))


def _tier_terms(tier: str, stated: Mapping[str, str]) -> PriceTerms:
    """The token price of a service tier; raises InvalidPriceError for any other term."""
    for name in stated:
        if name.partition(ABOVE)[0] not in TOKEN_TERMS:
            message = f"{name}{AT_TIER}{tier} is not a price term: a service tier prices tokens"
            raise InvalidPriceError(message)
    return PriceTerms.parse(stated)
