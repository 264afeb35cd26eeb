"""What goes back of invoices takes their allowance: over any story, told in any order."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidAmountError
from domain.payments.fiat import Fiat
from domain.payments.payment import AmountDiffersError
from domain.payments.returned import GONE, ORDER, Phase, ReturnKind
from domain.payments.returns import (
    FEE,
    MINOR_MAX,
    CostSeen,
    NotPaidError,
    RefundTooLargeError,
    ReturnSeen,
    credits_due,
)
from domain.subscriptions.bills import (
    UnknownInvoiceError,
    bill_of,
    observe_invoice_cost,
    observe_invoice_return,
    refundable_of,
)
from domain.subscriptions.subscription import evolve_subscription, pay
from tests.domain.subscriptions.test_subscription import ACCOUNT, MONTH, NEXT, SUB, invoice, stamp

if TYPE_CHECKING:
    from domain.events.money.subscriptions import SubscriptionReturned
    from domain.subscriptions.allowance import Period
    from domain.subscriptions.subscription import Subscription

REFUND, DISPUTE = ReturnKind.REFUND, ReturnKind.DISPUTE
ALLOWANCE = 20 * 10**9
NOW = 1_798_761_600
stories = st.lists(
    st.tuples(
        st.sampled_from([(REFUND, Phase.OUT), (REFUND, Phase.BACK)])
        | st.sampled_from([(DISPUTE, phase) for phase in ORDER]),
        st.integers(0, 2),
        st.integers(1, 1_500),
    ),
    max_size=12,
)


def paid(
    allowance: int = ALLOWANCE,
    price: Fiat = Fiat(1_500, "usd"),  # noqa: B008 - it is a tuple
    rate: str = "",
    period: Period = MONTH,
) -> Subscription:
    """A subscription with one invoice that is paid."""
    bill = invoice("in_1", period, 1)._replace(paid=price)
    lot = "lot" if allowance else None
    event = pay(None, SUB, ACCOUNT, bill, allowance, lot, stamp(), rate)
    state = evolve_subscription(None, event)
    assert state is not None
    return state


def seen(kind: ReturnKind, name: str, minor: int, phase: Phase = Phase.OUT) -> ReturnSeen:
    """What is said of a refund or a dispute."""
    return ReturnSeen(kind, name, Fiat(minor, "usd"), phase, 5, reason="why")


def told(
    state: Subscription, said: ReturnSeen, name: str = "in_1"
) -> tuple[Subscription, SubscriptionReturned | None]:
    """The state after it, and the event, if any."""
    events = observe_invoice_return(state, name, said, NOW, stamp())
    if not events:
        return state, None
    (event,) = events
    after = evolve_subscription(state, event)
    assert after is not None
    assert after.version == state.version + 1
    return after, event


@given(stories, st.integers(0, 10**12), st.integers(1_500, 10**6))
def test_the_allowance_follows_the_money_over_any_story(
    story: list[tuple[tuple[ReturnKind, Phase], int, int]], allowance: int, price: int
) -> None:
    """At each moment what is taken is that of the whole sum that is gone (money rule 15, P4)."""
    state = paid(allowance, Fiat(price, "usd"))
    for (kind, phase), number, minor in story:
        state, _ = told(state, seen(kind, f"{kind}{number}", minor, phase))
        bill = bill_of(state.bills, "in_1")
        gone = sum(each.minor for each in bill.returns.items if each.phase in GONE)
        assert bill.returns.taken == credits_due(bill.sold, gone)
        assert 0 <= bill.returns.taken <= allowance


def test_parts_come_to_the_whole_in_any_order() -> None:
    """Thirds that are no whole nano-USD each: all is taken when all is refunded (P3, P4)."""
    parts = [seen(REFUND, f"re_{n}", minor) for n, minor in enumerate((499, 1, 1_000))]
    for order in permutations(parts):
        state = paid(ALLOWANCE + 1)
        for each in (*order, *order):
            state, _ = told(state, each)
        assert bill_of(state.bills, "in_1").returns.taken == ALLOWANCE + 1


def test_told_twice_late_or_backwards_changes_nothing() -> None:
    """What failed does not go out again, nor what is lost come to be open (P3)."""
    state, event = told(paid(), seen(REFUND, "re_1", 750))
    assert event is not None
    assert (event.credits_nano_usd, event.value_nano_usd) == (ALLOWANCE // 2, 7_500_000_000)
    assert (event.credits_end, event.invoice_id, event.reason) == (0, "in_1", "why")
    assert told(state, seen(REFUND, "re_1", 750))[1] is None
    state, event = told(state, seen(REFUND, "re_1", 1, Phase.BACK))
    assert event is not None
    assert (event.credits_nano_usd, event.amount_minor) == (ALLOWANCE // 2, 750)
    assert told(state, seen(REFUND, "re_1", 750))[1] is None
    state, event = told(state, seen(REFUND, "re_2", 1, Phase.BACK))
    assert event is not None
    assert (event.credits_nano_usd, event.credits_end) == (0, 0)


def test_what_comes_back_lasts_for_a_period() -> None:
    """From when it came back; and until the invoice's own ends, if that is later (money rule 9)."""
    far = MONTH._replace(begins=2 * 10**9, ends=2 * 10**9 + 1_000)
    for period, ends in ((MONTH, NOW + 1_000), (far, far.ends)):
        state, _ = told(paid(period=period), seen(DISPUTE, "du_1", 1_500))
        state, event = told(state, seen(DISPUTE, "du_1", 1_500, Phase.BACK))
        assert event is not None
        assert event.credits_end == ends
        back = bill_of(state.bills, "in_1").returns.of("du_1")
        assert back is not None
        assert (back.taken, back.given, back.ends) == (ALLOWANCE, ALLOWANCE, ends)


