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
    shown_usd,
    usd_number,
)

READABLE = [
    ("0", 0),
    ("10", 10_000_000_000),
    ("0.000000001", 1),
    ("1e3", 1_000_000_000_000),
    (" 2.50 ", 2_500_000_000),
    ("4611686018.427387904", AMOUNT_NANO_USD_MAX),
]
REFUSED = [
    ("", "'' is not a decimal amount of USD, such as 10 or 0.25"),
    ("x", "'x' is not a decimal amount"),
    ("1,5", "'1,5' is not a decimal amount"),
    ("1_000", "'1_000' is not a decimal amount"),
    ("\u0661", "'\u0661' is not a decimal amount"),
    ("-1", "'-1' is not a finite amount of at least 0 USD"),
    ("NaN", "'NaN' is not a finite amount"),
    ("Infinity", "'Infinity' is not a finite amount"),
    ("0.0000000001", r"'0.0000000001' is finer than one nano-USD \(9 decimals\)"),
    ("4611686018.427387905", "is more than 4611686018427387904 nano-USD"),
    ("1." + "0" * 80 + "1", "has more digits than an amount of USD can have"),
    ("1.0000000000000000000000000000001", "is finer than one nano-USD"),
    ("1e999999", "has more digits than an amount of USD can have"),
    ("1e30", f"'1e30' is more than {AMOUNT_NANO_USD_MAX} nano-USD, the largest amount"),
]


@pytest.mark.parametrize(("text", "nano"), READABLE)
def test_decimal_strings_become_nano_usd(text: str, nano: int) -> None:
    """Each readable amount has one integer (P4)."""
    assert parse_usd(text) == nano


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_what_is_not_exact_is_refused(text: str, said: str) -> None:
    """Never rounded, never guessed (P4)."""
    with pytest.raises(InvalidAmountError, match=said):
        parse_usd(text)


@given(st.integers(min_value=0, max_value=AMOUNT_NANO_USD_MAX))
def test_writing_and_reading_agree(nano: int) -> None:
    """The decimal string says exactly the integer (P4)."""
    assert parse_usd(format_usd(nano)) == nano


def test_negative_amounts_are_written_with_their_sign() -> None:
    """Statements print charges (P4)."""
    assert format_usd(-1_500_000_001) == "-1.500000001"


NUMBERS = [
    (0, "0.0"),
    (10_000_000_000, "10.0"),
    (2_500_000_000, "2.5"),
    (-1, "-0.000000001"),
    (100_000_000_000, "100.0"),
]


@pytest.mark.parametrize(("nano", "number"), NUMBERS)
def test_a_json_number_is_exact_and_short(nano: int, number: str) -> None:
    """Zeros behind the last digit go, one behind the point stays (P4)."""
    assert usd_number(nano) == number


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


def test_people_read_two_decimals_or_as_many_as_it_needs() -> None:
    """Nothing is rounded away (P4)."""
    shown = {
        0: "0.00",
        20 * 10**9: "20.00",
        1_500_000_000: "1.50",
        1: "0.000000001",
        -2_505_000_000: "-2.505",
        10**18: "1000000000.00",
    }
    for amount, text in shown.items():
        assert shown_usd(amount) == text
        assert parse_usd(text.removeprefix("-")) == abs(amount)
