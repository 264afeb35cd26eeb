"""What a route of the books was asked: times, accounts, cursors; read strictly."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, NamedTuple
from uuid import UUID

from fastapi import Query

from domain.books.chart import line_of
from domain.books.periods import bounds_of
from domain.errors import InvalidCommandError
from edge.errors import bad_request
from edge.replies import instant_of
from projections.money.as_of import Time
from query_api.finance.exports import Period

POSITION_MAX = 2**63 - 1
LINE_MAX = 2**15 - 1
POSITION_CHARACTERS_MAX = 19
TEXT_SHOWN = 64
DAY = len("2026-01-01")

By = Literal["booked", "effective"]
Since = Annotated[str | None, Query(alias="from")]
Until = Annotated[str | None, Query(alias="to")]


class Account(NamedTuple):
    """A class of the chart, or one ledger account of it; both None for all."""

    class_name: str | None = None
    ledger_account: str | None = None


def time_of(text: str | None, by: By, name: str = "as_of") -> Time:
    """A position of the log, or the time before an instant; raises ApiError 400."""
    if text is not None and text.isascii() and text.isdigit():
        if len(text) > POSITION_CHARACTERS_MAX or int(text) > POSITION_MAX:
            message = f"{name} is beyond every position."
            raise bad_request("invalid_value", message, name)
        if by == "effective":
            message = f"A position is a time of booking: with by=effective, {name} is an instant."
            raise bad_request("invalid_value", message, name)
        return Time(int(text))
    return Time(instant_of(name, text), by == "effective")


def range_of(
    since: str | None, until: str | None, month: str | None, by: By
) -> tuple[Time | None, Time]:
    """The two ends of a time, or of a month in UTC; raises ApiError 400."""
    if month is not None:
        if since is not None or until is not None:
            message = "Give a month, or from and to."
            raise bad_request("invalid_value", message, "month")
        try:
            since, until = bounds_of(month)
        except InvalidCommandError as error:
            raise bad_request("invalid_value", f"{error}.", "month") from None
    begin = None if since is None else time_of(since, by, "from")
    end = time_of(until, by, "to")
    if begin is not None and _after(begin.at, end.at):
        message = "from is after to: nothing can be booked in that time."
        raise bad_request("invalid_value", message, "from")
    return begin, end


def period_of(month: str, by: By) -> Period:
    """A month in UTC that is to be exported; raises ApiError 400."""
    since, until = range_of(None, None, month, by)
    begins, ends = bounds_of(month)
    assert since is not None
    return Period(since, until, begins[:DAY], ends[:DAY])


def _after(begin: int | datetime | None, end: int | datetime | None) -> bool:
    """Whether it is, of two of a kind; of a position and an instant nobody can tell so early."""
    if isinstance(begin, int) and isinstance(end, int):
        return begin > end
    return isinstance(begin, datetime) and isinstance(end, datetime) and begin > end


def account_of(text: str | None) -> Account:
    """What an account's name stands for; raises ApiError 400 for one that the chart has not."""
    if text is None:
        return Account()
    words = text.split(":")
    try:
        customer = UUID(words[1]) if len(words) > 1 else None
    except ValueError:
        customer = None
    name = text if customer is None else ":".join([words[0], *words[2:]])
    try:
        line = line_of(name)
    except KeyError:
        line = None
    if line is None or (customer is not None and not line.customers):
        message = (
            f"The chart of accounts has no {text[:TEXT_SHOWN]!r}: GET /finance/trial-balance "
            "names those in use."
        )
        raise bad_request("invalid_value", message, "account")
    if line.customers and customer is None:
        return Account(class_name=text)
    return Account(ledger_account=text)


def uuid_of(text: str | None, name: str) -> UUID | None:
    """An id; raises ApiError 400."""
    if text is None:
        return None
    try:
        return UUID(text)
    except ValueError:
        message = f"{name} must be an id such as 01890000-0000-7000-8000-000000000000."
        raise bad_request("invalid_value", message, name) from None


def cursor_of(text: str | None) -> tuple[int, int]:
    """Behind which line a page begins; raises ApiError 400."""
    if text is None:
        return 0, -1
    position, _, line = text.partition(":")
    plain = all(each.isascii() and each.isdigit() for each in (position, line))
    if not plain or len(text) > POSITION_CHARACTERS_MAX + 6:
        raise bad_request(
            "invalid_value", "cursor is the next_cursor of the page before.", "cursor"
        )
    if int(position) > POSITION_MAX or int(line) > LINE_MAX:
        raise bad_request("invalid_value", "cursor is beyond every line.", "cursor")
    return int(position), int(line)
