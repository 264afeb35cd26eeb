"""Costs are exact sums, rounded once (P4, P10; money rule 1, money rule 2)."""

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
    # Whole dollars a million need no smaller unit than the nano-USD.
    (
        {"input_per_million": "1", "output_per_million": "2"},
        Usage(input_tokens=3, output_tokens=4),
        11_000,
        "11000",
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


LONG = "cache_write_1h"


@given(prices, prices, prices, counts, counts, counts)
def test_what_is_kept_for_an_hour_has_a_price_of_its_own(
    price_in: str, price_written: str, price_long: str, fresh: int, written: int, long: int
) -> None:
    """What Decimals say, bounded where it is asked for (P4, money rule 1, money rule 2)."""
    priced = version(
        input_per_million=price_in,
        output_per_million="0",
        cache_write_per_million=price_written,
        cache_write_1h_per_million=price_long,
    )
    usage = Usage(
        input_tokens=fresh + written + long,
        output_tokens=0,
        cache_write_tokens=written + long,
        cache_write_1h_tokens=long,
        extras=(LONG,),
    )
    exact = 1_000 * (
        fresh * Decimal(price_in) + written * Decimal(price_written) + long * Decimal(price_long)
    )
    cost = priced.cost(usage)
    assert Decimal(cost.exact_nano_usd) == exact
    tokens = usage.input_tokens
    asked = priced.bound(input_tokens=tokens, output_tokens=0, extras=(LONG,))
    assert asked >= int(exact.to_integral_value(ROUND_CEILING))
    dearest = max(Decimal(price_in), Decimal(price_written))
    plain = 1_000 * tokens * dearest
    least = priced.bound(input_tokens=tokens, output_tokens=0)
    assert least == int(plain.to_integral_value(ROUND_CEILING))


def test_an_hour_is_priced_by_its_term_alone() -> None:
    """At any tier; without one it falls back, and an extra's price is no term's (money rule 1)."""
    written = {**BASE, "cache_write_per_million": "0.30"}
    usage = Usage(input_tokens=10, output_tokens=0, cache_write_tokens=4, cache_write_1h_tokens=3)
    assert version(**BASE).cost(usage).nano_usd == 10 * 150
    assert version(**written).cost(usage).nano_usd == 6 * 150 + 4 * 300
    long = version(**written, cache_write_1h_per_million="0.60")
    assert long.cost(usage).nano_usd == 6 * 150 + 300 + 3 * 600
    assert long.prices_extra(LONG)
    assert not version(**written).prices_extra(LONG)
    tiered = version(**BASE, cache_write_1h_per_million_above_5="2")
    assert tiered.prices_extra(LONG)
    assert tiered.cost(usage._replace(extras=(LONG,))).nano_usd == 7 * 150 + 3 * 2_000
    assert tiered.bound(input_tokens=5, output_tokens=1, extras=(LONG,)) == 5 * 150 + 600
    assert tiered.bound(input_tokens=6, output_tokens=1, extras=(LONG,)) == 6 * 2_000 + 600
    assert tiered.bound(input_tokens=6, output_tokens=1) == 6 * 150 + 600
    both = version(**BASE, cache_write_1h_per_million="0.60", extra_cache_write_1h="0.01")
    assert both.cost(usage._replace(extras=(LONG,))).nano_usd == 7 * 150 + 3 * 600 + 10_000_000
    assert both.terms.as_strings()["cache_write_1h_per_million"] == "0.60"


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


TIERED = {
    **BASE,
    "cached_input_per_million": "0.05",
    "input_per_million_above_100": "0.30",
    "output_per_million_above_1000": "0.10",
    "cached_input_per_million_above_1000": "0.40",
}
AT = [
    (100, {"input": "0.15", "cached_input": "0.05", "cache_write": "0.15", "output": "0.60"}),
    # A tier counts above its threshold, and what it does not state is as in the tier below.
    (101, {"input": "0.30", "cached_input": "0.05", "audio_input": "0.30", "reasoning": "0.60"}),
    (1_000, {"input": "0.30", "cached_input": "0.05", "output": "0.60"}),
    (1_001, {"input": "0.30", "cached_input": "0.40", "output": "0.10", "audio_output": "0.10"}),
]


@pytest.mark.parametrize(("tokens", "expected"), AT)
def test_tiers(tokens: int, expected: dict[str, str]) -> None:
    """Each line: a call's input, and what its tokens cost, all of them (money rule 1)."""
    priced = version(**TIERED)
    terms = priced.terms.at(tokens)
    assert {name: terms[f"{name}_per_million"] for name in expected} == {
        name: Decimal(value) for name, value in expected.items()
    }
    usage = Usage(input_tokens=tokens, output_tokens=10, cached_input_tokens=4)
    exact = 1_000 * (
        (tokens - 4) * terms["input_per_million"]
        + 4 * terms["cached_input_per_million"]
        + 10 * terms["output_per_million"]
    )
    assert Decimal(priced.cost(usage).exact_nano_usd) == exact


def test_a_bound_reckons_with_every_tier_in_reach() -> None:
    """A tier may be cheaper than the one below it: the dearest counts (money rule 2)."""
    priced = version(**TIERED)
    assert priced.bound(input_tokens=100, output_tokens=10) == 100 * 150 + 10 * 600
    assert priced.bound(input_tokens=1_000, output_tokens=10) == 1_000 * 300 + 10 * 600
    assert priced.bound(input_tokens=1_001, output_tokens=10) == 1_001 * 400 + 10 * 600


def test_a_bound_takes_the_dearest_kind_of_token() -> None:
    """Each term may be the dearest of its side (money rule 2)."""
    inputs = ("cached_input", "cache_write", "audio_input", "image_input")
    for name in inputs:
        assert version(**BASE, **{f"{name}_per_million": "2"}).bound(
            input_tokens=3, output_tokens=5
        ) == (3 * 2_000 + 5 * 600)
    for name in ("reasoning", "audio_output"):
        assert version(**BASE, **{f"{name}_per_million": "2"}).bound(
            input_tokens=3, output_tokens=5
        ) == (3 * 150 + 5 * 2_000)


IMAGES = {"per_image": "0.04", "per_megapixel": "0.01", "per_input_image": "0.002"}


def test_images_cost_by_piece_and_by_pixel() -> None:
    """Where made images are priced, a missing token price is 0 (P10, money rule 1)."""
    priced = version(**IMAGES)
    both = version(**IMAGES, **BASE)
    seen = Usage(10, 5).with_input_images(1)
    assert both.cost(seen).nano_usd == 10 * 150 + 5 * 600 + 2_000_000
    assert both.bound(input_tokens=10, output_tokens=5, input_images=1) == 2_004_500
    usage = Usage(0, 0).with_images(2, 500_000).with_input_images(3)
    nano = 2 * 40_000_000 + 500_000 * 10 + 3 * 2_000_000
    assert priced.cost(usage).nano_usd == nano
    assert priced.cost(usage.with_input_images(0)).nano_usd == nano - 6_000_000
    assert priced.cost(Usage(7, 9)).nano_usd == 0
    most = priced.bound(
        input_tokens=9, output_tokens=9, input_images=3, images=2, image_pixels=500_000
    )
    assert most == nano
    assert priced.bound(input_tokens=9, output_tokens=9, images=1) == 40_000_000
    assert priced.bound(input_tokens=9, output_tokens=9, input_images=1) == 2_000_000
    assert version(**IMAGES, **BASE).bound(input_tokens=2, output_tokens=0) == 300


def test_audio_is_priced_apart_from_text() -> None:
    """Audio tokens lie in the counts of input and output, at rates of their own (money rule 1)."""
    priced = version(**BASE, audio_input_per_million="1", audio_output_per_million="2")
    heard = Usage(input_tokens=10, output_tokens=5, audio_input_tokens=4)
    spoken = Usage(input_tokens=10, output_tokens=5, audio_output_tokens=3)
    assert priced.cost(heard).nano_usd == 6 * 150 + 4 * 1_000 + 5 * 600
    assert priced.cost(spoken).nano_usd == 10 * 150 + 2 * 600 + 3 * 2_000


def test_images_of_the_input_are_priced_apart_from_text() -> None:
    """Their tokens lie in the count of the input, at a rate of their own (money rule 1)."""
    seen = Usage(input_tokens=10, output_tokens=5, image_input_tokens=4)
    priced = version(**BASE, image_input_per_million="1")
    assert priced.cost(seen).nano_usd == 6 * 150 + 4 * 1_000 + 5 * 600
    assert version(**BASE).cost(seen).nano_usd == 10 * 150 + 5 * 600
    assert seen.as_dict()["image_input_tokens"] == 4


def test_what_a_request_costs_is_in_the_bound_and_in_what_is_affordable() -> None:
    """A price of the request itself is paid once, whatever the counts (money rule 2)."""
    priced = version(**BASE, per_request="0.000001")
    assert priced.bound(input_tokens=2, output_tokens=3) == 2 * 150 + 3 * 600 + 1_000
    for available, tokens in [(1_300, 0), (1_899, 0), (1_900, 1), (2_500, 2)]:
        found = priced.affordable_output_tokens(input_tokens=2, available_nano_usd=available)
        assert found == tokens


def test_what_is_affordable_reckons_with_the_tiers_and_the_last_nano() -> None:
    """A dearer input leaves less for the output; what is left is used up (money rule 2)."""
    found = version(**TIERED).affordable_output_tokens(input_tokens=101, available_nano_usd=36_300)
    assert found == (36_300 - 101 * 300) // 600
    least = version(input_per_million="0.001", output_per_million="0.001")
    for available, tokens in [(3, 0), (4, 1)]:
        most = least.affordable_output_tokens(input_tokens=3, available_nano_usd=available)
        assert most == tokens


def test_free_output_names_no_largest_output() -> None:
    """Where output costs nothing no maximum would help (money rule 2)."""
    free = version(input_per_million="1", output_per_million="0")
    assert free.affordable_output_tokens(input_tokens=1, available_nano_usd=10**9) == 0


MANY_TIERS = {**BASE, **{f"input_per_million_above_{above}": "1" for above in range(9)}}
BAD: list[dict[str, str]] = [
    {**BASE, "input_per_milion": "1"},
    {**BASE, "per_image_above_100": "1"},
    {**BASE, "input_per_million_above_": "1"},
    {**BASE, "input_per_million_above_1e3": "1"},
    {**BASE, "output_per_million_above_100": "-1"},
    MANY_TIERS,
    {"per_request": "1"},
    {"per_input_image": "1"},
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


LARGE = {f"input_per_million_above_{above}": "0.000000000000000001" for above in range(8)}


SMALLEST = {**BASE, "output_per_million": "0.000000000000000001"}


def test_the_smallest_price_is_written_out() -> None:
    """A decimal string has no exponent, as a term and as an exact cost (P4)."""
    priced = version(**SMALLEST)
    assert priced.cost(Usage(0, 1)) == (0, "0.000000000000001")


@pytest.mark.parametrize("terms", [BASE, SMALLEST, TIERED, {**BASE, **IMAGES}, {**BASE, **LARGE}])
def test_terms_are_written_as_they_were_stated(terms: dict[str, str]) -> None:
    """Events carry the stated terms, not the compiled ones (P5)."""
    written = version(**terms).terms.as_strings()
    assert written == terms
    assert PriceTerms.parse(written) == PriceTerms.parse(terms)


def test_a_refusal_of_a_price_says_what_is_wrong() -> None:
    """The operator reads the term and the cure (P10)."""
    for terms, said in [
        ({**BASE, "colour": "1"}, "colour is not a price term"),
        ({**BASE, "input_per_million_above_x": "1"}, "input_per_million_above_x needs a number"),
        ({"input_per_million": "1"}, "output_per_million is missing"),
        ({**BASE, "input_per_million_above_5": "x"}, "input_per_million_above_5 = 'x' is not"),
        ({**BASE, "per_request": "1e-19"}, "per_request = '1e-19' has more than 18 decimals"),
        (MANY_TIERS, "there are more than 8 tiers"),
        ({**BASE, "input_per_million": "x"}, "input_per_million = 'x' is not a decimal"),
        ({**BASE, "input_per_million": "1e7"}, "input_per_million = '1e7' is more than 1000000"),
        ({**BASE, "input_per_million": "-1"}, "input_per_million = '-1' is not a finite price"),
    ]:
        with pytest.raises(InvalidPriceError, match=f"^{said}"):
            PriceTerms.parse(terms)
