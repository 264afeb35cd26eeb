"""`credit_statement`: what changed each account's posted balance, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from domain.events.ledger import (
    ChargeCorrected,
    CreditsDebited,
    CreditsGranted,
    HoldResolved,
    LotExpired,
    MoneyEvent,
    ReceivablePaid,
)
from projections.engine.projection import Projection
from projections.engine.tables import Column, Merge, Table, amounts, counts, key, sums
from projections.money.statement_lines import BREAKAGE, EXPIRED_UNSPENT, USAGE, told_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from event_store.log.reading import LogEntry
    from projections.engine.projection import Fetch, Select
    from projections.engine.tables import Changes

STATEMENT_LINE = Table(
    name="credit_statement",
    about="One row for each grant, charge, debit, correction and expiry; nano-USD.",
    columns=(
        key("position", "bigint"),
        Column("account_id", "uuid", Merge.ONCE),
        Column("event_id", "uuid", Merge.ONCE),
        Column(
            "transaction_type",
            "text",
            Merge.ONCE,
            about="A grant's or debit's kind, api_usage, correction, receivable or breakage.",
        ),
        *amounts("amount", "balance_before", "balance_after", "house_loss"),
        Column("description", "text", Merge.ONCE),
        Column("call_id", "uuid", Merge.ONCE),
        Column("payment_id", "text", Merge.ONCE),
        Column("booked_at", "timestamptz", Merge.ONCE),
        Column("effective_at", "timestamptz", Merge.ONCE),
    ),
    appended=True,
    # `booked_at` never goes back: in an account it is in the order of the positions. Lines that
    # are no charges are few, and found without passing over those that are.
    indexes=(
        "account_id, booked_at, position",
        f"account_id, booked_at, position WHERE transaction_type <> '{USAGE}'",
    ),
)
STATEMENT_BALANCE = Table(
    name="statement_balance",
    about="The balance under the last line of each account's statement; nano-USD.",
    columns=(key("account_id", "uuid"), *sums("posted")),
)
STATEMENT_TOTAL = Table(
    name="statement_total",
    about="The whole statement of each account summed by type; nano-USD.",
    columns=(
        key("account_id", "uuid"),
        key("transaction_type", "text"),
        *counts("lines"),
        *sums("amount"),
    ),
)


class CreditStatement(Projection):
    """See the module."""

    name = "credit_statement"
    about = "The statement of each account, with running balances."
    tables = (STATEMENT_LINE, STATEMENT_BALANCE, STATEMENT_TOTAL)
    handles = (
        *(CreditsGranted, CreditsDebited, ReceivablePaid, LotExpired),
        *(HoldResolved, ChargeCorrected),
    )
    watches = ("ledger.",)
    awaited = True
    revision = 4

    def load(self, fetch: Fetch, entries: Sequence[LogEntry]) -> dict[str, int]:
        """The balances under the last lines of the accounts."""
        accounts = {
            entry.event.account_id for entry in entries if isinstance(entry.event, MoneyEvent)
        }
        rows = fetch(STATEMENT_BALANCE, "account_id = ANY (%s::uuid[])", [list(accounts)])
        return {str(account): posted for account, posted in rows}

    def carried(self) -> dict[str, int]:
        """All balances are nought before the first event."""
        return {}

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Write a line if the posted balance changed, or a call was charged."""
        event = entry.event
        told = told_of(event)
        if told is None:
            return
        assert isinstance(event, MoneyEvent)
        kind, amount, said = told
        balances: dict[str, int] = changes.context
        before = balances.get(event.account_id, 0)
        balances[event.account_id] = before + amount
        changes.merge(STATEMENT_BALANCE, (event.account_id,), (amount,))
        total = changes.row(STATEMENT_TOTAL, (event.account_id, kind))
        total[0] += 1
        total[1] += amount
        is_call = isinstance(event, HoldResolved | ChargeCorrected)
        line = (
            entry.position,
            event.account_id,
            event.id,
            kind,
            amount,
            before,
            before + amount,
            event.house_loss_nano_usd if isinstance(event, HoldResolved) else 0,
            said,
            str(event.originator_id) if is_call else None,
            event.payment_id if isinstance(event, CreditsGranted | CreditsDebited) else None,
            entry.booked_at,
            event.effective_at,
        )
        changes.append(STATEMENT_LINE, line)


class Line(NamedTuple):
    """A line of a statement, nano-USD.

    An expiry that took effect and is not booked yet has no event: no position, id and booking.
    """

    position: int | None
    event_id: UUID | None
    transaction_type: str
    amount: int
    balance_before: int
    balance_after: int
    house_loss: int
    description: str
    call_id: UUID | None
    payment_id: str | None
    booked_at: datetime | None
    effective_at: datetime


def expected_expiry(amount: int, effective_at: Any) -> Line:
    """The line of an expiry that the account's next append books; its balances are to be set."""
    said = f"{EXPIRED_UNSPENT}, not booked yet"
    return Line(None, None, BREAKAGE, -amount, 0, 0, 0, said, None, None, None, effective_at)


class TypeSum(NamedTuple):
    """How many lines of a type there are, and their sum in nano-USD."""

    transaction_type: str
    lines: int
    amount: int


class Period(NamedTuple):
    """The lines of a time, the oldest first, and the balances around them, nano-USD."""

    opening: int
    closing: int
    lines: list[Line]


PERIOD_LINES_MAX = 100_000
"""Most lines of one period; a longer one is asked for in parts."""


