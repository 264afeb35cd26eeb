"""Costs are exact sums, rounded once (P4, P10; money rules 1 and 2)."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidPriceError
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PriceTerms
from domain.pricing.usage import Usage


def version(**terms: str) -> PriceVersion:
    """A price version of these terms."""
    return PriceVersion(
        version="v", source="test", effective_at="now", terms=PriceTerms.parse(terms)
    )


BASE = {"input_per_million": "0.15", "output_per_million": "0.60"}
COSTS = [
    (BASE, Usage(input_tokens=10, output_tokens=5), 4_500, "4500"),
    (BASE, Usage(input_tokens=0, output_tokens=0), 0, "0"),
    # A missing cached term falls back to input, reasoning to output.
    (BASE, Usage(input_tokens=10, output_tokens=5, cached_input_tokens=10), 4_500, "4500"),
    (BASE, Usage(input_tokens=10, output_tokens=5, reasoning_tokens=5), 4_500, "4500"),
    (
        {**BASE, "cached_input_per_million": "0.075", "reasoning_per_million": "1"},
        Usage(input_tokens=10, output_tokens=5, cached_input_tokens=4, reasoning_tokens=2),
        6 * 150 + 4 * 75 + 3 * 600 + 2 * 1_000,
        "5000",
    ),
    (
        {**BASE, "cache_write_per_million": "0.30", "per_request": "0.01"},
        Usage(input_tokens=10, output_tokens=0, cache_write_tokens=4),
        6 * 150 + 4 * 300 + 10_000_000,
        "10002100",
    ),
    # Half a nano-USD goes to the even neighbour; the exact figure is kept.
    (
        {"input_per_million": "0.0005", "output_per_million": "0"},
        Usage(input_tokens=1, output_tokens=0),
        0,
        "0.5",
    ),
    (
        {"input_per_million": "0.0005", "output_per_million": "0"},
        Usage(input_tokens=3, output_tokens=0),
        2,
        "1.5",
    ),
]


@pytest.mark.parametrize(("terms", "usage", "nano", "exact"), COSTS)
def test_cost_table(terms: dict[str, str], usage: Usage, nano: int, exact: str) -> None:
    """Each line: terms, usage, the rounded cost, and the unrounded one (P4, money rule 1)."""
    cost = version(**terms).cost(usage)
    assert Decimal(cost.exact_nano_usd) == Decimal(exact)
    assert cost.nano_usd == nano


prices = st.decimals(min_value=0, max_value=1_000, places=7).map(lambda d: format(d, "f"))
counts = st.integers(0, 10**7)


@given(prices, prices, prices, counts, counts, counts, counts)
def test_cost_equals_decimal_arithmetic(
    price_in: str, price_out: str, price_cached: str, cached: int, rest: int, out: int, made: int
) -> None:
    """Compiled integers say what Decimals say; the bound is never below (P4, money rule 1)."""
    priced = version(
        input_per_million=price_in,
        output_per_million=price_out,
        cached_input_per_million=price_cached,
    )
    usage = Usage(
        input_tokens=cached + rest,
        cached_input_tokens=cached,
        output_tokens=out,
        reasoning_tokens=min(made, out),
    )
    exact = 1_000 * (
        rest * Decimal(price_in) + cached * Decimal(price_cached) + out * Decimal(price_out)
    )
    cost = priced.cost(usage)
    assert Decimal(cost.exact_nano_usd) == exact
    assert cost.nano_usd == int(exact.to_integral_value(ROUND_HALF_EVEN))
    bound = priced.bound(input_tokens=cached + rest, output_tokens=out)
    assert bound >= int(exact.to_integral_value(ROUND_CEILING))


@given(st.integers(0, 10**12), st.integers(0, 10**5))
def test_what_is_affordable_is_covered(available: int, input_tokens: int) -> None:
    """The largest output named in a refusal fits, and one token more does not
    (money rule 2, rule: refuse clearly).
    """
    priced = version(**BASE)
    tokens = priced.affordable_output_tokens(
        input_tokens=input_tokens, available_nano_usd=available
    )
    if tokens:
        assert priced.bound(input_tokens=input_tokens, output_tokens=tokens) <= available
    assert priced.bound(input_tokens=input_tokens, output_tokens=tokens + 1) > available


BAD = [
    {},
    {"input_per_million": "1"},
    {"output_per_million": "1"},
    {**BASE, "input_per_million": "-1"},
    {**BASE, "input_per_million": "x"},
    {**BASE, "input_per_million": "NaN"},
    {**BASE, "output_per_million": "0.0000000000000000001"},
]


@pytest.mark.parametrize("terms", BAD)
def test_a_bad_or_missing_price_is_refused(terms: dict[str, str]) -> None:
    """Unpriced means refused, never free (P10, money rule 1)."""
    with pytest.raises(InvalidPriceError):
        PriceTerms.parse(terms)


def test_terms_are_written_as_they_were_stated() -> None:
    """Events carry the stated terms, not the compiled ones (P4)."""
    assert version(**BASE).terms.as_strings() == BASE
