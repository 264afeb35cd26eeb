"""Money in currencies, as integers of their minor units; and what credits it buys.

Minor units are those of Stripe (https://docs.stripe.com/currencies): most currencies have two
decimals, some none, some three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.errors import InvalidAmountError
from domain.ledger.amounts import check_grant
from domain.pricing.money import divide_half_even, parse_usd

if TYPE_CHECKING:
    from collections.abc import Mapping

USD = "usd"
AMOUNT_LEAST, AMOUNT_MAX = 50, 99_999_999
"""Of one payment, in minor units of any currency."""
RATE_NANO_MAX = 10**15
"""USD for one unit of a currency: 1,000,000."""
CURRENCY_CHARACTERS = 3
DECIMALS = 2
NO_DECIMALS = frozenset(
    {
        *("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv"),
        *("xaf", "xof", "xpf"),
    }
)
THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})


class Fiat(NamedTuple):
    """An amount from outside: minor units and the currency's code in lower case."""

    minor: int
    currency: str


def decimals_of(currency: str) -> int:
    """How many decimals a currency's minor units are below its unit."""
    if currency in NO_DECIMALS:
        return 0
    return DECIMALS + 1 if currency in THREE_DECIMALS else DECIMALS


def rates_of(given: Mapping[str, str]) -> dict[str, str]:
    """Rates by currency, USD for one unit; those of dollars are 1, whatever is given.

    Raises InvalidAmountError for what is no rate, or no currency.
    """
    for currency, rate in given.items():
        if len(currency) != CURRENCY_CHARACTERS or not (currency.isascii() and currency.islower()):
            message = f"{currency[:20]!r} is no currency: write it as eur"
            raise InvalidAmountError(message)
        if not 0 < parse_usd(rate) <= RATE_NANO_MAX:
            message = f"{rate[:40]!r} USD for one {currency} is no rate"
            raise InvalidAmountError(message)
    return {**given, USD: "1"}


def check_fiat(paid: Fiat, rates: Mapping[str, str]) -> str:
    """The rate of what somebody wants to pay; raises InvalidAmountError."""
    if paid.currency not in rates:
        message = (
            f"there is no rate for {paid.currency[:20]!r} here: pay in {', '.join(sorted(rates))}"
        )
        raise InvalidAmountError(message)
    if not AMOUNT_LEAST <= paid.minor <= AMOUNT_MAX:
        message = (
            f"a payment is {AMOUNT_LEAST} to {AMOUNT_MAX} minor units (cents), not {paid.minor}"
        )
        raise InvalidAmountError(message)
    return rates[paid.currency]


def credits_for(paid: Fiat, rate: str) -> int:
    """What an amount buys at a rate, in nano-USD: rounded once, a tie to the even neighbour.

    One credit is one USD (money rule 12). Raises InvalidAmountError for less than anything.
    """
    bought = value_of(paid, rate)
    check_grant(bought)
    return bought


def value_of(amount: Fiat, rate: str) -> int:
    """What an amount is worth at a rate, in nano-USD: rounded once, a tie to the even neighbour."""
    return divide_half_even(amount.minor * parse_usd(rate), 10 ** decimals_of(amount.currency))


def shown(paid: Fiat) -> str:
    """An amount for people: `10.00 USD`."""
    decimals = decimals_of(paid.currency)
    digits = f"{paid.minor:0{decimals + 1}d}"
    text = f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits
    return f"{text} {paid.currency.upper()}"
