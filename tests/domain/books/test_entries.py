"""The chart of accounts, and the entries that each event makes in it."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.books.chart import CHART, PAID, UNASSIGNED, Report, Side, Type, class_of, line_of
from domain.books.entries import EVENTS, entries_of, lots_in, lots_made
from domain.books.parts import Part
from domain.events import ledger as ev
from domain.events.identity import UserRegistered
from domain.ledger.model.ledger import ModelLedger
from domain.ledger.postings import postings_of
from domain.ledger.state import LedgerState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.events.base import Event

ACCOUNTS = [f"00000000-0000-7000-8000-00000000000{n}" for n in "ab"]
LOTS = [f"00000000-0000-7000-8000-0000000000b{n}" for n in range(6)]
CALLS = [f"00000000-0000-7000-8000-0000000000c{n}" for n in range(5)]
KINDS = ("trial", "bonus", "purchase", "admin_credit")
NO_KINDS: dict[str, str] = {}
T = [f"2026-01-01T00:00:{n:02d}.000000Z" for n in range(60)]

numbers = st.integers(0, 40)
steps = st.one_of(
    st.tuples(
        st.just("grant"),
        st.sampled_from(ACCOUNTS),
        st.sampled_from(LOTS),
        st.sampled_from(KINDS),
        numbers,
        st.integers(1, 59),
    ),
    st.tuples(st.just("hold"), st.sampled_from(ACCOUNTS), st.sampled_from(CALLS), numbers),
    st.tuples(st.just("extend"), st.sampled_from(CALLS), numbers),
    st.tuples(st.just("settle"), st.sampled_from(CALLS), numbers),
    st.tuples(st.just("void"), st.sampled_from(CALLS)),
    st.tuples(st.just("expire"), st.sampled_from(CALLS), numbers),
    st.tuples(
        st.just("debit"), st.sampled_from(ACCOUNTS), st.sampled_from(["refund", "dispute"]), numbers
    ),
    st.tuples(st.just("transfer"), st.sampled_from(ACCOUNTS), numbers),
    st.tuples(
        st.just("correct"), st.sampled_from(ACCOUNTS), st.sampled_from(CALLS), numbers, numbers
    ),
)
LATER = ("debit", "transfer", "correct")
"""Steps after which revenue by kind is not what calls used of it."""
STORY = (
    ("grant", ACCOUNTS[0], LOTS[0], "trial", 10, 4),
    ("grant", ACCOUNTS[0], LOTS[1], "purchase", 20, 8),
    ("hold", ACCOUNTS[0], CALLS[0], 12),
    ("extend", CALLS[0], 3),
    ("settle", CALLS[0], 40),
    ("hold", ACCOUNTS[0], CALLS[1], 12),
)
LOST = (
    ("grant", ACCOUNTS[0], LOTS[0], "trial", 10, 4),
    ("grant", ACCOUNTS[0], LOTS[1], "purchase", 20, 4),
    ("hold", ACCOUNTS[0], CALLS[0], 12),
    ("expire", CALLS[0], 4),
    ("settle", CALLS[0], 9),
)
TAKEN = (
    ("grant", ACCOUNTS[0], LOTS[0], "bonus", 10, 50),
    ("grant", ACCOUNTS[0], LOTS[1], "purchase", 20, 9),
    ("hold", ACCOUNTS[0], CALLS[0], 25),
    ("settle", CALLS[0], 25),
    ("debit", ACCOUNTS[0], "refund", 9),
    ("grant", ACCOUNTS[0], LOTS[2], "bonus", 8, 50),
    ("correct", ACCOUNTS[0], CALLS[0], 5, 28),
    ("transfer", ACCOUNTS[0], 1),
    ("correct", ACCOUNTS[0], CALLS[0], 6, 1),
    ("grant", ACCOUNTS[0], LOTS[3], "purchase", 30, 50),
    ("debit", ACCOUNTS[0], "refund", 3),
    ("transfer", ACCOUNTS[0], 5),
    ("grant", ACCOUNTS[1], LOTS[4], "bonus", 5, 50),
    ("debit", ACCOUNTS[1], "dispute", 2),
)
EARLY = (
    ("grant", ACCOUNTS[0], LOTS[0], "bonus", 10, 50),
    ("grant", ACCOUNTS[0], LOTS[1], "purchase", 20, 50),
    ("hold", ACCOUNTS[0], CALLS[0], 25),
    ("settle", CALLS[0], 12),
    ("hold", ACCOUNTS[0], CALLS[1], 5),
    ("void", CALLS[1]),
)


def told(story: Sequence[tuple[object, ...]]) -> ModelLedger:
    """A ledger that was told a story, a step a second; what it refuses changes nothing."""
    model = ModelLedger()
    for second, step in enumerate(story, 1):
        now = T[min(second, 59)]
        match step:
            case ("grant", str(account), str(lot), str(kind), int(amount), int(ends)):
                model.grant(account, lot, kind, amount, T[ends])
            case ("hold", str(account), str(call), int(amount)):
                model.hold(call, account, amount, now)
            case ("extend", str(call), int(amount)):
                model.extend(call, amount, now)
            case ("settle", str(call), int(cost)):
                model.settle(call, cost, now)
            case ("void", str(call)):
                model.void(call, now)
            case ("expire", str(call), int(cost)):
                model.expire(call, cost, now)
            case ("debit", str(account), str(kind), int(amount)):
                model.debit(account, f"debit {second}", kind, amount, now)
            case ("transfer", str(account), int(amount)):
                (other,) = {*ACCOUNTS} - {account}
                model.transfer(account, f"transfer {second}", other, amount, now)
            case ("correct", str(account), str(call), int(version), int(cost)):
                renewed = f"{call[:-2]}{second:02}"
                model.correct(call, account, cost, f"version {version}", renewed, now)
    return model


def with_attempts(event: Event) -> Event:
    """The same with two attempts, of which one cost something at its provider."""
    if not isinstance(event, ev.HoldResolved | ev.HouseLossBooked):
        return event
    attempts: list[dict[str, Any]] = [{"provider": "one"}, {"provider": "two", "cost_nano_usd": 3}]
    return replace(event, attempts=attempts)


@given(st.lists(steps, max_size=40))
@example(STORY)
@example(LOST)
@example(EARLY)
@example(TAKEN)
def test_the_books_balance_at_every_position(story: Sequence[tuple[object, ...]]) -> None:
    """Zero in all, and by lot kind what the lots have, after every event (P4, money rule 18)."""
    state, kinds = LedgerState(), dict[str, str]()
    books, coarse = dict[str, int](), dict[str, int]()
    for event in map(with_attempts, told(story).log):
        kinds |= lots_made(event)
        assert lots_in(event) <= set(kinds)
        entries = entries_of(event, kinds.__getitem__)
        assert sum(each.amount_nano_usd for each in entries) == 0
        assert all(each.amount_nano_usd for each in entries)
        for each in entries:
            books[each.account] = books.get(each.account, 0) + each.amount_nano_usd
        for each in postings_of(event):
            coarse[each.account] = coarse.get(each.account, 0) + each.amount_nano_usd
        state.apply(event)
        assert sum(books.values()) == 0
    for account in state.accounts.values():
        assert books.get(f"receivable:{account.account_id}", 0) == -account.owed
        for kind in KINDS:
            lots = [lot for lot in account.lots.values() if lot.kind == kind]
            name = f"customer:{account.account_id}"
            assert books.get(f"{name}:available:{kind}", 0) == sum(lot.available for lot in lots)
            assert books.get(f"{name}:held:{kind}", 0) == sum(lot.held for lot in lots)
    for kind in set(KINDS) - PAID:
        names = [f"issued:{kind}", f"lapsed:{kind}"]
        names += [f"customer:{a}:{b}:{kind}" for a in ACCOUNTS for b in ("available", "held")]
        assert sum(books.get(name, 0) for name in names) == 0, "nobody paid for it, nobody earned"
        if any(step[0] in LATER for step in story):
            continue
        earned = books.get(f"revenue:usage:{kind}", 0)
        assert earned + books.get(f"promotion:{kind}", 0) == 0
    assert not any(name.endswith(UNASSIGNED) for name in books)
    wholes: dict[str, tuple[str, ...]] = {
        "revenue:usage": ("revenue:usage:",),
        "house_loss": ("house_loss",),
    }
    if not any(step[0] == "correct" for step in story):
        wholes["breakage"] = ("breakage:", "lapsed:")
    for whole, stems in wholes.items():
        divided = sum(amount for name, amount in books.items() if name.startswith(stems))
        assert divided == coarse.get(whole, 0)


@given(st.lists(steps, max_size=40))
@example(STORY)
@example(LOST)
@example(EARLY)
@example(TAKEN)
def test_each_entry_is_one_that_the_book_tells_of(story: Sequence[tuple[object, ...]]) -> None:
    """Accounts are in the chart, on a side that the table of the event names (rule: docs)."""
    kinds = dict[str, str]()
    for event in map(with_attempts, told(story).log):
        kinds |= lots_made(event)
        rows = next((rows for cls, rows in EVENTS.items() if isinstance(event, cls)), ())
        named = [each for debit, credit, _ in rows for each in (debit, credit)]
        for each in entries_of(event, kinds.__getitem__):
            assert isinstance(event, ev.MoneyEvent)
            name = class_of(each.account, event.account_id)
            line_of(name)
            assert any(fnmatch(name, pattern) for pattern in named), (name, event)


def test_every_table_names_accounts_of_the_chart() -> None:
    """And no class of accounts is there twice, or without a meaning (rule: docs)."""
    for rows in EVENTS.values():
        for debit, credit, said in rows:
            assert line_of(debit.replace("*", "x")), debit
            assert line_of(credit.replace("*", "x")), credit
            assert said
    patterns = [line.pattern for line in CHART]
    assert len(set(patterns)) == len(patterns)
    assert {line.report for line in CHART} == set(Report)
    for line in CHART:
        assert line.meaning
        profit = line.type in {Type.INCOME, Type.EXPENSE}
        if profit:
            assert (line.side is Side.CREDIT) is (line.type is Type.INCOME)


@pytest.mark.parametrize("name", ["", "customer", "customer:available:", "revenue", "house_loss:x"])
def test_what_the_chart_has_not_is_no_class(name: str) -> None:
    """It is not taken for another one (rule: refuse clearly)."""
    with pytest.raises(KeyError):
        line_of(name)


def test_a_class_is_an_account_without_its_customer() -> None:
    """And an account of the house is its own class (rule: contract)."""
    a = ACCOUNTS[0]
    assert class_of(f"customer:{a}:available:trial", a) == "customer:available:trial"
    assert class_of(f"receivable:{a}", a) == "receivable"
    assert class_of("house_loss", a) == "house_loss"
    assert line_of("customer:available:purchase").report is Report.DEFERRED_REVENUE
    assert line_of("customer:available:gift").report is Report.PROMOTIONAL_CREDITS


def test_what_names_no_lots_stays_whole() -> None:
    """An event without parts by lot keeps its postings, on accounts of their own (P4)."""
    (event,) = (e for e in told(STORY).log if isinstance(e, ev.HoldSettled))
    bare = replace(event, lots=[], released_lots=[], beyond_lots=[], forfeited_lots=[])
    entries = dict(entries_of(bare, NO_KINDS.__getitem__))
    assert sum(entries.values()) == 0
    a = ACCOUNTS[0]
    assert entries[f"customer:{a}:held:{UNASSIGNED}"] == -event.held_nano_usd
    assert entries[f"revenue:usage:{UNASSIGNED}"] == event.settled_nano_usd
    assert all(line_of(class_of(name, a)) for name in entries)


def test_a_purchase_with_a_payment_awaits_its_payout() -> None:
    """Without one it is an operator's word (money rule 18)."""
    bought = next(e for e in told(STORY).log if getattr(e, "kind", "") == "purchase")
    assert isinstance(bought, ev.CreditsGranted)
    assert dict(entries_of(bought, NO_KINDS.__getitem__))["clearing:manual"] == -20
    paid = replace(bought, payment_id="pi_1")
    assert dict(entries_of(paid, NO_KINDS.__getitem__))["clearing:stripe"] == -20


