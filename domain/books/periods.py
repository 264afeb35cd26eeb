"""Periods of the books: calendar months in UTC, which finance closes one after the other.

What is dated into a closed period and was booked after the close belongs to the first instant of
the period that is open: so a closed period says the same for ever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.errors import InvalidCommandError
from domain.events.access import BOOKS, PeriodClosed

if TYPE_CHECKING:
    from collections.abc import Sequence

MONTH_CHARACTERS = len("2026-01")
YEARS = range(2000, 10_000)
"""Years in which a period can lie."""
REASON_CHARACTERS_MAX = 1_000


class Close(NamedTuple):
    """A close, where it stands in the log, and up to when it closes (ISO 8601, UTC)."""

    position: int
    until: str


class Wish(NamedTuple):
    """Which month is to be closed, at which instant, by whom; see `PeriodClosed`."""

    month: str
    now: str
    reason: str = ""
    by_user_id: str | None = None
    origin: str = ""


def bounds_of(month: str) -> tuple[str, str]:
    """The first instant of a month in UTC, written as 2026-01, and that of the next one.

    Raises InvalidCommandError.
    """
    year, dash, number = month[:4], month[4:5], month[5:]
    plain = month.isascii() and year.isdigit() and number.isdigit()
    if len(month) != MONTH_CHARACTERS or dash != "-" or not plain:
        message = f"{month[:64]!r} is no month: write it as 2026-01"
        raise InvalidCommandError(message)
    at = int(year) * 12 + int(number) - 1
    if int(year) not in YEARS or at // 12 != int(year):
        message = f"{month!r} is no month between {YEARS[0]}-01 and {YEARS[-1]}-12"
        raise InvalidCommandError(message)
    return _first(at), _first(at + 1)


def close_month(
    events: Sequence[PeriodClosed], wish: Wish, *, event_id: str, actor: str, correlation_id: str
) -> list[PeriodClosed]:
    """Close a month and all before it; one that is closed already changes nothing.

    Raises InvalidCommandError for a month that is not over, and for a reason that is too long.
    """
    _, until = bounds_of(wish.month)
    if len(wish.reason) > REASON_CHARACTERS_MAX:
        message = f"a reason has at most {REASON_CHARACTERS_MAX} characters"
        raise InvalidCommandError(message)
    if until > wish.now:
        message = f"{wish.month} is not over before {until}: a period is closed after its end"
        raise InvalidCommandError(message)
    if events and events[-1].until >= until:
        return []
    return [
        PeriodClosed(
            originator_id=BOOKS,
            originator_version=len(events) + 1,
            id=event_id,
            effective_at=wish.now,
            actor=actor,
            correlation_id=correlation_id,
            until=until,
            reason=wish.reason,
            by_user_id=wish.by_user_id,
            origin=wish.origin,
        )
    ]


def counted_at(dated_at: str, position: int, closes: Sequence[Close]) -> str:
    """The instant to which a line counts: its date, unless that was closed when it was booked."""
    return max([dated_at, *(each.until for each in closes if each.position < position)])


def _first(months: int) -> str:
    """The first instant of a month, counted from the year nought."""
    return f"{months // 12:04}-{months % 12 + 1:02}-01T00:00:00.000000Z"
