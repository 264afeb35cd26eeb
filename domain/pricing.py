"""Prices as exact decimals, price versions, and the cost of a usage.

Keeps P4 and P10. Prices are USD per million tokens, as providers publish them. A version
compiles them once to integers over one power of ten, so that the hot path computes the
exact cost with integer arithmetic and rounds once (money rule 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from domain.errors import InvalidPriceError
from domain.money import divide_half_even, divide_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.usage import Usage

NANO_PER_TOKEN_FROM_USD_PER_MILLION = 1_000
NANO_PER_REQUEST_FROM_USD = 1_000_000_000
PRICE_DECIMALS_MAX = 18
"""More decimals than this in a price is taken for a mistake."""


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
class PriceTerms:
    """USD per million tokens for each term; `per_request` is USD for one request.

    A missing optional term falls back: cached and cache-write to input, reasoning to output.
    """

    input_per_million: Decimal
    output_per_million: Decimal
    cached_input_per_million: Decimal | None = None
    cache_write_per_million: Decimal | None = None
    reasoning_per_million: Decimal | None = None
    per_request: Decimal | None = None

    @classmethod
    def parse(cls, terms: Mapping[str, str]) -> PriceTerms:
        """Read the terms from decimal strings; a missing input or output price is refused."""
        for required in ("input_per_million", "output_per_million"):
            if required not in terms:
                message = f"{required} is missing: a model without it is unpriced and refused"
                raise InvalidPriceError(message)
        known = [item.name for item in fields(cls)]
        return cls(**{name: parse_price(name, terms[name]) for name in known if name in terms})

    def as_strings(self) -> dict[str, str]:
        """The stated terms as decimal strings, for events and replies."""
        named = ((item.name, getattr(self, item.name)) for item in fields(self))
        return {name: format(value, "f") for name, value in named if value is not None}


@dataclass(frozen=True, slots=True)
class Cost:
    """A rounded cost in nano-USD, and the exact one as a decimal string of nano-USD."""

    nano_usd: int
    exact_nano_usd: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceVersion:
    """One published price of one offer. A call cites the version at its hold (money rule 12)."""

    version: str
    source: str
    effective_at: str
    terms: PriceTerms
    _scale: int = field(init=False, repr=False)
    _units: tuple[int, int, int, int, int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compile the decimals to integers of 1/scale nano-USD a token."""
        terms = self.terms
        cached, written, reasoning, request = (
            terms.cached_input_per_million,
            terms.cache_write_per_million,
            terms.reasoning_per_million,
            terms.per_request,
        )
        nano = [
            terms.input_per_million * NANO_PER_TOKEN_FROM_USD_PER_MILLION,
            (terms.input_per_million if cached is None else cached)
            * NANO_PER_TOKEN_FROM_USD_PER_MILLION,
            (terms.input_per_million if written is None else written)
            * NANO_PER_TOKEN_FROM_USD_PER_MILLION,
            terms.output_per_million * NANO_PER_TOKEN_FROM_USD_PER_MILLION,
            (terms.output_per_million if reasoning is None else reasoning)
            * NANO_PER_TOKEN_FROM_USD_PER_MILLION,
            (Decimal(0) if request is None else request) * NANO_PER_REQUEST_FROM_USD,
        ]
        decimals = max(max(0, -int(value.as_tuple().exponent)) for value in nano)
        scale = 10**decimals
        compiled = [int(value * scale) for value in nano]
        object.__setattr__(self, "_scale", scale)
        object.__setattr__(self, "_units", tuple(compiled))

    def cost(self, usage: Usage) -> Cost:
        """The exact cost of a usage, rounded once, half to even, to nano-USD."""
        in_, cached, written, out, reasoning, request = self._units
        total = (
            (usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens) * in_
            + usage.cached_input_tokens * cached
            + usage.cache_write_tokens * written
            + (usage.output_tokens - usage.reasoning_tokens) * out
            + usage.reasoning_tokens * reasoning
            + request
        )
        if self._scale == 1:
            return Cost(total, str(total))
        exact = format(Decimal(total) / self._scale, "f")
        return Cost(divide_half_even(total, self._scale), exact)

    def bound(self, *, input_tokens: int, output_tokens: int) -> int:
        """The most that many tokens can cost, in nano-USD, rounded up (money rule 2)."""
        in_, cached, written, out, reasoning, request = self._units
        total = (
            input_tokens * max(in_, cached, written) + output_tokens * max(out, reasoning) + request
        )
        return divide_up(total, self._scale)

    def affordable_output_tokens(self, *, input_tokens: int, available_nano_usd: int) -> int:
        """The largest output that `available_nano_usd` covers after the input bound."""
        in_, cached, written, out, reasoning, request = self._units
        rest = available_nano_usd * self._scale - input_tokens * max(in_, cached, written) - request
        dearest = max(out, reasoning)
        if rest <= 0 or dearest == 0:
            return 0
        return rest // dearest
