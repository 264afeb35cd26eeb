"""A share of a price: exact, and never of a shape that is no price."""

from __future__ import annotations

import pytest

from domain.pricing.shares import share_of
from domain.pricing.terms import PriceTerms

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("text", "percent", "expected"),
    [
        ("0.15", 0, "0"),
        ("0.15", 100, "0.15"),
        ("0.15", 25, "0.0375"),
        ("1000000", 1, "10000"),
        ("0.000000000000000001", 50, "0"),
        ("0.000000000000000003", 50, "0.000000000000000002"),
    ],
)
def test_each_term_is_multiplied(text: str, percent: int, expected: str) -> None:
    """Exactly, and half to even where a price has no more decimals (P4, money rule 1)."""
    terms = share_of({"input_per_million": text, "output_per_million": "0"}, percent)
    assert terms == {"input_per_million": expected, "output_per_million": "0"}
    PriceTerms.parse(terms)


@pytest.mark.parametrize("percent", [-1, 101])
def test_no_share_is_beyond_the_whole(percent: int) -> None:
    """Neither less than nothing nor more than all (P4)."""
    with pytest.raises(ValueError, match="no share"):
        share_of({}, percent)
