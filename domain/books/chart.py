"""The chart of accounts: every account that an event's entries may name, in one table.

Signs: a credit is positive and a debit negative, so that all balances together are zero (P4). An
account of one customer has the customer's id as its second word; its *class* is the name without.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from domain.ledger.lots import GrantKind

UNASSIGNED = "unassigned"
"""The lot kind of what an event moves without saying on which lots it lies."""
UNPAID = "unpaid"
OWED = "owed"
"""In place of a lot kind: what a call earned that no lot paid, and what its customer owes."""
PAID: frozenset[str] = frozenset({GrantKind.PURCHASE, GrantKind.ALLOWANCE})
"""Kinds of lots that somebody paid for; what is unspent of them is deferred revenue (rule 18)."""


class Type(StrEnum):
    """What an account is to a balance sheet or to a profit and loss account."""

    ASSET = "asset"
    LIABILITY = "liability"
    INCOME = "income"
    EXPENSE = "expense"


class Side(StrEnum):
    """On which side an account grows: a credit is positive here, a debit negative."""

    DEBIT = "debit"
    CREDIT = "credit"


class Report(StrEnum):
    """The line of finance's reports that a class of accounts belongs to."""

    DEFERRED_REVENUE = "deferred revenue"
    PROMOTIONAL_CREDITS = "promotional credits"
    RECEIVABLES = "receivables"
    CLEARING = "clearing"
    BANK = "bank"
    TAX = "tax"
    PAYABLE = "payable to providers"
    REVENUE = "usage revenue"
    SUBSCRIPTIONS = "subscription revenue"
    BREAKAGE = "breakage"
    PROMOTION = "promotional expense"
    HOUSE_LOSS = "house loss"
    FEES = "fees"
    PROVIDER_COST = "provider cost"


class ChartLine(NamedTuple):
    """A class of accounts. `pattern` is the class's name; `*` stands for the last word of it.

    `customers` says that each customer has one, with the id as its second word.
    """

    pattern: str
    type: Type
    side: Side
    report: Report
    meaning: str
    customers: bool = False


_LIABILITY, _CREDIT, _DEBIT = Type.LIABILITY, Side.CREDIT, Side.DEBIT
_DEFERRED, _PROMOTIONAL = Report.DEFERRED_REVENUE, Report.PROMOTIONAL_CREDITS

CHART: tuple[ChartLine, ...] = (
    *(
        ChartLine(f"customer:{bucket}:{kind}", _LIABILITY, _CREDIT, _DEFERRED, said, customers=True)
        for kind in sorted(PAID)
        for bucket, said in (
            ("available", "purchased credits that can be spent"),
            ("held", "purchased credits that are reserved for calls in flight"),
        )
    ),
    ChartLine(
        *("customer:available:*", _LIABILITY, _CREDIT, _PROMOTIONAL),
        "given credits that can be spent, by lot kind",
        customers=True,
    ),
    ChartLine(
        *("customer:held:*", _LIABILITY, _CREDIT, _PROMOTIONAL),
        "given credits that are reserved for calls in flight, by lot kind",
        customers=True,
    ),
    ChartLine(
        *("issued:*", _LIABILITY, _DEBIT, _PROMOTIONAL),
        "given credits that nobody paid for and nobody used yet, against what customers have; by "
        "lot kind",
    ),
    ChartLine(
        *("lapsed:*", _LIABILITY, _CREDIT, _PROMOTIONAL),
        "given credits that expired unspent, against what was issued: neither income nor expense",
    ),
    ChartLine(
        *("receivable", Type.ASSET, _DEBIT, Report.RECEIVABLES),
        "what a customer owes, paid by the next credits before these can be spent",
        customers=True,
    ),
    ChartLine(
        *("returned:*", Type.ASSET, _CREDIT, Report.CLEARING),
        "purchased credits that were taken back, against what was paid for them: refund, dispute",
    ),
    ChartLine(
        *("transfers", _LIABILITY, _CREDIT, _PROMOTIONAL),
        "between two customers' accounts: nought after each transfer",
    ),
    ChartLine(
        *("clearing:stripe", Type.ASSET, _DEBIT, Report.CLEARING),
        "payments that credits were granted for, until Stripe pays them out",
    ),
    ChartLine(
        *("bank:*", Type.ASSET, _DEBIT, Report.BANK),
        "what was paid out to the bank, by who paid it out",
    ),
    ChartLine(
        *("clearing:manual", Type.ASSET, _DEBIT, Report.CLEARING),
        "purchases that were granted without the id of a payment",
    ),
    ChartLine(
        *("tax:*", _LIABILITY, _CREDIT, Report.TAX),
        "taxes that were collected and are owed to an authority",
    ),
    ChartLine(
        *("payable:*", _LIABILITY, _CREDIT, Report.PAYABLE),
        "what a provider's answers cost by its prices, until its invoice is paid",
    ),
    ChartLine(
        *("revenue:usage:*", Type.INCOME, _CREDIT, Report.REVENUE),
        f"what calls earned, by the kind of lot that paid; `{UNPAID}` is what nobody did, `{OWED}` "
        "what the customer owed for it",
    ),
    ChartLine(
        *("revenue:subscriptions", Type.INCOME, _CREDIT, Report.SUBSCRIPTIONS),
        "what subscriptions cost beyond the allowance of their period, without taxes",
    ),
    ChartLine(
        *("breakage:*", Type.INCOME, _CREDIT, Report.BREAKAGE),
        "purchased credits that expired unspent",
    ),
    ChartLine(
        *("promotion:*", Type.EXPENSE, _DEBIT, Report.PROMOTION),
        "given credits at their use, by lot kind",
    ),
    ChartLine(
        *("discounts", Type.EXPENSE, _DEBIT, Report.PROMOTION),
        "credits that packages and subscriptions give beyond their price",
    ),
    ChartLine(
        *("house_loss", Type.EXPENSE, _DEBIT, Report.HOUSE_LOSS),
        "what calls cost that nobody paid",
    ),
    ChartLine(
        *("fees:*", Type.EXPENSE, _DEBIT, Report.FEES),
        "what taking the money cost: `stripe` its fees, `tax` taxes in prices that credits were "
        "given for in full, `returned` what went back beyond the credits",
    ),
    ChartLine(
        *("provider_cost:*", Type.EXPENSE, _DEBIT, Report.PROVIDER_COST),
        "what answers cost at a provider, failed attempts among them",
    ),
)
"""Every class of accounts; the first whose pattern fits counts."""


def class_of(account: str, account_id: str) -> str:
    """The class of an account that an event of this customer names."""
    return account.replace(f":{account_id}", "", 1)


def line_of(class_name: str) -> ChartLine:
    """The chart's line of a class; raises KeyError for one that the chart has not."""
    for line in CHART:
        stem, star, _ = line.pattern.partition("*")
        if class_name == line.pattern or (
            star and class_name.startswith(stem) and class_name != stem
        ):
            return line
    raise KeyError(class_name)
