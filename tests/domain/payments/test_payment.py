"""What becomes of a payment, however often, late and in whatever order it is told."""

from __future__ import annotations

from dataclasses import replace
from itertools import count, permutations, product
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.events.ledger import LotExpired
from domain.payments.book import PaymentBook
from domain.payments.fiat import Fiat
from domain.payments.payment import (
    FOLLOWS,
    RANK,
    UNPAID,
    AmountDiffersError,
    Observation,
    Order,
    PaidTwiceError,
    Payment,
    Status,
    UnknownPaymentError,
    Way,
    evolve_payment,
    is_paid_by,
    known_payment,
    observe_payment,
    open_payment,
    replay_payment,
    start_payment,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain.events.base import Event, Stamp

ID, ACCOUNT = UUID(int=1), str(UUID(int=2))
PRICE = Fiat(1_000, "usd")
ORDER = Order(ACCOUNT, str(UUID(int=3)), Way.CHECKOUT, PRICE, "1", 10**10)
_numbers = count(1)


def stamp() -> Stamp:
    """A stamp like no other."""
    number = str(next(_numbers))
    at = "2027-01-01T00:00:00.000000Z"
    return {"id": number, "effective_at": at, "actor": "test", "correlation_id": number}


def started() -> Payment:
    """A payment that nobody was asked for yet."""
    return known_payment(evolve_payment(None, start_payment(ID, ORDER, stamp())))


def seen(status: Status, as_of: int, **members: Any) -> Observation:
    """What a provider says."""
    paid = PRICE if status is Status.COMPLETED else None
    return Observation(status, as_of, **{"paid": paid, "intent_id": "pi_1", **members})


def after(state: Payment, told: Iterable[Observation]) -> Payment:
    """A payment once all this was told."""
    for each in told:
        for event in observe_payment(state, each, stamp(), lot_id="lot"):
            state = known_payment(evolve_payment(state, event))
    return state


def test_what_may_follow_what_is_a_table() -> None:
    """Every pair of statuses; paid is for ever, money is taken for what it is (money rule 18)."""
    for here, there in product(Status, Status):
        state = replace(started(), status=here, as_of=5, intent_id="pi_1")
        events = observe_payment(state, seen(there, 6), stamp())
        assert bool(events) == (there in FOLLOWS[here]), (here, there)
        if events:
            assert after(state, [seen(there, 6)]).status is there
    assert FOLLOWS[Status.COMPLETED] == frozenset()
    assert all(Status.COMPLETED in FOLLOWS[each] for each in UNPAID)
    assert set(RANK) == UNPAID


STORY = (
    seen(Status.PROCESSING, 1),
    seen(Status.REQUIRES_ACTION, 1),
    seen(Status.REQUIRES_PAYMENT_METHOD, 2, failure="card_declined"),
    seen(Status.PROCESSING, 3),
    seen(Status.COMPLETED, 4),
)


@pytest.mark.parametrize("paid", [True, False])
def test_order_does_not_matter(paid: bool) -> None:
    """However it is shuffled: one status in the end, credits due once (money rule 18, P3)."""
    story = STORY if paid else STORY[:-1]
    ends = set()
    for each in permutations(story):
        state = after(started(), each)
        ends.add((state.status, state.failure, None if paid else state.as_of))
        completed = 0
        state = started()
        for told in each:
            events = observe_payment(state, told, stamp())
            completed += sum(type(event).__name__ == "PaymentCompleted" for event in events)
            for event in events:
                state = known_payment(evolve_payment(state, event))
        assert completed == int(paid)
    assert len(ends) == 1
    assert ends.pop()[0] is (Status.COMPLETED if paid else Status.PROCESSING)


@settings(deadline=None)
@given(st.lists(st.sampled_from(STORY), max_size=20))
def test_repetition_changes_nothing(told: list[Observation]) -> None:
    """What was told is told again, in the same order: no event follows (P3)."""
    state = after(started(), told)
    assert after(state, told) == state


def test_what_was_paid_is_what_was_asked_for() -> None:
    """Another amount or currency, nothing, a second charge: no credits (P4, money rule 18)."""
    for paid in (None, Fiat(999, "usd"), Fiat(1_000, "eur"), Fiat(1_000_000, "usd")):
        with pytest.raises(AmountDiffersError):
            is_paid_by(started(), seen(Status.COMPLETED, 1, paid=paid))
    done = after(started(), [seen(Status.COMPLETED, 1)])
    assert done.lot_id == "lot"
    assert is_paid_by(done, seen(Status.COMPLETED, 2))
    assert is_paid_by(done, seen(Status.COMPLETED, 2, intent_id=""))
    assert not is_paid_by(done, seen(Status.FAILED, 2))
    with pytest.raises(PaidTwiceError):
        observe_payment(done, seen(Status.COMPLETED, 2, intent_id="pi_2"), stamp())


def test_the_providers_ids_are_learnt_once() -> None:
    """An id that is known is not told again, nor another in its place (P3)."""
    state = started()
    (event,) = open_payment(state, stamp(), session_id="cs_1")
    state = known_payment(evolve_payment(state, event))
    assert open_payment(state, stamp(), session_id="cs_2") == []
    (event,) = open_payment(state, stamp(), session_id="cs_2", intent_id="pi_1")
    state = known_payment(evolve_payment(state, event))
    assert (state.session_id, state.intent_id, state.version) == ("cs_1", "pi_1", 3)
    assert open_payment(state, stamp(), intent_id="pi_1") == []


def test_events_make_the_state() -> None:
    """The book of all payments holds what each stream does; others' events are none (P8)."""
    first = start_payment(ID, ORDER, stamp())
    state = known_payment(evolve_payment(None, first))
    events: list[Event] = [first, *open_payment(state, stamp(), session_id="cs_1")]
    state = known_payment(replay_payment(events))
    events += observe_payment(state, seen(Status.COMPLETED, 1), stamp(), lot_id="l")
    book = PaymentBook()
    for each in events:
        book.apply(each)
    assert book.payments == {str(ID): replay_payment(events)}
    other = LotExpired(
        originator_id=ID,
        originator_version=9,
        **stamp(),
        account_id=ACCOUNT,
        lot_id="l",
        breakage_nano_usd=1,
    )
    book.apply(other)
    book.apply(replace(events[1], originator_id=UUID(int=9)))
    assert evolve_payment(state, other) is state
    assert list(book.payments) == [str(ID)]
    with pytest.raises(UnknownPaymentError):
        known_payment(replay_payment([]))
