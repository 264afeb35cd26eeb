"""The rules of referrals, as tables and over any order of acts."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.events.identity import UserRegistered
from domain.events.ledger import CreditsDebited
from domain.events.money.payments import PaymentCompleted
from domain.events.offers.coupons import CouponDeactivated
from domain.events.offers.referrals import (
    ReferralCompleted,
    ReferralPurchaseRefunded,
    ReferralRefused,
    ReferralTakenBack,
)
from domain.ledger.lots import DebitKind
from domain.referrals.all import AllReferrals
from domain.referrals.claiming import RULES, Claimant, ReferralRefusedError, Referrer, claim
from domain.referrals.referral import (
    ReferralCode,
    ReferralState,
    evolve,
    make_code,
    replay,
    stream_of,
)
from domain.referrals.rewarding import (
    REWARD,
    TAKE_BACK,
    Purchase,
    Refund,
    Sides,
    bonus_lot,
    react,
    reward,
    take_back,
)
from domain.referrals.terms import BONUS_NANO_USD, ReferralTerms, code_of

if TYPE_CHECKING:
    from domain.events.base import Event, Stamp

OWNER = UUID("00000000-0000-7000-8000-00000000000a")
ACCOUNT = "00000000-0000-7000-8000-0000000000aa"
OTHER = "00000000-0000-7000-8000-0000000000bb"
REFEREE = "00000000-0000-7000-8000-00000000000b"
PAID_AT = "2026-03-01T00:00:00.000000Z"
USD = 1_000_000_000
TERMS = ReferralTerms()
REFERRER = Referrer("owner@example.com", frozenset({"origin-1"}), frozenset())
FIRST = Claimant(REFEREE, "b@example.com", "origin-2", frozenset(), False, False)
SIDES = Sides(ACCOUNT, "owner@example.com", "b@example.com")
BOUGHT = Purchase("payment-1", OTHER, 10 * USD, PAID_AT)


def stamp() -> Stamp:
    """Any."""
    return {"id": "x", "effective_at": PAID_AT, "actor": "test", "correlation_id": "x"}


def stamps() -> tuple[Stamp, Stamp]:
    """Two."""
    return stamp(), stamp()


def after(*events: Event) -> ReferralCode:
    """A code with these events."""
    state = replay([make_code(OWNER, "ABCD1234", "origin-1", stamp()), *events])
    assert state is not None
    return state


def claimed() -> ReferralCode:
    """A code by which one has come."""
    return after(claim(after(), REFERRER, FIRST, TERMS, stamp()))


def told(state: ReferralCode, *events: Event) -> ReferralCode:
    """The state after more."""
    for each in events:
        found = evolve(state, each)
        assert found is not None
        state = found
    return state


def rewarded() -> ReferralCode:
    """A code by which one has come and paid."""
    state = claimed()
    event = reward(state, REFEREE, BOUGHT, SIDES, TERMS, stamp())
    assert isinstance(event, ReferralCompleted)
    return told(state, event)


def refund(amount: int, at: str = PAID_AT, debit: str = "debit-1") -> Refund:
    """One of the payment."""
    return Refund("payment-1", debit, amount, at)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ABCD1234", "ABCD1234"),
        ("  abcd1234\n", "ABCD1234"),
        ("ABCD123", None),
        ("ABCD12345", None),
        ("", None),
        ("ABCD-234", None),
        ("ÀBCD1234", None),
        ("ſBCD1234", None),
        ("ABCD１234", None),
    ],
)
def test_a_code_has_one_writing(text: str, code: str | None) -> None:
    """What only looks like one is none (rule: refuse clearly)."""
    assert code_of(text) == code


REFUSED: dict[str, tuple[Referrer, Claimant]] = {
    "REFERRAL_NOT_FOUND": (REFERRER._replace(gone=True), FIRST),
    "OWN_REFERRAL_CODE": (REFERRER, FIRST._replace(user_id=str(OWNER))),
    "ALREADY_REFERRED": (REFERRER, FIRST._replace(referred=True)),
    "ALREADY_PURCHASED": (REFERRER, FIRST._replace(has_purchased=True)),
    "REFERRAL_LOOP": (REFERRER._replace(came_by=frozenset({REFEREE, "x"})), FIRST),
    "SAME_PERSON": (REFERRER, FIRST._replace(person=REFERRER.person)),
    "SAME_ORIGIN": (REFERRER, FIRST._replace(origin="origin-1")),
}


@pytest.mark.parametrize("code", REFUSED)
def test_each_reason_refuses_alone(code: str) -> None:
    """And is told by its code (rule: refuse clearly, P1)."""
    referrer, claimant = REFUSED[code]
    with pytest.raises(ReferralRefusedError) as refused:
        claim(after(), referrer, claimant, TERMS, stamp())
    assert refused.value.code == code
    assert {name for name, *_ in RULES} == set(REFUSED)


def test_an_unknown_code_is_refused() -> None:
    """As one of somebody who left is (rule: refuse clearly)."""
    with pytest.raises(ReferralRefusedError, match="no user has this code"):
        claim(None, REFERRER, FIRST, TERMS, stamp())


def test_where_somebody_is_known_from_is_compared_with_all_who_used_the_code() -> None:
    """The origins of a claimant, the owner, and of others who came; an unknown one is none (P1)."""
    state = claimed()
    second = FIRST._replace(user_id="c", person="c@example.com", origin="")
    claim(state, REFERRER, second, TERMS, stamp())
    for known in ({"origin-1"}, {"origin-2"}):
        with pytest.raises(ReferralRefusedError, match="network"):
            claim(state, REFERRER, second._replace(origins=frozenset(known)), TERMS, stamp())
    bare = replay([make_code(OWNER, "ABCD1234", "", stamp())])
    nowhere = REFERRER._replace(origins=frozenset())
    assert bare is not None
    claim(bare, nowhere, second, TERMS, stamp())


@given(uses=st.integers(1, 6), tries=st.integers(0, 9))
def test_a_code_has_so_many_uses(uses: int, tries: int) -> None:
    """However many try: never one more (P1)."""
    state, refused = after(), list[str]()
    for number in range(tries):
        claimant = Claimant(f"u{number}", f"p{number}", f"o{number}", frozenset(), False, False)
        try:
            event = claim(state, REFERRER, claimant, TERMS._replace(uses_max=uses), stamp())
        except ReferralRefusedError as error:
            refused.append(error.code)
        else:
            state = told(state, event)
    assert len(state.referrals) == min(uses, tries)
    assert refused == ["REFERRAL_USED_UP"] * max(tries - uses, 0)


def test_the_first_purchase_that_is_enough_rewards_both() -> None:
    """Each in a lot of its own, whose id follows from both (P3)."""
    state = rewarded()
    completed = state.referrals[REFEREE].completed
    assert completed is not None
    assert completed.bonus_nano_usd == BONUS_NANO_USD
    assert completed.referrer_lot_id == str(uuid5(UUID(ACCOUNT), f"grant referral {REFEREE}"))
    assert completed.referee_lot_id == str(bonus_lot(OTHER, REFEREE))
    again = BOUGHT._replace(payment_id="payment-2")
    assert reward(state, REFEREE, again, SIDES, TERMS, stamp()) is None
    assert reward(state, "stranger", BOUGHT, SIDES, TERMS, stamp()) is None


def test_a_purchase_that_is_too_small_leaves_it_waiting() -> None:
    """By a nano-USD; the next one may be enough (P1)."""
    state = claimed()
    small = BOUGHT._replace(credits_nano_usd=10 * USD - 1)
    assert reward(state, REFEREE, small, SIDES, TERMS, stamp()) is None
    assert state.referrals[REFEREE].state is ReferralState.PENDING


@pytest.mark.parametrize(
    ("sides", "reason"),
    [
        (SIDES._replace(referrer_person=""), "gone"),
        (SIDES._replace(referee_person=""), "gone"),
        (SIDES._replace(referee_person="owner@example.com"), "same_person"),
        (
            SIDES._replace(fingerprint="f", referrer_fingerprints=frozenset({"f"})),
            "same_fingerprint",
        ),
    ],
)
def test_what_is_seen_at_the_payment_refuses_for_good(sides: Sides, reason: str) -> None:
    """Whoever changed the address, left, or pays with the same card (P1)."""
    state = claimed()
    event = reward(state, REFEREE, BOUGHT, sides, TERMS, stamp())
    assert isinstance(event, ReferralRefused)
    assert event.reason == reason
    state = told(state, event)
    assert reward(state, REFEREE, BOUGHT, SIDES, TERMS, stamp()) is None
    known = SIDES._replace(fingerprint="g", referrer_fingerprints=frozenset({"f"}))
    assert isinstance(reward(claimed(), REFEREE, BOUGHT, known, TERMS, stamp()), ReferralCompleted)


@pytest.mark.parametrize(
    ("amount", "at", "back"),
    [
        (1, PAID_AT, True),
        (10 * USD, "2026-03-30T23:59:59.999999Z", True),
        (10 * USD, "2026-03-31T00:00:00.000000Z", False),
    ],
)
def test_a_refund_in_time_takes_both_back(amount: int, at: str, *, back: bool) -> None:
    """As soon as the rest of the purchase is not enough; after thirty days no more (P1)."""
    events = take_back(
        rewarded(), REFEREE, refund(amount, at), BOUGHT.credits_nano_usd, TERMS, stamps()
    )
    kinds = [each.TOPIC for each in events]
    assert kinds == [ReferralPurchaseRefunded.TOPIC, ReferralTakenBack.TOPIC][: 1 + back]
    state = told(rewarded(), *events)
    assert state.version == rewarded().version + len(events)
    assert (state.referrals[REFEREE].taken_back_by == "debit-1") is back


def test_a_refund_twice_is_one() -> None:
    """By its debit; parts of a purchase add up (P3)."""
    state, bought = rewarded(), 50 * USD
    first = take_back(state, REFEREE, refund(30 * USD), bought, TERMS, stamps())
    assert [type(each) for each in first] == [ReferralPurchaseRefunded]
    state = told(state, *first)
    assert take_back(state, REFEREE, refund(30 * USD), bought, TERMS, stamps()) == []
    second = take_back(state, REFEREE, refund(11 * USD, debit="2"), bought, TERMS, stamps())
    state = told(state, *second)
    assert state.referrals[REFEREE].state is ReferralState.TAKEN_BACK
    third = take_back(state, REFEREE, refund(USD, debit="3"), bought, TERMS, stamps())
    assert [type(each) for each in third] == [ReferralPurchaseRefunded]


def test_a_refund_before_the_bonus_leaves_none() -> None:
    """Whichever is looked at first (P1)."""
    state = claimed()
    events = take_back(state, REFEREE, refund(1), BOUGHT.credits_nano_usd, TERMS, stamps())
    state = told(state, *events)
    assert reward(state, REFEREE, BOUGHT, SIDES, TERMS, stamp()) is None
    other = BOUGHT._replace(payment_id="payment-2")
    assert reward(state, REFEREE, other, SIDES, TERMS, stamp()) is not None
    assert take_back(state, "stranger", refund(1), 1, TERMS, stamps()) == []


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 12), st.integers(0, 2)), max_size=12))
def test_given_and_taken_back_at_most_once(acts: list[tuple[bool, int, int]]) -> None:
    """Payments and refunds in any order, again and again: one bonus, one end of it (P1, P3)."""
    state, kinds = claimed(), list[str]()
    for number, (paying, usd, which) in enumerate(acts):
        payment = f"payment-{which}"
        if paying:
            bought = Purchase(payment, OTHER, 12 * USD, PAID_AT)
            event = reward(state, REFEREE, bought, SIDES, TERMS, stamp())
            events: list[Event] = [] if event is None else [event]
        else:
            given_back = Refund(payment, f"debit-{number}", usd * USD, PAID_AT)
            events = list(take_back(state, REFEREE, given_back, 12 * USD, TERMS, stamps()))
        state = told(state, *events)
        kinds += [each.TOPIC for each in events]
    assert kinds.count(ReferralCompleted.TOPIC) <= 1
    assert kinds.count(ReferralTakenBack.TOPIC) <= kinds.count(ReferralCompleted.TOPIC)


def test_only_payments_that_are_enough_and_refunds_of_payments_are_heard() -> None:
    """Each under a key of its own; a debit without a payment is somebody else's (P3)."""
    paid = PaymentCompleted(
        originator_id=OWNER,
        originator_version=3,
        **stamp(),
        account_id=ACCOUNT,
        intent_id="pi",
        amount_minor=1_000,
        currency="usd",
        credits_nano_usd=10 * USD,
        lot_id="lot",
        as_of=1,
    )
    (wish,) = react(paid, TERMS)
    assert (wish.kind, wish.key, wish.due_at) == (REWARD, f"reward {OWNER}", None)
    assert set(wish.details) == set(Purchase._fields)
    assert react(paid, TERMS._replace(purchase_min=10 * USD + 1)) == []
    for kind in DebitKind:
        for payment in (None, "p"):
            debited = CreditsDebited(
                originator_id=OWNER,
                originator_version=1,
                **stamp(),
                account_id=ACCOUNT,
                debit_id="d",
                kind=kind,
                amount_nano_usd=5,
                payment_id=payment,
            )
            wishes = react(debited, TERMS)
            heard = payment is not None and kind in {DebitKind.REFUND, DebitKind.DISPUTE}
            assert [each.key for each in wishes] == ([f"{TAKE_BACK} d"] if heard else [])
            assert all(set(each.details) == set(Refund._fields) | {"account_id"} for each in wishes)


def test_what_is_of_no_referral_changes_none() -> None:
    """Nor do events of a code that was never made (P8)."""
    ended = CouponDeactivated(originator_id=OWNER, originator_version=1, **stamp())
    assert evolve(after(), ended) == after()
    assert evolve(None, ended) is None
    assert replay([]) is None
    everything = AllReferrals()
    claim_alone = claim(after(), REFERRER, FIRST, TERMS, stamp())
    for event in (ended, claim_alone, make_code(OWNER, "ABCD1234", "", stamp()), claim_alone):
        everything.apply(event)
    (state,) = everything.codes.values()
    assert (state.id, list(state.referrals)) == (stream_of(OWNER), [REFEREE])
    assert UserRegistered.TOPIC not in {type(each).TOPIC for each in (ended, claim_alone)}
