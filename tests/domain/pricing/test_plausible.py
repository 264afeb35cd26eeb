"""Which reports of usage can be, and that what is believed can be charged."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.pricing.money import AMOUNT_NANO_USD_MAX, ENTRY_NANO_USD_MAX, EXACT
from domain.pricing.plausible import COSTLY_TOKENS, UsageMaxima, believed
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PRICE_DECIMALS_MAX, PRICE_USD_MAX, PriceTerms
from domain.pricing.usage import (
    REPORTED_TOKENS_MAX,
    UNREADABLE,
    Usage,
    estimated_usage,
)

UNKNOWN = 2_000_000
NOTHING: dict[str, Any] = {
    "context_length": None,
    "max_output_tokens": None,
    "requested": None,
    "unknown_tokens": UNKNOWN,
}
MAXIMA: list[tuple[dict[str, Any], UsageMaxima]] = [
    # A quarter more and 64 tokens are let pass.
    ({}, UsageMaxima(2_500_064, 2_500_064, 2_500_064)),
    ({"context_length": 100_000}, UsageMaxima(125_064, 125_064, 125_064)),
    (
        {"context_length": 100_000, "max_output_tokens": 8_000},
        UsageMaxima(125_064, 10_064, 10_064),
    ),
    # The caller's maximum binds the answer; reasoning may be what the model can.
    (
        {"context_length": 100_000, "max_output_tokens": 8_000, "requested": 100},
        UsageMaxima(125_064, 10_064, 189),
    ),
    ({"requested": 100}, UsageMaxima(2_500_064, 2_500_064, 189)),
    (
        {"max_output_tokens": 8_000, "requested": 100, "choices": 4},
        UsageMaxima(2_500_064, 40_064, 564),
    ),
    ({"max_output_tokens": 100, "requested": 8_000}, UsageMaxima(2_500_064, 10_064, 10_064)),
    ({"context_length": 8_000, "prompts": 10}, UsageMaxima(100_064, 10_064, 10_064)),
    # Whatever a list claims, there is an end.
    (
        {"context_length": 10**18, "max_output_tokens": 10**18, "requested": 10**18},
        UsageMaxima(REPORTED_TOKENS_MAX, REPORTED_TOKENS_MAX, REPORTED_TOKENS_MAX),
    ),
]


@pytest.mark.parametrize(("known", "maxima"), MAXIMA)
def test_the_most_that_a_call_can_have_used(known: dict[str, Any], maxima: UsageMaxima) -> None:
    """Each line: what is known, and the input, output and answer that are believed
    (money rule 6, rule: bounded).
    """
    assert UsageMaxima.of(**{**NOTHING, **known}) == maxima


MOST = UsageMaxima(1_000, 500, 100)
CAN_BE = [
    (Usage(0, 0), True),
    (Usage(1_000, 100), True),
    (Usage(1_001, 100), False),
    (Usage(1, 101), False),
    (Usage(1, 101, reasoning_tokens=1), True),
    (Usage(1, 500, reasoning_tokens=400), True),
    (Usage(1, 501, reasoning_tokens=450), False),
    (Usage(-1, 1), False),
    (Usage(1, -1), False),
    (Usage(2**64 - 1, 1), False),
    (Usage(1, 10**18, reasoning_tokens=10**18), False),
    (UNREADABLE, False),
]


@pytest.mark.parametrize(("usage", "can_be"), CAN_BE)
def test_what_can_be(usage: Usage, can_be: bool) -> None:
    """Each line: a report, and whether it is believed (money rule 6)."""
    assert MOST.allow(usage) is can_be


def judged(report: Usage | None, made: int, **more: Any) -> Usage:
    """What counts beside so much received."""
    return believed(
        report,
        MOST,
        price_of("1"),
        made=lambda: made,
        estimate=lambda tokens: estimated_usage(input_tokens=7, output_tokens=tokens),
        **more,
    )


OURS = Usage(7, 3, source="estimated")
REPLACED = OURS._replace(implausible=True)
BELIEVED = [
    (None, 3, OURS),
    (Usage(9, 4), 3, Usage(9, 4)),
    (Usage(9, 101), 3, REPLACED),
    (UNREADABLE, 3, REPLACED),
    # Nothing used beside something made cannot be; beside nothing it can.
    (Usage(9, 0), 3, REPLACED),
    (Usage(0, 4), 3, REPLACED),
    (Usage(0, 0), 3, REPLACED),
    (Usage(9, 0), 0, Usage(9, 0)),
    (Usage(0, 0), 0, Usage(0, 0)),
    (Usage(-9, 0), 0, Usage(7, 1, source="estimated", implausible=True)),
]


@pytest.mark.parametrize(("report", "made", "usage"), BELIEVED)
def test_what_cannot_be_is_replaced_by_our_own_count(
    report: Usage | None, made: int, usage: Usage
) -> None:
    """Marked as estimated, and as having replaced a report (money rule 6)."""
    assert judged(report, made) == usage
    assert usage.as_dict().get("implausible", False) is usage.implausible


def test_what_no_report_of_an_operation_tells_is_not_missed() -> None:
    """Embeddings have no output to count, priced images need no tokens (money rule 6)."""
    assert judged(Usage(9, 0), 3, least=(1, 0)) == Usage(9, 0)
    assert judged(Usage(0, 0), 3, least=(1, 0)) == REPLACED
    assert judged(Usage(0, 0), 3, least=(0, 0)) == Usage(0, 0)


def test_the_output_is_counted_only_where_that_decides() -> None:
    """A report that says all costs no second reading of the reply (money rule 6)."""

    def never() -> int:
        raise AssertionError

    found = believed(Usage(9, 4), MOST, price_of("1"), made=never, estimate=lambda _: REPLACED)
    assert found == Usage(9, 4)


DEAREST = str(PRICE_USD_MAX)


def price_of(token: str) -> PriceVersion:
    """One price for each term."""
    terms = {"input_per_million": token, "output_per_million": token, "per_request": token}
    return PriceVersion(
        version="v", source="test", effective_at="now", terms=PriceTerms.parse(terms)
    )


def test_no_report_is_believed_that_no_entry_can_be() -> None:
    """It would be void, and free: our own count stands in (P2, rule: bounded)."""
    maxima = UsageMaxima(REPORTED_TOKENS_MAX, REPORTED_TOKENS_MAX, REPORTED_TOKENS_MAX)
    terms = {"input_per_million": DEAREST, "output_per_million": DEAREST}
    price = PriceVersion(
        version="v", source="test", effective_at="now", terms=PriceTerms.parse(terms)
    )
    for report, usage in (
        (Usage(COSTLY_TOKENS - 1, 1), Usage(COSTLY_TOKENS - 1, 1)),
        (Usage(COSTLY_TOKENS, 1), REPLACED),
        (Usage(REPORTED_TOKENS_MAX, 4), REPLACED),
    ):
        found = believed(
            report,
            maxima,
            price,
            made=lambda: 3,
            estimate=lambda tokens: estimated_usage(input_tokens=7, output_tokens=tokens),
        )
        assert found == usage
    assert price.cost(Usage(COSTLY_TOKENS - 1, 1)).nano_usd == ENTRY_NANO_USD_MAX
    cheap = price_of("1")
    report = Usage(REPORTED_TOKENS_MAX, 4)
    assert believed(report, maxima, cheap, made=lambda: 3, estimate=lambda _: REPLACED) == report


def test_the_dearest_call_that_is_believed_can_be_charged() -> None:
    """The largest report at the largest price is below the largest amount (P1, rule: bounded)."""
    usage = Usage(REPORTED_TOKENS_MAX, REPORTED_TOKENS_MAX)
    assert price_of(DEAREST).cost(usage).nano_usd < AMOUNT_NANO_USD_MAX


@given(
    price=st.decimals(
        min_value=0, max_value=PRICE_USD_MAX, places=PRICE_DECIMALS_MAX, allow_nan=False
    ).map(lambda d: format(d, "f")),
    usage=st.builds(
        Usage,
        st.integers(0, REPORTED_TOKENS_MAX),
        st.integers(0, REPORTED_TOKENS_MAX),
        extras=st.just(()),
        uses=st.just(()),
        service_tier=st.just(""),
    ),
)
def test_every_allowed_cost_is_exact(price: str, usage: Usage) -> None:
    """To the last of all its digits, at whatever size (P4, money rule 1)."""
    with localcontext(EXACT):
        tokens = usage.input_tokens + usage.output_tokens
        exact = tokens * Decimal(price) * 1_000 + Decimal(price) * 1_000_000_000
        cost = price_of(price).cost(usage)
        assert Decimal(cost.exact_nano_usd) == exact
        assert cost.nano_usd == int(exact.to_integral_value(ROUND_HALF_EVEN))


def test_the_finest_price_of_the_largest_report_is_exact() -> None:
    """More digits than a Decimal keeps by default (P4)."""
    text = "999999." + "1" * PRICE_DECIMALS_MAX
    cost = price_of(text).cost(Usage(REPORTED_TOKENS_MAX - 1, REPORTED_TOKENS_MAX - 3))
    with localcontext(EXACT):
        price = Decimal(text)
        expected = (2 * REPORTED_TOKENS_MAX - 4) * price * 1_000 + price * 1_000_000_000
        assert Decimal(cost.exact_nano_usd) == expected
    assert len(cost.exact_nano_usd) > 28
