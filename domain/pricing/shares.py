"""A share of a price: what the lines of a batch pay, as a price of its own.

Keeps P4 and money rule 12: a call cites one version, whose terms are the terms it is charged by.
"""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Any

from domain.errors import InvalidPriceError
from domain.pricing.charges import version_of
from domain.pricing.money import EXACT
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PRICE_DECIMALS_MAX

if TYPE_CHECKING:
    from domain.pricing.terms import PriceTerms, TokenTerms

SHARE_DECIMALS_MAX = 4
ONE = Decimal(1)
_SMALLEST = Decimal(1).scaleb(-PRICE_DECIMALS_MAX)
_ROUNDED = Context(prec=64, rounding=ROUND_HALF_EVEN)


def parse_share(text: str) -> Decimal:
    """A share between 0 and 1; raises InvalidPriceError for what is none."""
    whole, _, rest = text.partition(".")
    digits = whole + rest
    if not (whole and digits.isascii() and digits.isdecimal()) or len(rest) > SHARE_DECIMALS_MAX:
        message = f"{text!r} is not a decimal of at most {SHARE_DECIMALS_MAX} decimals"
        raise InvalidPriceError(message)
    found = Decimal(text)
    if found > ONE:
        message = f"{text!r} is more than the whole price"
        raise InvalidPriceError(message)
    return found


def shared(
    price: PriceVersion, share: Decimal, *, provider: str, model: str, label: str
) -> PriceVersion:
    """The price of which every term is so much of what it was, under a name of its own.

    The whole is the price itself. `label` says in its source why. A term with more decimals than a
    price may have is rounded to them, half to even.
    """
    if share == ONE:
        return price
    terms = _scaled_terms(price.terms, share)
    source = f"{price.source}, {label} {share}"
    version = version_of(provider, model, source, terms.as_strings())
    return PriceVersion(
        version=version, source=source, effective_at=price.effective_at, terms=terms
    )


def _scaled(value: Decimal, share: Decimal) -> Decimal:
    product = EXACT.multiply(value, share)
    if -int(product.as_tuple().exponent) <= PRICE_DECIMALS_MAX:
        return product
    return product.quantize(_SMALLEST, context=_ROUNDED)


def _scaled_members(terms: PriceTerms | TokenTerms, share: Decimal) -> dict[str, Any]:
    named = {each.name: getattr(terms, each.name) for each in fields(terms)}
    return {
        name: _scaled(value, share) for name, value in named.items() if isinstance(value, Decimal)
    }


def _scaled_terms(terms: PriceTerms, share: Decimal) -> PriceTerms:
    tiers = tuple(
        replace(each, terms=replace(each.terms, **_scaled_members(each.terms, share)))
        for each in terms.tiers
    )
    extras = tuple((name, _scaled(value, share)) for name, value in terms.extras)
    return replace(terms, **_scaled_members(terms, share), tiers=tiers, extras=extras)