def test_what_can_never_go_back_is_refused() -> None:
    """More than was paid, nothing, another currency, another invoice (P2)."""
    state = paid()
    for amount in (None, Fiat(0, "usd"), Fiat(-1, "usd"), Fiat(1_501, "usd"), Fiat(1, "eur")):
        with pytest.raises(AmountDiffersError):
            told(state, replace(seen(REFUND, "re_1", 1), amount=amount))
    with pytest.raises(AmountDiffersError):
        told(paid(price=Fiat(0, "usd")), seen(DISPUTE, "du_1", 1))
    with pytest.raises(UnknownInvoiceError):
        told(state, seen(REFUND, "re_1", 1), "in_2")


def test_each_invoice_has_its_own_returns() -> None:
    """What goes back of one takes nothing of another's allowance (money rule 15)."""
    state = paid()
    event = pay(state, SUB, ACCOUNT, invoice("in_2", NEXT, 2), ALLOWANCE, "lot2", stamp())
    after = evolve_subscription(state, event)
    assert after is not None
    after, _ = told(after, seen(REFUND, "re_1", 1_500), "in_2")
    assert [each.returns.taken for each in after.bills] == [0, ALLOWANCE]
    assert [each.lot_id for each in after.bills] == ["lot", "lot2"]


def test_a_currency_without_a_rate_takes_credits_all_the_same() -> None:
    """Its worth is not known; with a rate it is, by that (money rule 18)."""
    for rate, value in (("", 0), ("1.1", 16_500_000_000)):
        state = paid(price=Fiat(1_500, "eur"), rate=rate)
        said = replace(seen(REFUND, "re_1", 1), amount=Fiat(1_500, "eur"))
        _, event = told(state, said)
        assert event is not None
        assert (event.credits_nano_usd, event.value_nano_usd) == (ALLOWANCE, value)


def test_events_of_nobody_change_nothing() -> None:
    """A return before everything else of its subscription (P3)."""
    _, event = told(paid(), seen(REFUND, "re_1", 1))
    assert event is not None
    assert evolve_subscription(None, event) is None


def test_a_fee_is_one_fact_paid_yet_or_not() -> None:
    """By the invoice's own rate in its currency; told again it is nothing (money rule 18)."""
    state = paid(price=Fiat(1_500, "eur"), rate="1.2")
    rates = {"eur": "2", "gbp": "3"}

    def fee(minor: int, currency: str, name: str = "in_1") -> list[tuple[str, int]]:
        cost = CostSeen(FEE, "txn_1", Fiat(minor, currency))
        found = observe_invoice_cost(state, name, cost, rates, stamp())
        return [(each.rate, each.amount_nano_usd) for each in found]

    assert fee(100, "eur") == [("1.2", 12 * 10**8)]
    assert fee(100, "eur", "in_unknown_yet") == [("2", 2 * 10**9)]
    assert fee(-100, "gbp") == [("3", -3 * 10**9)]
    assert fee(100, "usd") == [("1", 10**9)]
    assert fee(100, "xxx") == [("0", 0)]
    assert fee(0, "usd") == []
    with pytest.raises(InvalidAmountError):
        fee(MINOR_MAX + 1, "usd")
    cost = CostSeen(FEE, "txn_1", Fiat(100, "usd"))
    (event,) = observe_invoice_cost(state, "in_1", cost, rates, stamp())
    after = evolve_subscription(state, event)
    assert after is not None
    assert after.version == state.version + 1
    assert observe_invoice_cost(after, "in_1", cost, rates, stamp()) == []
    assert evolve_subscription(None, event) is None


def test_an_admin_refunds_what_is_left_of_an_invoice() -> None:
    """Whole, in part, never more than was paid; a request is known by its id (money rule 15)."""
    state = paid()
    assert refundable_of(state, "in_1", None) == 1_500
    assert refundable_of(state, "in_1", 1) == 1
    for absurd in (0, -1):
        with pytest.raises(InvalidAmountError):
            refundable_of(state, "in_1", absurd)
    for much in (1_501, 10**30):
        with pytest.raises(RefundTooLargeError):
            refundable_of(state, "in_1", much)
    with pytest.raises(NotPaidError):
        refundable_of(state, "in_2", 1)
    asked = replace(seen(REFUND, "re_1", 500), request_id="ours", by_user_id="ann")
    (event,) = observe_invoice_return(state, "in_1", asked, NOW, stamp())
    assert (event.request_id, event.by_user_id) == ("ours", "ann")
    after = evolve_subscription(state, event)
    assert after is not None
    known = bill_of(after.bills, "in_1").returns.asked("ours")
    assert known is not None
    assert (known.id, known.minor) == ("re_1", 500)
    assert refundable_of(after, "in_1", None) == 1_000
