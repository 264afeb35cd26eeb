"""What the journal answers as of any time: balances by class and by customer, lines, debts.

A booking time is a position of the log: what stands up to it counts. An effective time counts,
besides, what was booked later and is dated before it, unless that was closed when it was booked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from projections.money.account_balances import CREDIT_LOT
from projections.money.journal import BOOKS_DAY, JOURNAL, LATE_ONLY, TRIAL_BALANCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime
    from uuid import UUID

    from domain.books.periods import Close
    from projections.engine.projection import Select

_CLASS = "replace(j.ledger_account, ':' || j.account_id, '')"
_COUNTED = (
    "greatest(j.dated_at, (SELECT max(c.until) FROM unnest(%s::bigint[], %s::timestamptz[]) "
    "AS c (position, until) WHERE c.position < j.position))"
)
"""The instant to which a line counts, as `domain.books.periods.counted_at` has it."""
_LATE = (
    f"FROM {JOURNAL.view} j WHERE j.{LATE_ONLY.replace('< ', '< j.')} AND j.booked_at >= %s "
    f"AND j.position > %s AND j.position <= %s AND {_COUNTED} < %s"
)
"""What was booked from an instant on, and counts before it."""
DEBITS_MAX = 1_000
"""Debits of one account that are looked at for the age of its debt."""


class AsOf(NamedTuple):
    """A time: all up to `position` was booked before it.

    `day` is the day (UTC) in which that position was booked, `begins` the last position before that
    day. With an `instant` it is an effective time: what is dated before it, and was booked up to
    `head`, counts too; `closes` say which times were closed by then.
    """

    position: int
    day: date
    begins: int
    head: int
    instant: datetime | None = None
    closes: Sequence[Close] = ()

    @property
    def closed(self) -> list[Any]:
        """The values of `_COUNTED`."""
        return [[each.position for each in self.closes], [each.until for each in self.closes]]


class ClassBalance(NamedTuple):
    """The balance of a class of accounts, nano-USD, credits positive, and how many lines it has."""

    name: str
    balance: int
    postings: int


class JournalLine(NamedTuple):
    """One line of the journal, nano-USD."""

    position: int
    line: int
    ledger_account: str
    amount: int
    balance_after: int | None
    account_id: UUID
    booked_at: datetime
    dated_at: datetime


class LinesAsked(NamedTuple):
    """Which lines of the journal: of a class, of one ledger account, of a customer; None is all.

    `before` bounds their time from above, `since` from below.
    """

    before: AsOf
    since: AsOf | None = None
    class_name: str | None = None
    ledger_account: str | None = None
    account_id: UUID | None = None


class Debt(NamedTuple):
    """What a customer owes, nano-USD."""

    account_id: UUID
    owed: int


def read_class_balances(select: Select, at: AsOf) -> list[ClassBalance]:
    """Every class that anything was ever posted to; all together they are zero."""
    parts = [
        f"SELECT class, amount_nano_usd AS amount, postings FROM {BOOKS_DAY.view} WHERE day < %s",
        (
            f"SELECT {_CLASS}, j.amount_nano_usd, 1 FROM {JOURNAL.view} j "
            "WHERE j.position > %s AND j.position <= %s"
        ),
    ]
    values: list[Any] = [at.day, at.begins, at.position]
    if at.instant is not None:
        parts.append(f"SELECT {_CLASS}, j.amount_nano_usd, 1 {_LATE}")
        values += _late_values(at)
    lines = " UNION ALL ".join(parts)
    rows = select(
        f"SELECT class, sum(amount), sum(postings) FROM ({lines}) AS moved GROUP BY 1 ORDER BY 1",
        values,
    )
    return [ClassBalance(*row) for row in rows]


def read_account_books(select: Select, at: AsOf, account_id: UUID) -> dict[str, int]:
    """The balances of a customer's ledger accounts; the cost does not grow with their lines."""
    rows = select(
        f"SELECT t.ledger_account, j.balance_after_nano_usd FROM {TRIAL_BALANCE.view} t "
        f"CROSS JOIN LATERAL (SELECT balance_after_nano_usd FROM {JOURNAL.view} "
        "WHERE ledger_account = t.ledger_account AND position <= %s "
        "ORDER BY position DESC LIMIT 1) j WHERE t.account_id = %s ORDER BY 1",
        [at.position, account_id],
    )
    found = {name: int(balance) for name, balance in rows}
    if at.instant is not None:
        late = select(
            f"SELECT j.ledger_account, sum(j.amount_nano_usd) {_LATE} AND j.account_id = %s "
            "AND j.balance_after_nano_usd IS NOT NULL GROUP BY 1",
            [*_late_values(at), account_id],
        )
        for name, amount in late:
            found[name] = found.get(name, 0) + int(amount)
    return found


