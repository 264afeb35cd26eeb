"""Money is exact or refused (P4)."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidAmountError
from domain.pricing.money import (
    AMOUNT_NANO_USD_MAX,
    divide_half_even,
    divide_up,
    format_usd,
    parse_usd,
)

READABLE = [
    ("0", 0),
    ("10", 10_000_000_000),
    ("0.000000001", 1),
    ("1e3", 1_000_000_000_000),
    (" 2.50 ", 2_500_000_000),
]
REFUSED = ["", "x", "-1", "NaN", "Infinity", "0.0000000001", "1e30", "1,5"]


@pytest.mark.parametrize(("text", "nano"), READABLE)
def test_decimal_strings_become_nano_usd(text: str, nano: int) -> None:
    """Each readable amount has one integer (P4)."""
    assert parse_usd(text) == nano


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_not_exact_is_refused(text: str) -> None:
    """Never rounded, never guessed (P4)."""
    with pytest.raises(InvalidAmountError):
        parse_usd(text)


@given(st.integers(min_value=0, max_value=AMOUNT_NANO_USD_MAX))
def test_writing_and_reading_agree(nano: int) -> None:
    """The decimal string says exactly the integer (P4)."""
    assert parse_usd(format_usd(nano)) == nano


def test_negative_amounts_are_written_with_their_sign() -> None:
    """Statements print charges (P4)."""
    assert format_usd(-1_500_000_001) == "-1.500000001"


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**9))
def test_division_rounds_as_decimals_do(numerator: int, denominator: int) -> None:
    """Half to even, and up, agree with exact arithmetic (P4, money rule 1)."""
    exact = Fraction(numerator, denominator)
    assert divide_half_even(numerator, denominator) == round(exact)
    assert divide_up(numerator, denominator) - 1 < exact <= divide_up(numerator, denominator)


def test_ties_go_to_the_even_neighbour() -> None:
    """Half a nano-USD goes to the even neighbour, below zero too (P4, money rule 1)."""
    assert [divide_half_even(n, 2) for n in (1, 3, 5, -1)] == [0, 2, 2, 0]
    assert round(Decimal("2.5")) == 2
