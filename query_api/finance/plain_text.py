"""The journal in the text of beancount and of ledger: opening, every event, closing.

The closing balances are read from the books, not summed from what is exported, so that the program
that reads the text checks one against the other. There a debit is positive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from domain.books.chart import Type, line_of
from domain.pricing.money import format_usd
from projections.engine.projection import select_on
from projections.money.books import (
    read_account_books,
    read_class_balances,
    read_ledger_accounts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from event_store.postgres.database import Connects
    from projections.money.books import AsOf, JournalLine

ACCOUNTS_PAGE = 500
EVENTS_PIECE = 200
"""Events that are written at once."""
ROOTS = {
    Type.ASSET: "Assets",
    Type.LIABILITY: "Liabilities",
    Type.INCOME: "Income",
    Type.EXPENSE: "Expenses",
}
SAME = {"-": "-", "_": "-"}
"""What else a word may have, and how it is written."""
OPENING = "Equity:Opening-Balances"


class Posted(NamedTuple):
    """A line with its event, and its day in the books."""

    line: JournalLine
    event_id: str
    event_type: str
    day: str


class Balance(NamedTuple):
    """A ledger account at both ends, nano-USD, credits positive."""

    account: str
    class_name: str
    opening: int
    closing: int


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a program wants to be told. Each is a format of `str.format`."""

    head: str
    opens: str
    entry: str
    event: str
    posting: str
    closing: str
    slashes: bool

    def day(self, day: str) -> str:
        """A day as the program writes it."""
        return day.replace("-", "/") if self.slashes else day


BEANCOUNT = Dialect(
    head='option "title" "Gatewayz"\noption "operating_currency" "USD"\n\n',
    opens="1970-01-01 open {account} USD\n",
    entry='\n{day} * "Opening balance"\n',
    event='\n{day} * "{event_type}" "{event_id}"\n  position: {position}\n',
    posting="  {account}  {amount} USD\n",
    closing="{day} balance {account}  {amount} ~ 0 USD\n",
    slashes=False,
)
LEDGER = Dialect(
    head="; Gatewayz\n\n",
    opens="account {account}\n",
    entry="\n{day} * Opening balance\n",
    event="\n{day} * ({position}) {event_type}\n    ; event: {event_id}\n",
    posting="    {account}  {amount} USD\n",
    closing="{day} * Closing balance\n    {account}  0 USD = {amount} USD\n    {equity}\n",
    slashes=True,
)


def text_of(
    dialect: Dialect,
    database: Connects,
    ends: tuple[AsOf, AsOf],
    days: tuple[str, str],
    events: Iterator[list[Posted]],
) -> Iterator[bytes]:
    """The text in pieces; `ends` and `days` are those of the period."""
    begins, until = (dialect.day(each) for each in days)
    yield (dialect.head + dialect.opens.format(account=OPENING)).encode()
    for page in _balances(database, ends):
        yield "".join(_opened(dialect, each, begins) for each in page).encode()
    waiting: list[str] = []
    for lines in events:
        waiting.append(_event(dialect, lines))
        if len(waiting) >= EVENTS_PIECE:
            yield "".join(waiting).encode()
            waiting.clear()
    yield ("".join(waiting) + "\n").encode()
    for page in _balances(database, ends):
        yield "".join(
            dialect.closing.format(
                day=until,
                account=name_of(each.account, each.class_name),
                amount=format_usd(-each.closing),
                equity=OPENING,
            )
            for each in page
        ).encode()


def name_of(account: str, class_name: str) -> str:
    """An account's name in the text: its root by type, and each word with a capital."""
    return ":".join([ROOTS[line_of(class_name).type], *map(_word, account.split(":"))])


def _word(word: str) -> str:
    try:
        return str(UUID(word)).upper()
    except ValueError:
        plain = "".join(
            each if each.isascii() and each.isalnum() else SAME.get(each, f"-x{ord(each):x}")
            for each in word
        )
    first = plain[:1]
    return first.upper() + plain[1:] if first.isalnum() else f"X{plain}"


def _event(dialect: Dialect, lines: Sequence[Posted]) -> str:
    first = lines[0]
    head = dialect.event.format(
        day=dialect.day(first.day),
        event_type=first.event_type,
        event_id=first.event_id,
        position=first.line.position,
    )
    postings = (
        dialect.posting.format(
            account=name_of(each.line.ledger_account, _class_of(each.line)),
            amount=format_usd(-each.line.amount),
        )
        for each in lines
    )
    return head + "".join(postings)


def _class_of(line: JournalLine) -> str:
    return line.ledger_account.replace(f":{line.account_id}", "", 1)


def _opened(dialect: Dialect, balance: Balance, day: str) -> str:
    name = name_of(balance.account, balance.class_name)
    text = dialect.opens.format(account=name)
    if not balance.opening:
        return text
    return (
        text
        + dialect.entry.format(day=day)
        + dialect.posting.format(account=name, amount=format_usd(-balance.opening))
        + dialect.posting.format(account=OPENING, amount=format_usd(balance.opening))
        + "\n"
    )


def _balances(database: Connects, ends: tuple[AsOf, AsOf]) -> Iterator[list[Balance]]:
    """Every ledger account with its balances at both ends, page by page."""
    with database.connect() as connection:
        select = select_on(connection)
        house = [
            {each.name: each.balance for each in read_class_balances(select, at)} for at in ends
        ]
    after = ""
    while True:
        with database.connect() as connection:
            select = select_on(connection)
            page = read_ledger_accounts(select, after=after, limit=ACCOUNTS_PAGE)
            known: dict[str, list[dict[str, int]]] = {}
            found = []
            for account, class_name in page:
                if account == class_name:
                    balances = house
                else:
                    customer = account.split(":")[1]
                    if customer not in known:
                        known[customer] = [
                            read_account_books(select, at, UUID(customer)) for at in ends
                        ]
                    balances = known[customer]
                opening, closing = (each.get(account, 0) for each in balances)
                found.append(Balance(account, class_name, opening, closing))
        if found:
            yield found
        if len(page) < ACCOUNTS_PAGE:
            return
        after = page[-1][0]
