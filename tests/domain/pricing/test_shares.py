"""A share of a price is a price, exactly."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.errors import InvalidPriceError
from domain.pricing.charges import version_of
from domain.pricing.prices import PriceVersion
from domain.pricing.shares import ONE, parse_share, shared
from domain.pricing.terms import PriceTerms
from domain.pricing.usage import Usage

TERMS = {
    "input_per_million": "0.15",
    "output_per_million": "0.6",
    "cached_input_per_million": "0.075",
    "per_request": "0.01",
    "input_per_million_above_1000": "0.3",
    "extra_web_search": "0.5",
}


def price_of(terms: dict[str, str]) -> PriceVersion:
    """A price of these terms."""
    parsed = PriceTerms.parse(terms)
    return PriceVersion(version="v", source="file", effective_at="t", terms=parsed)


def half_of(price: PriceVersion, share: str = "0.5") -> PriceVersion:
    """A share of it."""
    return shared(price, Decimal(share), provider="p", model="m", label="share")


def test_every_term_is_so_much_of_what_it_was() -> None:
    """Tiers and extras with them, under a name that follows from them (P4, money rule 12)."""
    whole = price_of(TERMS)
    half = half_of(whole)
    told = half.terms.as_strings()
    assert {name: Decimal(text) for name, text in told.items()} == {
        name: Decimal(text) / 2 for name, text in TERMS.items()
    }
    assert (half.source, half.effective_at) == ("file, share 0.5", "t")
    assert half.version == version_of("p", "m", half.source, told)
    for tokens in (10, 2_000):
        usage = Usage(input_tokens=tokens, output_tokens=6, extras=("web_search",))
        assert half.cost(usage).nano_usd * 2 == whole.cost(usage).nano_usd


def test_the_whole_is_the_price_itself_and_none_is_free() -> None:
    """A share of 1 changes nothing, one of 0 makes every term 0 (P4)."""
    whole = price_of(TERMS)
    assert half_of(whole, "1") is whole
    assert ONE == 1
    free = half_of(whole, "0")
    assert free.cost(Usage(input_tokens=5_000, output_tokens=9)).nano_usd == 0
    assert PriceTerms.parse(free.terms.as_strings()) == free.terms


def test_a_term_keeps_no_more_decimals_than_a_price_may_have() -> None:
    """It is rounded to them, so that what the log says can be read again (P4)."""
    smallest = {"input_per_million": "0.000000000000000003", "output_per_million": "1"}
    half = half_of(price_of(smallest))
    assert half.terms.input_per_million == Decimal("0.000000000000000002")
    assert PriceTerms.parse(half.terms.as_strings()) == half.terms


@pytest.mark.parametrize("text", ["", "-0.5", "1.1", "2", "0.12345", "x", "1e-3", "NaN", ".5", "٠"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """Neither negative, nor above the whole, nor endless (P10)."""
    with pytest.raises(InvalidPriceError):
        parse_share(text)


def test_shares_are_decimals() -> None:
    """Exactly as they are written (P4)."""
    assert [parse_share(each) for each in ("0", "0.5", "1", "1.0", "0.1234")] == [
        Decimal(0),
        Decimal("0.5"),
        ONE,
        ONE,
        Decimal("0.1234"),
    ]
