"""Money from outside in the books: discounts, fees, taxes, what went back, payouts."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatch
from typing import TYPE_CHECKING
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from domain.books.chart import line_of
from domain.books.entries import EVENTS, entries_of
from domain.events.ledger import CreditsDebited, CreditsGranted
from domain.payments.fiat import Fiat
from domain.payments.payment import (
    Observation,
    Payment,
    Status,
    evolve_payment,
    known_payment,
    observe_payment,
)
from domain.payments.returned import GONE, ORDER, Phase, ReturnKind
from domain.payments.returns import (
    FEE,
    TAX,
    CostSeen,
    PayoutSeen,
    ReturnSeen,
    observe_cost,
    observe_return,
    tell_payout,
)
from domain.subscriptions.allowance import Line, Period
from domain.subscriptions.bills import observe_invoice_cost, observe_invoice_return
from domain.subscriptions.subscription import Invoice, evolve_subscription, pay
from domain.subscriptions.tiers import Tier
from tests.domain.payments.test_payment import ACCOUNT, stamp, started

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.events.base import Event
    from domain.events.money.subscriptions import SubscriptionPaid
    from domain.subscriptions.subscription import Subscription

REFUND, DISPUTE = ReturnKind.REFUND, ReturnKind.DISPUTE
CENT = 10**7
stories = st.lists(
    st.tuples(
        st.sampled_from([(REFUND, Phase.OUT), (REFUND, Phase.BACK)])
        | st.sampled_from([(DISPUTE, phase) for phase in ORDER]),
        st.integers(0, 2),
        st.integers(1, 1_000),
    ),
    max_size=10,
)


class Books:
    """Balances, by account, of everything that is booked."""

    def __init__(self) -> None:
        self.balances: dict[str, int] = {}

    def book(self, event: Event, kind: str = "purchase") -> None:
        """An event's entries; they are zero in all, and named in the book."""
        entries = entries_of(event, lambda _: kind)
        named = [each for row in EVENTS.get(type(event), ()) for each in row[:2]]
        for each in entries:
            name = each.account.replace(f":{ACCOUNT}", "")
            assert line_of(name)
            assert any(fnmatch(name, pattern) for pattern in named), (name, event)
            self.balances[each.account] = self.balances.get(each.account, 0) + each.amount_nano_usd
        assert sum(self.balances.values()) == 0

    def of(self, *stems: str) -> int:
        """The balance of all accounts that begin so."""
        return sum(amount for name, amount in self.balances.items() if name.startswith(stems))


def grant(amount: int) -> CreditsGranted:
    """Purchased credits of the payment."""
    return CreditsGranted(
        originator_id=UUID(ACCOUNT), originator_version=1, **stamp(), account_id=ACCOUNT,
        lot_id="lot", kind="purchase", priority=30, amount_nano_usd=amount, payment_id="p",
    )  # fmt: skip


def debit(kind: str, amount: int, there: int) -> CreditsDebited:
    """Credits taken back; what is not there is owed."""
    taken = min(amount, there)
    return CreditsDebited(
        originator_id=UUID(ACCOUNT), originator_version=2, **stamp(), account_id=ACCOUNT,
        debit_id="d", kind=kind, amount_nano_usd=amount, taken_nano_usd=taken,
        owed_nano_usd=amount - taken,
        lots=[{"lot_id": "lot", "amount_nano_usd": taken}] if taken else [],
    )  # fmt: skip


def bought(books: Books, credits_: int) -> Payment:
    """A completed payment of 10 USD and its credits, booked."""
    state = started()
    state = replace(state, order=replace(state.order, credits_nano_usd=credits_))
    books.book(grant(credits_))
    seen = Observation(Status.COMPLETED, 1, state.order.price, "pi_1")
    (event,) = observe_payment(state, seen, stamp(), lot_id="lot")
    books.book(event)
    return known_payment(evolve_payment(state, event))


