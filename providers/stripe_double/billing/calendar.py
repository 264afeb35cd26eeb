"""Months as Stripe counts them: from an anchor, whose day a shorter month shortens."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime

MONTHS = 12


def months_after(anchor: int, months: int) -> int:
    """The second of Unix time so many months after an anchor, in UTC.

    31 January is followed by 28 or 29 February, and that by 31 March.
    """
    begun = datetime.fromtimestamp(anchor, UTC)
    year, month = divmod(begun.year * MONTHS + begun.month - 1 + months, MONTHS)
    day = min(begun.day, monthrange(year, month + 1)[1])
    return int(begun.replace(year=year, month=month + 1, day=day).timestamp())
