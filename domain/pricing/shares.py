"""A share of a price, in percent: of a cached answer's, of a line of a batch's, of an own key's.

Every term is multiplied exactly, so that the cost of a usage is the share of its cost but for the
one rounding (money rule 1). What would have more decimals than a price may is rounded half to even.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING

from domain.pricing.charges import version_of
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PRICE_DECIMALS_MAX, PriceTerms

if TYPE_CHECKING:
    from collections.abc import Mapping

WHOLE = 100
"""Percent of all of it."""
_EXACT = Context(prec=60)
_LEAST = Decimal(1).scaleb(-PRICE_DECIMALS_MAX)


def share_of(terms: Mapping[str, str], percent: int) -> dict[str, str]:
    """Terms as decimal strings, at so many percent; raises ValueError beyond 0 to 100."""
    if not 0 <= percent <= WHOLE:
        message = f"{percent} is no share in percent"
        raise ValueError(message)
    return {name: _part(Decimal(text), percent) for name, text in terms.items()}


def shared_price(
    provider: str, model: str, whole: PriceVersion, percent: int, source: str
) -> PriceVersion:
    """So many percent of an offer's price, as a price whose version follows from its terms (money
    rule 12); raises ValueError beyond 0 to 100.
    """
    terms = share_of(whole.terms.as_strings(), percent)
    # A price that states no tokens writes them as 0, and goes on to state none.
    parsed = replace(PriceTerms.parse(terms), tokens_stated=whole.terms.tokens_stated)
    return PriceVersion(
        version=version_of(provider, model, source, terms),
        source=source,
        effective_at=whole.effective_at,
        terms=parsed,
    )


def _part(value: Decimal, percent: int) -> str:
    part = _EXACT.divide(_EXACT.multiply(value, Decimal(percent)), Decimal(WHOLE))
    if -int(part.as_tuple().exponent) > PRICE_DECIMALS_MAX:
        part = part.quantize(_LEAST, rounding=ROUND_HALF_EVEN, context=_EXACT)
    text = format(part, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
