"""A customer's statement for a month: read part by part, the oldest line first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from projections.money.credit_statement import STATEMENT_BALANCE, STATEMENT_LINE, Line, read_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
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


class Span(NamedTuple):
    """An account and a time of it: from `begins` on, before `ends`."""

    account_id: UUID
    begins: datetime
    ends: datetime


_EDGE = f"""(SELECT l.balance_after FROM {STATEMENT_LINE.view} l
  WHERE l.account_id = s.account_id AND l.booked_at < {{edge}}
  ORDER BY l.account_id DESC, l.booked_at DESC, l.position DESC LIMIT 1)"""
_SPANS = "unnest(%s::uuid[], %s::timestamptz[], %s::timestamptz[]) AS s (account_id, begins, ends)"
_THEIR_LINES = f"""CROSS JOIN LATERAL (SELECT * FROM {STATEMENT_LINE.view}
  WHERE account_id = s.account_id AND booked_at >= s.begins AND booked_at < s.ends OFFSET 0) l"""
"""By the index, account by account: without OFFSET 0 all lines that there are would be read."""
_ENDS = f"""
SELECT s.account_id, coalesce({_EDGE.format(edge="s.begins")}, 0),
  coalesce({_EDGE.format(edge="s.ends")}, 0),
  (SELECT count(*) FROM {STATEMENT_LINE.view} l WHERE l.account_id = s.account_id
    AND l.booked_at >= s.begins AND l.booked_at < s.ends)
FROM {_SPANS}"""
_LINES = f"""
SELECT l.account_id, {", ".join(f"l.{name}" for name in Line._fields)}
FROM {_SPANS} {_THEIR_LINES} ORDER BY l.account_id, l.booked_at, l.position"""


def read_ends_of(select: Select, spans: Sequence[Span]) -> dict[UUID, Ends]:
    """The ends of many accounts, each named once, by one question."""
    rows = select(_ENDS, _arrays(spans))
    return {
        account: Ends(opening, closing, int(lines)) for account, opening, closing, lines in rows
    }


def read_lines_of(select: Select, spans: Sequence[Span]) -> dict[UUID, list[Line]]:
    """All lines of many accounts, each named once; who asks knows that they are not too many."""
    found: dict[UUID, list[Line]] = {}
    for account, *line in select(_LINES, _arrays(spans)):
        found.setdefault(account, []).append(Line(*line))
    return found


class Written(NamedTuple):
    """A line: what stands before, between and behind its texts, with the commas between them.

    An amount in USD below nought has the apostrophe that keeps spreadsheets from taking it for a
    formula (`edge/spreadsheets.py`); none of these parts has anything else to be quoted.
    """

    times: str
    transaction_type: str
    description: str
    amounts: str
    payment_id: str | None
    ids: str


def _usd(column: str) -> str:
    sign = f"CASE WHEN l.{column} < 0 THEN '''' ELSE '' END"
    return f"{sign} || (l.{column}::numeric / 1000000000)::numeric(40, 9)::text"


_WRITTEN = f"""
SELECT l.account_id,
  coalesce(iso_instant(l.booked_at), '') || ',' || iso_instant(l.effective_at),
  l.transaction_type, l.description,
  {_usd("amount")} || ',' || {_usd("balance_after")} || ',' || l.amount || ',' || l.balance_after
    || ',' || coalesce(l.call_id::text, ''),
  l.payment_id, l.event_id || ',' || l.position
FROM {_SPANS} {_THEIR_LINES} ORDER BY l.account_id, l.booked_at, l.position"""


def read_written_of(select: Select, spans: Sequence[Span]) -> dict[UUID, list[Written]]:
    """All lines of many accounts, each named once; who asks knows that they are not too many."""
    found: dict[UUID, list[Written]] = {}
    for account, *line in select(_WRITTEN, _arrays(spans)):
        found.setdefault(account, []).append(Written(*line))
    return found


def _arrays(spans: Sequence[Span]) -> list[list[object]]:
    """The values of `_SPANS`."""
    return [list(column) for column in zip(*spans, strict=True)]


def read_stated(select: Select, *, after: UUID, ends: datetime, limit: int) -> list[UUID]:
    """A page of accounts that have a line before an instant, by id."""
    rows = select(
        f"SELECT b.account_id FROM {STATEMENT_BALANCE.view} b WHERE b.account_id > %s AND EXISTS "
        f"(SELECT FROM {STATEMENT_LINE.view} l WHERE l.account_id = b.account_id "
        "AND l.booked_at < %s) ORDER BY 1 LIMIT %s",
        [after, ends, limit],
    )
    return [account for (account,) in rows]