class PeriodTooLongError(ValueError):
    """There are more than PERIOD_LINES_MAX lines; carries when the first beyond them was booked."""

    def __init__(self, booked_at: datetime) -> None:
        """`booked_at` is where the next part may begin, at the latest."""
        super().__init__(f"more than {PERIOD_LINES_MAX} lines before {booked_at.isoformat()}")
        self.booked_at = booked_at


def read_lines(
    select: Select,
    account_id: UUID,
    *,
    transaction_type: str | None,
    limit: int,
    offset: int,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Line]:
    """A page of an account's statement, newest first; of one type, or of all.

    Only what was booked at `since` or later, and before `until`, where these are given.
    """
    where, values = _where(account_id, transaction_type, since, until)
    # Which lines they are is read from an index alone; the rows of those passed over are not.
    rows = select(
        f"SELECT {', '.join(Line._fields)} FROM {STATEMENT_LINE.view} WHERE position IN "
        f"(SELECT position FROM {STATEMENT_LINE.view} WHERE {where} "
        "ORDER BY account_id DESC, booked_at DESC, position DESC LIMIT %s OFFSET %s) "
        "ORDER BY position DESC",
        [*values, limit, offset],
    )
    return [Line(*row) for row in rows]


def read_expected(
    select: Select, account_id: UUID, lapsed: Sequence[tuple[int, datetime, int]]
) -> list[Line]:
    """Lines of expiries that are not booked yet, newest first, above all others.

    `lapsed` are amounts, when they ended, and up to which position that was looked at; the
    statement must have passed it. What it has booked since is left out.
    """
    if not lapsed:
        return []
    rows = select(
        f"SELECT amount, effective_at FROM {STATEMENT_LINE.view} WHERE account_id = %s "
        f"AND transaction_type = %s AND transaction_type <> '{USAGE}' AND position > %s",
        [account_id, BREAKAGE, lapsed[0][2]],
    )
    booked = {tuple(row) for row in rows}
    last = read_lines(select, account_id, transaction_type=None, limit=1, offset=0)
    posted, lines = last[0].balance_after if last else 0, list[Line]()
    for amount, ended, _ in lapsed:
        if (-amount, ended) not in booked:
            line = expected_expiry(amount, ended)
            lines.append(line._replace(balance_before=posted, balance_after=posted - amount))
            posted -= amount
    return lines[::-1]


def read_sums(select: Select, account_id: UUID, *, transaction_type: str | None) -> list[TypeSum]:
    """The whole statement summed by type, as the totals say; of one type, or of all."""
    rows = select(
        f"SELECT transaction_type, lines, amount FROM {STATEMENT_TOTAL.view} "
        "WHERE account_id = %s AND (%s::text IS NULL OR transaction_type = %s) ORDER BY 1",
        [account_id, transaction_type, transaction_type],
    )
    return [TypeSum(*row) for row in rows]


def read_period_sums(
    select: Select,
    account_id: UUID,
    *,
    transaction_type: str | None,
    since: datetime | None,
    until: datetime | None,
) -> list[TypeSum]:
    """The lines of a period summed by type; raises PeriodTooLongError."""
    where, values = _where(account_id, transaction_type, since, until)
    rows = select(
        "SELECT transaction_type, count(*), sum(amount), max(booked_at) FROM "
        f"(SELECT transaction_type, amount, booked_at FROM {STATEMENT_LINE.view} WHERE {where} "
        "ORDER BY account_id, booked_at, position LIMIT %s) AS lines GROUP BY 1 ORDER BY 1",
        [*values, PERIOD_LINES_MAX + 1],
    )
    if sum(row[1] for row in rows) > PERIOD_LINES_MAX:
        raise PeriodTooLongError(max(row[3] for row in rows))
    return [TypeSum(*row[:3]) for row in rows]


def read_period(
    select: Select, account_id: UUID, *, since: datetime | None, until: datetime | None
) -> Period:
    """All lines booked at `since` or later and before `until`; None is without a bound.

    Raises PeriodTooLongError.
    """
    where, values = _where(account_id, None, since, until)
    rows = select(
        f"SELECT {', '.join(Line._fields)} FROM {STATEMENT_LINE.view} WHERE {where} "
        "ORDER BY account_id, booked_at, position LIMIT %s",
        [*values, PERIOD_LINES_MAX + 1],
    )
    lines = [Line(*row) for row in rows]
    if len(lines) > PERIOD_LINES_MAX:
        raise PeriodTooLongError(rows[-1][Line._fields.index("booked_at")])
    if lines:
        return Period(lines[0].balance_before, lines[-1].balance_after, lines)
    before = since or until
    last = (
        []
        if before is None
        else read_lines(select, account_id, transaction_type=None, limit=1, offset=0, until=before)
    )
    posted = last[0].balance_after if last and since else 0
    return Period(posted, posted, [])


def _where(
    account_id: UUID,
    transaction_type: str | None,
    since: datetime | None,
    until: datetime | None,
) -> tuple[str, list[Any]]:
    """A condition on lines, so written that the right index is seen to fit, and its values."""
    where, values = "account_id = %s", list[Any]([account_id])
    if transaction_type is not None:
        where += " AND transaction_type = %s"
        values.append(transaction_type)
        if transaction_type != USAGE:
            where += f" AND transaction_type <> '{USAGE}'"
    if since is not None:
        where += " AND booked_at >= %s"
        values.append(since)
    if until is not None:
        where += " AND booked_at < %s"
        values.append(until)
    return where, values