def subscribed(
    allowance: int, price: Fiat, tax: int, rate: str
) -> tuple[Subscription, SubscriptionPaid]:
    """A subscription whose first invoice is paid, and the event of it."""
    line = Line(Tier.PRO, Period(1_000, 2_000), prorated=False, sign=1)
    invoice = Invoice("in_1", price, tax, (line,), 1)
    event = pay(None, "sub_1", ACCOUNT, invoice, allowance, "lot", stamp(), rate)
    state = evolve_subscription(None, event)
    assert state is not None
    return state, event


@given(stories, st.integers(10**10, 2 * 10**10), st.integers(0, 2 * 10**10))
@example([((REFUND, Phase.OUT), 0, 1_000), ((DISPUTE, Phase.LOST), 0, 900)], 11 * 10**9, 5)
@example([((DISPUTE, Phase.OUT), 0, 900), ((DISPUTE, Phase.BACK), 0, 900)], 11 * 10**9, 5)
def test_clearing_is_what_stripe_has_of_ours(
    story: Sequence[tuple[tuple[ReturnKind, Phase], int, int]], credits_: int, there: int
) -> None:
    """After any story of refunds and disputes, for a package or not (P4, money rule 18)."""
    books = Books()
    state = bought(books, credits_)
    for (kind, phase), name, minor in story:
        seen = ReturnSeen(kind, f"{kind}{name}", Fiat(minor, "usd"), phase, 1, "pi_1")
        for event in observe_return(state, seen, stamp()):
            state = known_payment(evolve_payment(state, event))
            books.book(event)
            if event.credits_nano_usd and phase is Phase.BACK:
                books.book(grant(event.credits_nano_usd))
            elif event.credits_nano_usd:
                books.book(debit(kind, event.credits_nano_usd, there))
        gone = sum(each.minor for each in state.returns.items if each.phase in GONE)
        assert books.of("clearing:stripe", "returned:") == -(1_000 - gone) * CENT