def test_a_gift_that_is_taken_back_is_issued_no_more() -> None:
    """What was paid for goes the way the debit names, what was given comes back (money rule 18)."""
    model = ModelLedger()
    model.grant(ACCOUNTS[0], "given", "bonus", 10, None)
    model.grant(ACCOUNTS[0], "bought", "purchase", 20, None)
    model.debit(ACCOUNTS[0], "debit", "admin_debit", 25, "2026-01-01T00:00:00.000000Z")
    kinds = {"given": "bonus", "bought": "purchase"}
    entries = dict(entries_of(model.log[-1], kinds.__getitem__))
    assert entries["issued:bonus"] == 5
    assert sum(entries.values()) == 0


ABSURD = [
    {"provider": "one", "cost_nano_usd": -3},
    {"provider": "one", "cost_nano_usd": "3"},
    {"provider": None, "cost_nano_usd": 3},
    {"cost_nano_usd": 3},
    {},
]


@pytest.mark.parametrize("attempt", ABSURD)
def test_an_attempt_that_says_nothing_costs_nothing(attempt: dict[str, Any]) -> None:
    """Amounts that cannot be are no entries (rule: refuse clearly)."""
    (event,) = (e for e in told(STORY).log if isinstance(e, ev.HoldSettled))
    names = [each.account for each in entries_of(replace(event, attempts=[attempt]), lambda _: "x")]
    assert not any(name.startswith(("provider_cost", "payable")) for name in names)


def test_what_moves_no_money_has_no_entries() -> None:
    """Neither a refused hold nor another capability's event (P4)."""
    registered = UserRegistered.__new__(UserRegistered)
    assert entries_of(registered, NO_KINDS.__getitem__) == []
    assert lots_in(registered) == set()
    model = told(STORY)
    model.hold(CALLS[4], ACCOUNTS[1], 39, T[30], key=("ab" * 32, "cd" * 32))
    assert isinstance(model.log[-1], ev.HoldRefused)
    assert entries_of(model.log[-1], NO_KINDS.__getitem__) == []
    assert Part("", "a", 1).of == ""
    stream: dict[str, Any] = {
        "originator_id": UUID(int=7),
        "originator_version": 1,
        "id": "-",
        "actor": "-",
    }
    more: dict[str, Any] = {"effective_at": T[0], "correlation_id": "-", "account_id": ACCOUNTS[0]}
    assert entries_of(ev.MoneyEvent(**stream, **more), NO_KINDS.__getitem__) == []
