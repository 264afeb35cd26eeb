"""The figures of the books, in the shapes that they are shown in."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from domain.books.aging import aged
from domain.books.chart import Report, line_of
from event_store.ids import to_iso
from event_store.log.reading import booking_now, read_entries_at
from projections.all import projection_named
from projections.engine.projection import select_on
from projections.money.as_of import Time, find_times, read_closes
from projections.money.books import (
    ClassBalance,
    LinesAsked,
    read_class_balances,
    read_debits,
    read_debts,
    read_journal,
    read_lapsed_by_kind,
)
from query_api.finance.shapes import (
    Range,
    ages_shown,
    as_of_shown,
    balance_shown,
    ends_shown,
    line_shown,
    link,
    money,
    same_range,
    same_time,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from event_store.postgres.database import Connects
    from query_api.finance.asked import Account

JOURNAL = projection_named("journal")
BEGINNING = Time(0)
BASIS_POINTS = 10_000
PROFIT = (
    Report.REVENUE,
    Report.PROMOTION,
    Report.HOUSE_LOSS,
    Report.BREAKAGE,
    Report.SUBSCRIPTIONS,
)
COSTS = (*PROFIT, Report.PROVIDER_COST, Report.FEES)


def trial_balance(database: Connects, time: Time, *, wait_s: float) -> dict[str, Any]:
    """Every class of accounts with its balance; their sum is zero (P4)."""
    with database.connect() as connection:
        (at,) = find_times(connection, JOURNAL, (time,), wait_s=wait_s)
        found = read_class_balances(select_on(connection), at)
    return {
        **as_of_shown(time, at),
        "accounts": [balance_shown(each, {**same_time(time, at)}) for each in found],
        **money("debit", -sum(min(each.balance, 0) for each in found)),
        **money("credit", sum(max(each.balance, 0) for each in found)),
        **money("total", sum(each.balance for each in found)),
    }


def deferred_revenue(database: Connects, time: Time, *, wait_s: float) -> dict[str, Any]:
    """Unspent purchased credits; asked for now, also what of lots has ended and is not booked."""
    with database.connect() as connection:
        (at,) = find_times(connection, JOURNAL, (time,), wait_s=wait_s)
        select = select_on(connection)
        found = _of(read_class_balances(select, at), Report.DEFERRED_REVENUE)
        lapsed = read_lapsed_by_kind(select) if time.at is None else None
    shown = {
        **as_of_shown(time, at),
        "accounts": [balance_shown(each, same_time(time, at)) for each in found],
        **money("deferred_revenue", sum(each.balance for each in found)),
    }
    if lapsed is not None:
        shown["expired_not_booked"] = [
            {"lot_kind": kind, **money("amount", amount)} for kind, amount in lapsed.items()
        ]
    return shown


def revenue(database: Connects, asked: Range, *, wait_s: float) -> dict[str, Any]:
    """What was earned in a time, by lot kind, and what of it is money."""
    moved, ends = _moved(database, asked, wait_s)
    found = [each for report in PROFIT for each in _of(moved, report)]
    return {
        **ends,
        "accounts": [balance_shown(each, same_range(asked, ends)) for each in found],
        **_profit(moved),
    }


def margin(database: Connects, asked: Range, *, wait_s: float) -> dict[str, Any]:
    """What was earned in a time, less what it cost at the providers."""
    moved, ends = _moved(database, asked, wait_s)
    figures = _profit(moved)
    net = figures["net_revenue_nano_usd"]
    costs = _of(moved, Report.PROVIDER_COST)
    left = net + sum(each.balance for each in [*costs, *_of(moved, Report.FEES)])
    found = [each for report in COSTS for each in _of(moved, report)]
    return {
        **ends,
        "accounts": [balance_shown(each, same_range(asked, ends)) for each in found],
        **figures,
        "providers": [
            {"provider": each.name.partition(":")[2], **money("cost", -each.balance)}
            for each in costs
        ],
        **money("provider_cost", -sum(each.balance for each in costs)),
        **money("fees", -sum(each.balance for each in _of(moved, Report.FEES))),
        **money("margin", left),
        "margin_basis_points": left * BASIS_POINTS // net if net > 0 else None,
    }


def journal(
    database: Connects,
    asked: Range,
    account: Account,
    account_id: UUID | None,
    *,
    after: tuple[int, int],
    limit: int,
    wait_s: float,
) -> dict[str, Any]:
    """A page of lines, each with its event."""
    with database.connect() as connection:
        ends = find_times(connection, JOURNAL, _times(asked), wait_s=wait_s)
        wanted = LinesAsked(
            ends[1],
            None if asked.since is None else ends[0],
            account.class_name,
            account.ledger_account,
            account_id,
        )
        lines = read_journal(select_on(connection), wanted, after=after, limit=limit)
        events = {
            entry.position: (entry.event.id, entry.event.TOPIC)
            for entry in read_entries_at(connection, {each.position for each in lines})
        }
    last = lines[-1] if len(lines) == limit else None
    return {
        **ends_shown(asked, ends),
        "lines": [line_shown(each, events.get(each.position, ("", ""))) for each in lines],
        "limit": limit,
        "next_cursor": last and f"{last.position}:{last.line}",
    }


def receivables(
    database: Connects, time: Time, *, after: UUID, limit: int, ages: bool, wait_s: float
) -> dict[str, Any]:
    """What customers owe, by id; with `ages`, since when."""
    with database.connect() as connection:
        (at,) = find_times(connection, JOURNAL, (time,), wait_s=wait_s)
        select = select_on(connection)
        total = sum(
            each.balance for each in _of(read_class_balances(select, at), Report.RECEIVABLES)
        )
        debts = read_debts(select, at, after=after, limit=limit)
        now = time.at if isinstance(time.at, datetime) else booking_now(connection)
        owing = [each for each in debts if each.owed > 0]
        old = {
            each.account_id: aged(
                each.owed,
                [
                    ((now - since).days, amount)
                    for since, amount in read_debits(select, at, each.account_id)
                ],
            )
            for each in (owing if ages else [])
        }
    shown = [
        {
            "account_id": str(each.account_id),
            **money("owed", each.owed),
            **ages_shown(old.get(each.account_id)),
            "journal": link(account=f"receivable:{each.account_id}", **same_time(time, at)),
        }
        for each in owing
    ]
    return {
        **as_of_shown(time, at),
        "accounts": shown,
        **money("total", -total),
        "limit": limit,
        "next_cursor": str(debts[-1].account_id) if len(debts) == limit else None,
    }


def periods(database: Connects) -> dict[str, Any]:
    """The closes of periods, the last one first."""
    with database.connect() as connection:
        closes = read_closes(connection)
        now = booking_now(connection)
    return {
        "periods": [{"closed_until": each.until, "position": each.position} for each in closes][
            ::-1
        ],
        "open_since": closes[-1].until if closes else None,
        "now": to_iso(now),
    }


def _moved(
    database: Connects, asked: Range, wait_s: float
) -> tuple[list[ClassBalance], dict[str, Any]]:
    """What moved on each class between two times."""
    with database.connect() as connection:
        ends = find_times(connection, JOURNAL, _times(asked), wait_s=wait_s)
        select = select_on(connection)
        before = {
            each.name: each
            for each in (read_class_balances(select, ends[0]) if asked.since is not None else [])
        }
        after = read_class_balances(select, ends[1])
    none = ClassBalance("", 0, 0)
    moved = [
        ClassBalance(
            each.name,
            each.balance - before.get(each.name, none).balance,
            each.postings - before.get(each.name, none).postings,
        )
        for each in after
    ]
    return [each for each in moved if each.postings], ends_shown(asked, ends)


def _times(asked: Range) -> tuple[Time, Time]:
    return asked.since or BEGINNING, asked.until


def _profit(moved: Sequence[ClassBalance]) -> dict[str, Any]:
    usage, promotion, lost, breakage, subscriptions = (
        sum(each.balance for each in _of(moved, report)) for report in PROFIT
    )
    return {
        **money("usage", usage),
        **money("promotional_expense", -promotion),
        **money("house_loss", -lost),
        **money("breakage", breakage),
        **money("subscriptions", subscriptions),
        **money("net_revenue", usage + promotion + lost + breakage + subscriptions),
    }


def _of(found: Iterable[ClassBalance], report: Report) -> list[ClassBalance]:
    return [each for each in found if line_of(each.name).report is report]
