"""Money is an integer of nano-USD (10⁻⁹ USD); people read it as a decimal string.

Keeps P4: no float ever holds an amount, and every conversion is exact or refused.
One credit is one USD (money rule 12).
"""

from __future__ import annotations

from decimal import Context, Decimal, Inexact, InvalidOperation

from domain.errors import InvalidAmountError

NANO_PER_USD = 1_000_000_000
USD_DECIMALS = 9
CENTS_DECIMALS = 2
AMOUNT_NANO_USD_MAX = 2**62
"""Largest single amount, in nano-USD; sums of two still fit a signed 64-bit integer."""
ENTRY_NANO_USD_MAX = 10**15
"""One hold, extended or not, one cost, one estimate: 1,000,000 USD. The store refuses by it too."""

EXACT = Context(prec=64, traps=[Inexact])
"""Of prices and amounts: none has so many digits, and nothing is rounded in silence."""


def parse_usd(text: str) -> int:
    """Read a decimal string of USD as nano-USD.

    Raises InvalidAmountError when it is negative, not a plain decimal, finer than one
    nano-USD, or larger than AMOUNT_NANO_USD_MAX.
    """
    try:
        # The library also reads digits of other scripts, and underlines between them.
        value = Decimal(text.strip()) if text.isascii() and "_" not in text else None
    except InvalidOperation:
        value = None
    if value is None:
        message = f"{text!r} is not a decimal amount of USD, such as 10 or 0.25"
        raise InvalidAmountError(message)
    if not value.is_finite() or value < 0:
        message = f"{text!r} is not a finite amount of at least 0 USD"
        raise InvalidAmountError(message)
    try:
        nano = EXACT.multiply(value, NANO_PER_USD)
    except Inexact:
        message = f"{text!r} has more digits than an amount of USD can have"
        raise InvalidAmountError(message) from None
    if nano > AMOUNT_NANO_USD_MAX:
        message = f"{text!r} is more than {AMOUNT_NANO_USD_MAX} nano-USD, the largest amount"
        raise InvalidAmountError(message)
    if nano != nano.to_integral_value():
        message = f"{text!r} is finer than one nano-USD (9 decimals)"
        raise InvalidAmountError(message)
    return int(nano)


def format_usd(nano_usd: int) -> str:
    """Write nano-USD as a decimal string of USD with nine decimals, exactly."""
    sign = "-" if nano_usd < 0 else ""
    whole, rest = divmod(abs(nano_usd), NANO_PER_USD)
    return f"{sign}{whole}.{rest:0{USD_DECIMALS}d}"


def shown_usd(nano_usd: int) -> str:
    """Write nano-USD for people, exactly: with two decimals, or as many more as it needs."""
    text = format_usd(nano_usd)
    cents = len(text) - USD_DECIMALS + CENTS_DECIMALS
    return text[:cents] + text[cents:].rstrip("0")


def divide_half_even(numerator: int, denominator: int) -> int:
    """Divide two integers, rounding a tie to the even neighbour (money rule 1)."""
    quotient, rest = divmod(numerator, denominator)
    twice = rest * 2
    if twice > denominator or (twice == denominator and quotient & 1):
        quotient += 1
    return quotient


def divide_up(numerator: int, denominator: int) -> int:
    """Divide two integers, rounding up (holds, money rule 1)."""
    return -(-numerator // denominator)


def usd_number(nano_usd: int) -> str:
    """The exact decimal number of USD for a JSON number, printed from the integer."""
    text = format_usd(nano_usd).rstrip("0")
    return text + "0" if text.endswith(".") else text


def decimal_text(value: int, digits: int) -> str:
    """An integer of 10^-digits as a decimal string, exactly, however large it is."""
    whole, rest = divmod(value, 10**digits)
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".")
