"""Currencies, packages, and what they buy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidAmountError, InvalidCommandError
from domain.payments.fiat import (
    AMOUNT_LEAST,
    AMOUNT_MAX,
    Fiat,
    check_fiat,
    credits_for,
    rates_of,
    shown,
)
from domain.payments.packages import PACKAGES, package_named

USD = 10**9
BOUGHT = [
    (Fiat(1_000, "usd"), "1", 10 * USD),
    (Fiat(1, "usd"), "1", USD // 100),
    (Fiat(1_000, "eur"), "1.0842", 10_842_000_000),
    (Fiat(1_000, "jpy"), "0.0067", 6_700_000_000),
    (Fiat(1_000, "kwd"), "3.25", 3_250_000_000),
    (Fiat(50, "krw"), "0.000000001", 50),
    (Fiat(25, "eur"), "0.000000002", 0),
    (Fiat(75, "eur"), "0.000000002", 2),
]


@pytest.mark.parametrize(("paid", "rate", "bought"), BOUGHT)
def test_an_amount_buys_exactly_so_much(paid: Fiat, rate: str, bought: int) -> None:
    """By the currency's decimals, rounded once, a tie to even; never for nothing (P4)."""
    if bought:
        assert credits_for(paid, rate) == bought
    else:
        with pytest.raises(InvalidAmountError):
            credits_for(paid, rate)


@given(st.integers(AMOUNT_LEAST, AMOUNT_MAX))
def test_a_cent_is_a_hundredth_of_a_credit(minor: int) -> None:
    """Whatever the amount (money rule 12)."""
    assert credits_for(Fiat(minor, "usd"), "1") == minor * USD // 100


def test_amounts_that_cannot_be_paid() -> None:
    """Nothing, less, too much, an unknown currency (rule: refuse clearly)."""
    rates = rates_of({"eur": "1.1"})
    for minor in (0, -1, 49, AMOUNT_MAX + 1, 10**30):
        with pytest.raises(InvalidAmountError):
            check_fiat(Fiat(minor, "usd"), rates)
    with pytest.raises(InvalidAmountError, match="pay in eur, usd"):
        check_fiat(Fiat(100, "gbp"), rates)
    assert check_fiat(Fiat(100, "eur"), rates) == "1.1"
    assert check_fiat(Fiat(50, "usd"), rates) == "1"


@pytest.mark.parametrize(
    "given",
    [
        *({"eur": "0"}, {"eur": "-1"}, {"eur": "x"}, {"eur": "NaN"}, {"eur": "1000001"}),
        *({"EUR": "1"}, {"euro": "1"}, {"": "1"}, {"äöü": "1"}, {"eur": "1.0000000001"}),
    ],
)
def test_rates_that_are_none(given: dict[str, str]) -> None:
    """Named at the start (rule: refuse clearly)."""
    with pytest.raises(InvalidAmountError):
        rates_of(given)


def test_a_dollar_is_a_dollar() -> None:
    """Whatever rate somebody gives it (money rule 12)."""
    assert rates_of({"usd": "2"}) == {"usd": "1"}


def test_the_packages() -> None:
    """10 credits for 10 USD, 50 for 45 (money rule 12)."""
    assert [(each.id, each.credits, each.cents, each.discount_percentage) for each in PACKAGES] == [
        ("starter", 10, 1_000, 0),
        ("professional", 50, 4_500, 10),
    ]
    assert package_named("professional").credits_nano_usd == 50 * USD
    assert package_named("starter").price == Fiat(1_000, "usd")
    with pytest.raises(InvalidCommandError, match="starter, professional"):
        package_named("gold")


def test_amounts_are_shown_with_their_decimals() -> None:
    """Two, none or three (rule: contract)."""
    assert shown(Fiat(5, "usd")) == "0.05 USD"
    assert shown(Fiat(1_000, "jpy")) == "1000 JPY"
    assert shown(Fiat(1_000, "kwd")) == "1.000 KWD"
