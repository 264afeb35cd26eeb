"""The one rule of the allowance: what money an invoice takes or gives back, the allowance follows.

Each line of a paid invoice is worth its tier's allowance, times its quantity, times the part of a
whole period that it covers; with the line's sign. A line that costs nothing is worth nothing. The
sum is rounded once, down to a nano-USD, and is never less than nothing. So who changes to a higher
tier in the middle of a period, and pays the difference for the rest of it, gets the difference of
the allowances for the rest of it; who changes down and is given no money back keeps what was given.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from domain.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from domain.subscriptions.tiers import Offers, Tier

QUANTITY_MAX = 100
"""Of one line; whoever sells more does so by hand."""


class Period(NamedTuple):
    """From one second of Unix time until before another."""

    begins: int
    ends: int


class Line(NamedTuple):
    """A line of an invoice that is for a tier. `sign` is that of its amount: -1, 0 or 1."""

    tier: Tier
    period: Period
    prorated: bool
    sign: int
    quantity: int = 1


class PeriodUnknownError(DomainError):
    """It is not known of which whole period a line is a part."""

    code = "period_unknown"


class AbsurdInvoiceError(DomainError):
    """A line is for less than one, for too many, or for a time that ends before it begins."""

    code = "absurd_invoice"


def allowance_of(lines: Iterable[Line], offers: Offers, periods: Sequence[Period]) -> int:
    """What an invoice's lines give, in nano-USD; `periods` are the whole ones that are known.

    Raises PeriodUnknownError, AbsurdInvoiceError.
    """
    whole = Fraction(0)
    for line in lines:
        if line.period.ends <= line.period.begins or not 1 <= line.quantity <= QUANTITY_MAX:
            message = f"a line is for {line.quantity} of {line.tier}, in {tuple(line.period)}"
            raise AbsurdInvoiceError(message)
        worth = line.sign * line.quantity * offers.allowance(line.tier)
        whole += worth * (_part(line.period, periods) if line.prorated else 1)
    return max(0, whole.numerator // whole.denominator)


def _part(rest: Period, periods: Sequence[Period]) -> Fraction:
    """Which part of its whole period the rest of one is."""
    for each in periods:
        if each.ends == rest.ends and each.begins <= rest.begins:
            return Fraction(rest.ends - rest.begins, each.ends - each.begins)
    message = f"no period is known that ends at {rest.ends}: of which is the line a part?"
    raise PeriodUnknownError(message)
