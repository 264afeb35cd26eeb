"""The lines of all accounts' statements: filtered, sorted, paged and summed up, within bounds.

A line's position tells when it was booked: positions and instants rise together. So a time is found
by halving, and no index on instants is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from projections.money.credit_statement import (
    PERIOD_LINES_MAX,
    STATEMENT_LINE,
    Line,
    PeriodTooLongError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from projections.engine.projection import Select


class LinesWanted(NamedTuple):
    """Which lines: nano-USD, booked at `since` or later and before `until`; None is without."""

    account_id: UUID | None = None
    transaction_type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    least: int | None = None
    most: int | None = None
    credit: bool | None = None
    """Whether credits are added (True) or taken (False)."""
    payment_id: str | None = None


class Owned(NamedTuple):
    """A line, and whose it is."""

    account_id: UUID
    user_id: str | None
    line: Line


class Summed(NamedTuple):
    """Lines of a kind: how many, their sum, the greatest and the least, nano-USD."""

    transaction_type: str
    day: str
    lines: int
    added: int
    taken: int
    greatest: int
    least: int
    credits: int
    """How many of the lines add credits."""


ORDERS = {"created_at": "position", "amount": "amount", "transaction_type": "transaction_type"}
"""By what lines can be sorted."""


def read_all_lines(
    select: Select, wanted: LinesWanted, *, order: str, down: bool, limit: int, offset: int
) -> list[Owned]:
    """A page; raises PeriodTooLongError where too many lines are to be sorted by their content."""
    where, values = _where(select, wanted)
    way = "DESC" if down else "ASC"
    names = ", ".join(["account_id", *Line._fields])
    if order == "created_at":
        lines = (
            f"SELECT {names} FROM {STATEMENT_LINE.view} WHERE {where} "
            f"ORDER BY {_natural(wanted, way)} LIMIT %s OFFSET %s"
        )
        values += [limit, offset]
    else:
        check_count(select, wanted)
        lines = (
            f"SELECT {names} FROM {STATEMENT_LINE.view} WHERE {where} "
            f"ORDER BY {ORDERS[order]} {way}, position {way} LIMIT %s OFFSET %s"
        )
        values += [limit, offset]
    rows = select(
        f"SELECT u.user_id::text, l.* FROM ({lines}) l "
        "LEFT JOIN user_secret u ON u.account_id = l.account_id "
        f"ORDER BY l.{ORDERS[order]} {way}, l.position {way}",
        values,
    )
    return [Owned(account, user, Line(*line)) for user, account, *line in rows]


def count_lines(select: Select, wanted: LinesWanted) -> int:
    """How many lines there are, counted no further than one beyond PERIOD_LINES_MAX."""
    where, values = _where(select, wanted)
    ((count,),) = select(
        f"SELECT count(*) FROM (SELECT FROM {STATEMENT_LINE.view} WHERE {where} LIMIT %s) l",
        [*values, PERIOD_LINES_MAX + 1],
    )
    return int(count)


def check_count(select: Select, wanted: LinesWanted) -> None:
    """Raise PeriodTooLongError for more lines than are sorted or summed at once."""
    if count_lines(select, wanted) > PERIOD_LINES_MAX:
        where, values = _where(select, wanted)
        ((beyond,),) = select(
            f"SELECT booked_at FROM {STATEMENT_LINE.view} WHERE {where} "
            f"ORDER BY {_natural(wanted, 'ASC')} LIMIT 1 OFFSET %s",
            [*values, PERIOD_LINES_MAX],
        )
        raise PeriodTooLongError(beyond)


def read_all_sums(select: Select, wanted: LinesWanted) -> list[Summed]:
    """The lines summed by type and day (UTC); of at most PERIOD_LINES_MAX."""
    where, values = _where(select, wanted)
    rows = select(
        "SELECT transaction_type, to_char(booked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'), count(*), "
        "coalesce(sum(amount) FILTER (WHERE amount > 0), 0), "
        "coalesce(sum(amount) FILTER (WHERE amount < 0), 0), "
        "max(amount), min(amount), count(*) FILTER (WHERE amount > 0) FROM "
        f"(SELECT transaction_type, booked_at, amount FROM {STATEMENT_LINE.view} WHERE {where} "
        "LIMIT %s) l GROUP BY 1, 2 ORDER BY 2, 1",
        [*values, PERIOD_LINES_MAX],
    )
    return [Summed(*row) for row in rows]


def _natural(wanted: LinesWanted, way: str) -> str:
    """The order of the positions, so written that the right index is seen to fit."""
    if wanted.account_id is None:
        return f"position {way}"
    return f"account_id {way}, booked_at {way}, position {way}"


def _where(select: Select, wanted: LinesWanted) -> tuple[str, list[Any]]:
    conditions: list[tuple[str, Any]] = [
        ("account_id = %s", wanted.account_id),
        ("transaction_type = %s", wanted.transaction_type),
        ("amount >= %s", wanted.least),
        ("amount <= %s", wanted.most),
        ("payment_id = %s", wanted.payment_id),
    ]
    if wanted.account_id is not None:
        conditions += [("booked_at >= %s", wanted.since), ("booked_at < %s", wanted.until)]
    else:
        conditions += [
            ("position >= %s", _first_at(select, wanted.since)),
            ("position < %s", _first_at(select, wanted.until)),
        ]
    given: Sequence[tuple[str, Any]] = [each for each in conditions if each[1] is not None]
    where = " AND ".join(["true", *(condition for condition, _ in given)])
    if wanted.credit is not None:
        where += " AND amount > 0" if wanted.credit else " AND amount < 0"
    return where, [value for _, value in given]


def _first_at(select: Select, instant: datetime | None) -> int | None:
    """The position from which on lines were booked at an instant or later; None without one."""
    if instant is None:
        return None
    ((last,),) = select(f"SELECT coalesce(max(position), 0) FROM {STATEMENT_LINE.view}", [])
    low, high = 0, int(last) + 1
    while low < high:
        middle = (low + high) // 2
        rows = select(
            f"SELECT position, booked_at FROM {STATEMENT_LINE.view} WHERE position >= %s "
            "ORDER BY position LIMIT 1",
            [middle],
        )
        if not rows or rows[0][1] >= instant:
            high = middle
        else:
            low = int(rows[0][0]) + 1
    return low
