"""A customer's statement for a month: read part by part, the oldest line first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from projections.money.credit_statement import STATEMENT_BALANCE, STATEMENT_LINE, Line, read_lines

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from projections.engine.projection import Select


class Ends(NamedTuple):
    """The balances at both ends, nano-USD, and how many lines lie between."""

    opening: int
    closing: int
    lines: int


def read_ends(select: Select, account_id: UUID, begins: datetime, ends: datetime) -> Ends:
    """The balances before the first line and after the last one of a time."""
    opening, closing = (
        lines[0].balance_after if lines else 0
        for lines in (
            read_lines(select, account_id, transaction_type=None, limit=1, offset=0, until=instant)
            for instant in (begins, ends)
        )
    )
    ((lines,),) = select(
        f"SELECT count(*) FROM {STATEMENT_LINE.view} "
        "WHERE account_id = %s AND booked_at >= %s AND booked_at < %s",
        [account_id, begins, ends],
    )
    return Ends(opening, closing, int(lines))


def read_part(
    select: Select,
    account_id: UUID,
    begins: datetime,
    ends: datetime,
    *,
    after: int,
    limit: int,
) -> list[Line]:
    """The next lines of a time, from behind a position on."""
    rows = select(
        f"SELECT {', '.join(Line._fields)} FROM {STATEMENT_LINE.view} "
        "WHERE account_id = %s AND booked_at >= %s AND booked_at < %s AND position > %s "
        "ORDER BY account_id, booked_at, position LIMIT %s",
        [account_id, begins, ends, after, limit],
    )
    return [Line(*row) for row in rows]


def read_stated(select: Select, *, after: UUID, ends: datetime, limit: int) -> list[UUID]:
    """A page of accounts that have a line before an instant, by id."""
    rows = select(
        f"SELECT b.account_id FROM {STATEMENT_BALANCE.view} b WHERE b.account_id > %s AND EXISTS "
        f"(SELECT FROM {STATEMENT_LINE.view} l WHERE l.account_id = b.account_id "
        "AND l.booked_at < %s) ORDER BY 1 LIMIT %s",
        [after, ends, limit],
    )
    return [account for (account,) in rows]
