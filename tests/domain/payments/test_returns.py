"""What goes back of a payment, however often, late and in whatever order it is told."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.errors import InvalidAmountError
from domain.events.money.returns import PaymentRefunded, PaymentReturn, PayoutTold
from domain.payments.fiat import Fiat
from domain.payments.payment import (
    AmountDiffersError,
    Observation,
    Payment,
    Status,
    evolve_payment,
    known_payment,
    observe_payment,
    shown_status,
)
from domain.payments.returned import CLASSES, GONE, ORDER, Phase, ReturnKind, evolve_returns
from domain.payments.returns import (
    FEE,
    MINOR_MAX,
    REFUNDS_MAX,
    TAX,
    CostSeen,
    NotPaidError,
    PayoutSeen,
    RefundTooLargeError,
    ReturnSeen,
    credits_due,
    observe_cost,
    observe_return,
    refundable,
    sold_by,
    tell_payout,
)
from tests.domain.payments.test_payment import ORDER as DOLLARS
from tests.domain.payments.test_payment import stamp, started

if TYPE_CHECKING:
    from collections.abc import Sequence

REFUND, DISPUTE = ReturnKind.REFUND, ReturnKind.DISPUTE
PRICE = DOLLARS.price.minor
CREDITS = DOLLARS.credits_nano_usd
RATES = {"usd": "1"}


def paid(credits_nano_usd: int = CREDITS, minor: int = PRICE) -> Payment:
    """A payment that is completed."""
    begun = started()
    order = replace(
        begun.order, credits_nano_usd=credits_nano_usd, price=Fiat(minor, DOLLARS.price.currency)
    )
    begun = replace(begun, order=order)
    seen = Observation(Status.COMPLETED, 1, order.price, "pi_1")
    (event,) = observe_payment(begun, seen, stamp(), lot_id="lot")
    return known_payment(evolve_payment(begun, event))


def seen(
    kind: ReturnKind, name: str, minor: int, phase: Phase, currency: str = "usd"
) -> ReturnSeen:
    """What a provider says."""
    return ReturnSeen(kind, name, Fiat(minor, currency), phase, 5, "pi_1", "why")


def after(state: Payment, *told: ReturnSeen) -> Payment:
    """The payment after what is told, one after the other."""
    for each in told:
        for event in observe_return(state, each, stamp()):
            state = known_payment(evolve_payment(state, event))
    return state


def test_parts_add_up_to_all_of_the_credits() -> None:
    """Thirds of a price that three does not divide are all of it, to the nano (money rule 15)."""
    state = paid(credits_nano_usd=1_000_000_001, minor=100)
    taken = []
    for n, minor in enumerate((33, 33, 34)):
        before = state.returns.taken
        state = after(state, seen(REFUND, f"re_{n}", minor, Phase.OUT))
        taken.append(state.returns.taken - before)
    assert taken == [330_000_000, 330_000_001, 340_000_000]
    assert sum(taken) == 1_000_000_001
    assert state.returns.refunded == 100


things = st.lists(
    st.tuples(
        st.sampled_from([REFUND, DISPUTE]),
        st.integers(0, 3),
        st.integers(1, PRICE),
        st.sampled_from(ORDER),
    ),
    max_size=12,
)


@given(things, st.integers(1, 10**11), st.integers(1, PRICE))
@example([(REFUND, 0, 5, Phase.OUT), (DISPUTE, 0, 7, Phase.LOST)], 10, 7)
def test_what_is_taken_is_what_the_money_that_is_gone_stands_for(
    told: Sequence[tuple[ReturnKind, int, int, Phase]], credits_: int, price: int
) -> None:
    """After each of any story: never more than there was, never less than nought (P1, P3)."""
    state = paid(credits_nano_usd=credits_, minor=price)
    for kind, name, minor, phase in told:
        if (kind, phase) not in CLASSES or (kind is REFUND and minor > price):
            continue
        each = seen(kind, f"{kind}{name}", minor, phase)
        state = after(state, each)
        gone = sum(item.minor for item in state.returns.items if item.phase in GONE)
        assert state.returns.taken == credits_due(sold_by(state.order), gone)
        assert 0 <= state.returns.taken <= credits_
        again = observe_return(state, each, stamp())
        assert again == []


def test_the_order_in_which_one_is_told_does_not_matter() -> None:
    """A failure before the refund, a win before the withdrawal: nothing is taken (P3)."""
    refund = [seen(REFUND, "re", 300, phase) for phase in (Phase.OUT, Phase.BACK)]
    dispute = [seen(DISPUTE, "du", 500, phase) for phase in (Phase.OPENED, Phase.OUT, Phase.BACK)]
    for story in (refund, dispute):
        for order in permutations(story):
            assert after(paid(), *order).returns.taken == 0
    lost = [seen(DISPUTE, "du", 500, phase) for phase in (Phase.OPENED, Phase.OUT, Phase.LOST)]
    for order in permutations(lost):
        assert after(paid(), *order).returns.taken == CREDITS // 2


def test_a_dispute_after_a_refund_takes_the_rest_alone() -> None:
    """And a refund after a dispute; what comes back is what is not gone by another way (P1)."""
    whole = seen(REFUND, "re", PRICE, Phase.OUT)
    more = seen(DISPUTE, "du", PRICE + 100, Phase.OUT)
    both = after(paid(), whole, more)
    assert both.returns.taken == CREDITS
    (event,) = observe_return(after(paid(), whole), more, stamp())
    assert (event.credits_nano_usd, event.value_nano_usd) == (0, 11 * 10**9)
    assert after(both, replace(whole, phase=Phase.BACK)).returns.taken == CREDITS
    won = after(both, replace(more, phase=Phase.BACK))
    assert won.returns.taken == CREDITS
    assert after(won, replace(whole, phase=Phase.BACK)).returns.taken == 0
    assert after(paid(), more, seen(REFUND, "re", 1, Phase.OUT)).returns.taken == CREDITS


def test_what_a_refund_says_of_itself() -> None:
    """Who asked for it and why, what it was worth, and from which state on (money rule 18)."""
    asked = replace(seen(REFUND, "re", 250, Phase.OUT), request_id="r-1", by_user_id="admin")
    (event,) = observe_return(paid(), asked, stamp())
    assert isinstance(event, PaymentRefunded)
    assert (event.request_id, event.by_user_id, event.reason) == ("r-1", "admin", "why")
    assert (event.value_nano_usd, event.credits_nano_usd) == (25 * 10**8, 25 * 10**8)
    state = after(paid(), asked)
    found = state.returns.asked("r-1")
    assert found is not None
    assert found.minor == 250
    assert state.version == paid().version + 1
    assert state.returns.asked("r-2") is None
    assert state.returns.dispute == ""
    disputed = after(state, seen(DISPUTE, "du", 5, Phase.OPENED))
    assert (disputed.returns.dispute, disputed.returns.taken) == ("opened", 25 * 10**8)


@pytest.mark.parametrize(
    ("amount", "currency"),
    [(0, "usd"), (-1, "usd"), (PRICE + 1, "usd"), (10**30, "usd"), (5, "jpy")],
)
def test_amounts_that_cannot_go_back(amount: int, currency: str) -> None:
    """Nought, less, more than was paid, another currency, none at all (rule: refuse clearly)."""
    told = seen(REFUND, "re", amount, Phase.OUT, currency)
    with pytest.raises(AmountDiffersError):
        observe_return(paid(), told, stamp())
    with pytest.raises(AmountDiffersError, match="nothing"):
        observe_return(paid(), replace(told, amount=None), stamp())
    with pytest.raises(AmountDiffersError):
        observe_return(paid(), seen(DISPUTE, "du", MINOR_MAX + 1, Phase.OUT), stamp())


def test_nothing_goes_back_of_what_was_not_paid() -> None:
    """A payment that is not completed (rule: refuse clearly)."""
    with pytest.raises(NotPaidError):
        observe_return(started(), seen(REFUND, "re", 1, Phase.OUT), stamp())
    with pytest.raises(NotPaidError):
        refundable(started(), None)


def test_what_an_admin_may_refund() -> None:
    """All that is left, or a part of it; no more of it, and not for ever (rule: bounded)."""
    state = after(paid(), seen(REFUND, "re", 300, Phase.OUT))
    assert (refundable(state, None), refundable(state, 700)) == (700, 700)
    for amount in (0, -5):
        with pytest.raises(InvalidAmountError):
            refundable(state, amount)
    with pytest.raises(RefundTooLargeError, match=r"7.00 USD of 10.00 USD"):
        refundable(state, 701)
    with pytest.raises(RefundTooLargeError):
        refundable(after(state, seen(REFUND, "re_2", 700, Phase.OUT)), None)
    full = after(paid(), *(seen(REFUND, f"re_{n}", 1, Phase.OUT) for n in range(REFUNDS_MAX)))
    with pytest.raises(RefundTooLargeError, match="100 refunds"):
        refundable(full, 1)


def test_how_a_payment_is_shown() -> None:
    """Paid it stays; refunded in part or whole (money rule 18)."""
    assert shown_status("completed", 10, 0) == "completed"
    assert shown_status("completed", 10, 9) == "partially_refunded"
    assert shown_status("completed", 10, 10) == "refunded"


def test_costs_are_told_once() -> None:
    """A fee for each balance transaction, a tax for each session; in a known currency (P3)."""
    state = paid()
    fee = CostSeen(FEE, "txn", Fiat(59, "usd"))
    (event,) = observe_cost(state, fee, stamp())
    assert event.amount_nano_usd == 590_000_000
    state = known_payment(evolve_payment(state, event))
    assert observe_cost(state, fee, stamp()) == []
    assert len(observe_cost(state, replace(fee, kind=TAX), stamp())) == 1
    assert observe_cost(state, replace(fee, source_id="x", amount=Fiat(0, "usd")), stamp()) == []
    for bad in (Fiat(5, "xxx"), Fiat(MINOR_MAX + 1, "usd")):
        with pytest.raises(InvalidAmountError):
            observe_cost(state, replace(fee, source_id="x", amount=bad), stamp())


def test_a_payout_is_told_once_and_may_come_back() -> None:
    """Paid, and not; what never left does not come back (P3)."""
    stream = UUID(int=9)
    there = PayoutSeen("po", Fiat(500, "usd"), paid=True, as_of=1)
    back = replace(there, paid=False)

    def told(known: list[PayoutTold], what: PayoutSeen) -> list[PayoutTold]:
        return tell_payout(known, stream, what, RATES, stamp())

    assert told([], back) == []
    first = told([], there)
    assert told(first, there) == []
    second = [*first, *told(first, back)]
    assert [(each.paid, each.amount_nano_usd) for each in second] == [
        (True, 5 * 10**9),
        (False, 5 * 10**9),
    ]
    assert told(second, back) == []
    assert told(second, there) == []


def test_other_events_send_nothing_back() -> None:
    """Neither those of the payment nor those of anything else (rule: contract)."""
    state = paid().returns
    there = PayoutSeen("po", Fiat(5, "usd"), paid=True, as_of=1)
    (event,) = tell_payout([], UUID(int=9), there, RATES, stamp())
    assert evolve_returns(state, event) is state


def test_every_event_has_one_meaning() -> None:
    """Each class of what goes back says one kind and one phase (rule: contract)."""
    assert len(set(CLASSES.values())) == len(CLASSES)
    assert all(issubclass(each, PaymentReturn) for each in CLASSES.values())