def read_journal(
    select: Select, asked: LinesAsked, *, after: tuple[int, int], limit: int
) -> list[JournalLine]:
    """A page of lines in the order of the log, from behind a position and its line."""
    conditions, values = ["(j.position, j.line) > (%s, %s)"], list[Any](after)
    at = asked.before
    if at.instant is None:
        conditions.append("j.position <= %s")
        values.append(at.position)
    else:
        conditions += [
            f"(j.position <= %s OR j.{LATE_ONLY.replace('< ', '< j.')})",
            f"j.position <= %s AND {_COUNTED} < %s",
        ]
        values += [at.position, at.head, *at.closed, at.instant]
    if asked.since is not None:
        conditions.append("j.position > %s")
        values.append(asked.since.position)
        if asked.since.instant is not None:
            conditions.append(f"{_COUNTED} >= %s")
            values += [*at.closed, asked.since.instant]
    for condition, value in (
        ("j.ledger_account = %s", asked.ledger_account),
        ("j.account_id = %s", asked.account_id),
        (f"{_CLASS} = %s", asked.class_name),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    where = " AND ".join(conditions)
    rows = select(
        "SELECT j.position, j.line, j.ledger_account, j.amount_nano_usd, "
        "j.balance_after_nano_usd, j.account_id, j.booked_at, j.dated_at "
        f"FROM {JOURNAL.view} j WHERE {where} "
        "ORDER BY j.position, j.line LIMIT %s",
        [*values, limit],
    )
    return [JournalLine(*row) for row in rows]


def read_ledger_accounts(select: Select, *, after: str, limit: int) -> list[tuple[str, str]]:
    """A page of ledger accounts by name, each with its class."""
    rows = select(
        f"SELECT j.ledger_account, coalesce({_CLASS}, j.ledger_account) FROM "
        f"{TRIAL_BALANCE.view} j WHERE j.ledger_account > %s ORDER BY 1 LIMIT %s",
        [after, limit],
    )
    return [(name, class_name) for name, class_name in rows]


def read_debts(select: Select, at: AsOf, *, after: UUID, limit: int) -> list[Debt]:
    """A page of customers who ever owed anything, by id; some of them may owe nothing by then."""
    rows = select(
        f"SELECT account_id FROM {TRIAL_BALANCE.view} WHERE ledger_account = "
        "'receivable:' || account_id AND account_id > %s ORDER BY account_id LIMIT %s",
        [after, limit],
    )
    return [
        Debt(account, -read_account_books(select, at, account).get(f"receivable:{account}", 0))
        for (account,) in rows
    ]


def read_debits(select: Select, at: AsOf, account_id: UUID) -> list[tuple[datetime, int]]:
    """When a customer came to owe how much, nano-USD, the newest first; at most DEBITS_MAX."""
    rows = select(
        f"SELECT booked_at, -amount_nano_usd FROM {JOURNAL.view} WHERE ledger_account = %s "
        "AND position <= %s AND amount_nano_usd < 0 ORDER BY position DESC LIMIT %s",
        [f"receivable:{account_id}", at.position, DEBITS_MAX],
    )
    return [(booked_at, int(amount)) for booked_at, amount in rows]


def read_lapsed_by_kind(select: Select) -> dict[str, int]:
    """What of lots has ended by now and is not booked as expired yet, nano-USD."""
    rows = select(
        f"SELECT kind, sum(available) FROM {CREDIT_LOT.view} "
        "WHERE available > 0 AND expires_at <= booking_clock() GROUP BY 1 ORDER BY 1",
        [],
    )
    return {kind: int(amount) for kind, amount in rows}


def _late_values(at: AsOf) -> list[Any]:
    return [at.instant, at.position, at.head, *at.closed, at.instant]