@given(
    stories, st.integers(0, 2 * 10**10), st.integers(1_000, 3_000), st.integers(0, 3_000),
    st.sampled_from([("usd", ""), ("usd", "1"), ("eur", "1.2")]),
)  # fmt: skip
@example(
    [((REFUND, Phase.OUT), 0, 1_000), ((DISPUTE, Phase.LOST), 0, 900)], 11, 1_000, 3, ("usd", "")
)
@example(
    [((DISPUTE, Phase.OUT), 0, 900), ((DISPUTE, Phase.BACK), 0, 9)], 20**9, 1_500, 0, ("eur", "1.2")
)
def test_what_invoices_leave_is_what_stripe_has_of_them(
    story: Sequence[tuple[tuple[ReturnKind, Phase], int, int]],
    allowance: int,
    price: int,
    tax: int,
    money: tuple[str, str],
) -> None:
    """After any story, for allowances of more or less than the price (P4, money rule 18)."""
    books = Books()
    currency, rate = money
    cent = CENT * (6 if currency == "eur" else 5) // 5
    state, event = subscribed(allowance, Fiat(price, currency), tax, rate)
    if allowance:
        books.book(replace(grant(allowance), kind="allowance"))
    books.book(event)
    assert books.of("tax:stripe") == tax * cent
    assert books.of("clearing:stripe") == -price * cent
    said = books.of("discounts", "revenue:subscriptions")
    assert said == (price - tax) * cent - allowance
    fees: dict[str, int] = {}
    for (kind, phase), name, minor in story:
        seen = ReturnSeen(kind, f"{kind}{name}", Fiat(minor, currency), phase, 1)
        for returned in observe_invoice_return(state, "in_1", seen, 1, stamp()):
            after = evolve_subscription(state, returned)
            assert after is not None
            state = after
            books.book(returned)
            moved = returned.credits_nano_usd
            if moved and phase is Phase.BACK:
                books.book(replace(grant(moved), kind="allowance"))
            elif moved:
                books.book(debit(kind, moved, allowance // 2))
        items = state.bills[0].returns.items
        gone = sum(each.minor for each in items if each.phase in GONE)
        # Each is told of its fee too, some again and again, in the account's own currency.
        cost = CostSeen(FEE, f"txn{name}", Fiat(minor, "usd"))
        for fee in observe_invoice_cost(state, "in_1", cost, {}, stamp()):
            after = evolve_subscription(state, fee)
            assert after is not None
            state, fees[cost.source_id] = after, minor * CENT
            books.book(fee)
        there = -(price - gone) * cent + sum(fees.values())
        assert books.of("clearing:stripe", "returned:") == there
        assert books.of("fees:stripe") == -sum(fees.values())
    assert books.of("tax:stripe") == tax * cent


def test_an_invoice_of_a_currency_without_a_rate_is_its_allowance() -> None:
    """What it is worth is not known: taken back whole it leaves nothing (P4, money rule 18)."""
    books = Books()
    state, event = subscribed(2 * 10**10, Fiat(1_500, "sek"), 100, "")
    books.book(replace(grant(2 * 10**10), kind="allowance"))
    books.book(event)
    assert books.of("clearing:stripe") == -2 * 10**10
    seen = ReturnSeen(REFUND, "re_1", Fiat(1_500, "sek"), Phase.OUT, 1)
    (returned,) = observe_invoice_return(state, "in_1", seen, 1, stamp())
    books.book(returned)
    books.book(debit("refund", returned.credits_nano_usd, 0))
    assert books.of("clearing:stripe", "returned:") == 0
    (fee,) = observe_invoice_cost(
        state, "in_1", CostSeen(FEE, "x", Fiat(50, "sek")), {"sek": "0.1"}, stamp()
    )
    books.book(fee)
    assert books.of("clearing:stripe", "returned:") == 0
    assert books.of("tax:", "discounts", "fees:") == 0


def test_given_credits_that_pay_for_a_refund_are_at_their_use() -> None:
    """What was bought is used up: the gift is an expense, not undone (money rule 18)."""
    books = Books()
    books.book(debit("refund", 50, 30), kind="bonus")
    assert books.of("returned:refund") == 50
    assert (books.of("promotion:bonus"), books.of("issued:bonus")) == (-30, 30)
    assert books.of("receivable") == -20


def test_fees_taxes_and_payouts_are_entries_of_their_own() -> None:
    """Each from its fact, and once; what was paid out leaves nothing (money rule 18)."""
    books = Books()
    state = bought(books, 10**10)
    for kind, minor in ((FEE, 59), (TAX, 160)):
        (event,) = observe_cost(state, CostSeen(kind, "x", Fiat(minor, "usd")), stamp())
        books.book(event)
    assert (books.of("fees:stripe"), books.of("fees:tax")) == (-59 * CENT, -160 * CENT)
    assert (books.of("tax:stripe"), books.of("clearing:stripe")) == (160 * CENT, -941 * CENT)
    there = PayoutSeen("po", Fiat(941, "usd"), paid=True, as_of=1)
    told = tell_payout([], UUID(int=9), there, {"usd": "1"}, stamp())
    books.book(told[0])
    assert (books.of("bank:stripe"), books.of("clearing:stripe")) == (-941 * CENT, 0)
    (back,) = tell_payout(told, UUID(int=9), replace(there, paid=False), {"usd": "1"}, stamp())
    books.book(back)
    assert (books.of("bank:stripe"), books.of("clearing:stripe")) == (0, -941 * CENT)


def test_a_package_for_less_is_a_discount() -> None:
    """11 credits for 10 USD: Stripe has 10; in euros the rate says it all (money rule 18)."""
    books = Books()
    bought(books, 11 * 10**9)
    assert (books.of("discounts"), books.of("clearing:stripe")) == (-(10**9), -(10**10))
    euros = started()
    euros = replace(euros, order=replace(euros.order, price=Fiat(1_000, "eur"), rate="1.1"))
    seen = Observation(Status.COMPLETED, 1, euros.order.price, "pi_1")
    (event,) = observe_payment(euros, seen, stamp(), lot_id="lot")
    assert entries_of(event, lambda _: "") == []
