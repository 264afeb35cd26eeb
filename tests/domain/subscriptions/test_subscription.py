"""What becomes of a subscription, however often, late and in whatever order it is told."""

from __future__ import annotations

from itertools import count, permutations
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from domain.errors import InvalidCommandError
from domain.events.ledger import LotExpired
from domain.payments.fiat import Fiat
from domain.subscriptions.all import AllSubscriptions
from domain.subscriptions.allowance import Line, Period
from domain.subscriptions.customer import (
    Customer,
    evolve_customer,
    link_customer,
    replay_customer,
    save_card,
)
from domain.subscriptions.subscription import (
    LIVE,
    OVER,
    PERIODS_MAX,
    Invoice,
    PeriodPaidTwiceError,
    Seen,
    Status,
    Subscription,
    allowance_due,
    evolve_subscription,
    fail,
    grant_name,
    observe,
    pay,
    replay_subscription,
)
from domain.subscriptions.tiers import Tier, offers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from domain.events.base import Event, Stamp

ACCOUNT, SUB, NANO = str(UUID(int=2)), "sub_1", 10**9
OFFERS = offers_of("pro=prod_pro/price_pro,max=prod_max/price_max")
MONTH, NEXT = Period(1_000, 2_000), Period(2_000, 3_000)
_numbers = count(1)


def stamp() -> Stamp:
    """A stamp like no other."""
    number = str(next(_numbers))
    at = "2027-01-01T00:00:00.000000Z"
    return {"id": number, "effective_at": at, "actor": "test", "correlation_id": number}


def seen(status: Status, as_of: int, period: Period = MONTH, tier: Tier = Tier.PRO) -> Seen:
    """How it stands."""
    return Seen(status, tier, "prod_pro", "price_pro", period, cancels_at_end=False, as_of=as_of)


def invoice(name: str, period: Period, as_of: int, tier: Tier = Tier.PRO) -> Invoice:
    """One for a whole period."""
    line = Line(tier, period, prorated=False, sign=1)
    return Invoice(name, Fiat(1_500, "usd"), 100, (line,), as_of)


class Told:
    """What was told, and what it came to."""

    def __init__(self) -> None:
        self.state: Subscription | None = None
        self.given: list[int] = []
        self.events: list[Event] = []

    def take(self, events: Sequence[Event]) -> None:
        self.events += events
        for each in events:
            self.state = evolve_subscription(self.state, each)

    def stands(self, how: Seen) -> None:
        self.take(observe(self.state, SUB, ACCOUNT, how, stamp()))

    def paid(self, which: Invoice) -> None:
        due = allowance_due(self.state, which, OFFERS)
        if due is not None:
            self.given += [due]
            self.take([pay(self.state, SUB, ACCOUNT, which, due, "lot", stamp())])

    def failed(self, name: str, as_of: int) -> None:
        self.take(fail(self.state, name, as_of, stamp()))

    @property
    def now(self) -> Subscription:
        assert self.state is not None
        return self.state


def test_any_order_gives_each_period_once() -> None:
    """Created, active, paid, renewed, paid: all orders, each told twice (P3)."""
    steps: list[Callable[[Told], None]] = [
        lambda told: told.stands(seen(Status.INCOMPLETE, 1)),
        lambda told: told.stands(seen(Status.ACTIVE, 2)),
        lambda told: told.paid(invoice("in_1", MONTH, 2)),
        lambda told: told.stands(seen(Status.ACTIVE, 2_000, NEXT)),
        lambda told: told.paid(invoice("in_2", NEXT, 2_000)),
    ]
    for order in permutations(steps):
        told = Told()
        for step in (*order, *order):
            step(told)
        assert sorted(told.given) == [20 * NANO] * 2
        assert (told.now.seen.status, told.now.tier) == (Status.ACTIVE, Tier.PRO)
        assert told.now.seen.period == NEXT
        assert {MONTH, NEXT} <= set(told.now.periods)
        assert replay_subscription(told.events) == told.now


def test_a_failed_invoice_takes_the_tier_until_it_is_paid() -> None:
    """In any order of what was told of it (P3)."""
    steps: list[Callable[[Told], None]] = [
        lambda told: told.failed("in_2", 2_001),
        lambda told: told.paid(invoice("in_2", NEXT, 2_500)),
    ]
    for order in permutations(steps):
        told = Told()
        told.stands(seen(Status.ACTIVE, 2))
        for step in (*order, *order):
            step(told)
        assert (told.now.tier, told.now.unpaid) == (Tier.PRO, "")
        assert told.given == [20 * NANO]
    told = Told()
    told.failed("in_2", 2_001)
    assert told.state is None
    told.stands(seen(Status.ACTIVE, 2))
    told.failed("in_2", 1)
    tiers = [told.now.tier]
    told.failed("in_2", 2_001)
    assert tiers == [Tier.PRO]
    assert (told.now.tier, told.now.seen.status) == (Tier.BASIC, Status.PAST_DUE)
    told.stands(seen(Status.ACTIVE, 1_500, NEXT))
    assert told.now.tier == Tier.BASIC
    told.paid(invoice("in_9", MONTH, 2_002))
    assert told.now.tier == Tier.BASIC
    told.failed("in_3", 2_003)
    assert (told.now.unpaid, told.now.seen.status) == ("in_3", Status.PAST_DUE)


def test_the_latest_of_a_second_is_the_furthest_from_paid() -> None:
    """Whatever came first; what is over stays so (P3)."""
    told = Told()
    for first, second in permutations([Status.ACTIVE, Status.PAST_DUE]):
        told = Told()
        told.stands(seen(first, 5))
        told.stands(seen(second, 5))
        assert told.now.seen.status is Status.PAST_DUE
    told.stands(seen(Status.CANCELED, 6))
    told.stands(seen(Status.ACTIVE, 7))
    told.failed("in_1", 8)
    assert (told.now.seen.status, told.now.tier) == (Status.CANCELED, Tier.BASIC)
    assert len(told.events) == 2
    for status in Status:
        assert (tier_at(status) is Tier.PRO) == (status in LIVE)
    assert not OVER & LIVE


def tier_at(status: Status) -> Tier:
    """The tier that a status leaves."""
    told = Told()
    told.stands(seen(status, 1))
    return told.now.tier


def test_a_period_is_paid_by_one_invoice() -> None:
    """Another one of the same period gives nothing, and says so (P3)."""
    told = Told()
    told.paid(invoice("in_1", MONTH, 2))
    with pytest.raises(PeriodPaidTwiceError, match="in_1"):
        told.paid(invoice("in_2", MONTH, 3))
    told.paid(invoice("in_3", NEXT, 4))
    assert grant_name(SUB, invoice("in_1", MONTH, 2)) == grant_name(SUB, invoice("in_2", MONTH, 3))
    assert told.given == [20 * NANO] * 2


def test_a_change_in_the_middle_is_an_invoice_of_parts() -> None:
    """Half of a month on: half of 130 USD, by its invoice's id (P4)."""
    told = Told()
    told.stands(seen(Status.ACTIVE, 1))
    rest = Period(1_500, 2_000)
    lines = (
        Line(Tier.PRO, rest, prorated=True, sign=-1),
        Line(Tier.MAX, rest, prorated=True, sign=1),
    )
    change = Invoice("in_2", Fiat(900, "usd"), 0, lines, 1_500)
    told.paid(change)
    told.paid(change)
    assert told.given == [65 * NANO]
    assert (change.main.tier, change.full) == (Tier.MAX, None)
    assert grant_name(SUB, change) == "allowance in_2"
    assert told.now.whole == frozenset()


def test_a_state_remembers_so_many_periods() -> None:
    """The latest; one that has no length is none (rule: bounded)."""
    told = Told()
    for n in range(PERIODS_MAX + 5):
        told.stands(seen(Status.ACTIVE, n, Period(n, n + 1)))
    told.stands(seen(Status.ACTIVE, 10_000, Period(7, 7)))
    assert len(told.now.periods) == PERIODS_MAX
    assert told.now.periods[-1] == Period(PERIODS_MAX + 4, PERIODS_MAX + 5)


def test_a_customer_is_one_and_its_last_card_counts() -> None:
    """Told late or twice changes nothing; an absurd id is none (P3)."""
    linked = link_customer(ACCOUNT, "cus_1", stamp())
    state = replay_customer([linked])
    assert state == Customer(ACCOUNT, 1, "cus_1")
    saved = save_card(state, "pm_1", 5, stamp())
    state = replay_customer([linked, *saved])
    assert state == Customer(ACCOUNT, 2, "cus_1", "pm_1", 5)
    for method, as_of in (("pm_1", 9), ("", 9), ("pm_2", 4)):
        assert save_card(state, method, as_of, stamp()) == []
    assert evolve_customer(None, saved[0]) is None
    for absurd in ("", "c" * 256, "cus\n"):
        with pytest.raises(InvalidCommandError):
            link_customer(ACCOUNT, absurd, stamp())


def test_all_are_folded_from_the_log() -> None:
    """What is about something else is passed over (P8)."""
    told, book = Told(), AllSubscriptions()
    told.stands(seen(Status.ACTIVE, 1))
    told.paid(invoice("in_1", MONTH, 2))
    linked = link_customer(ACCOUNT, "cus_1", stamp())
    late = save_card(Customer(str(UUID(int=9)), 1, "cus_2"), "pm_1", 5, stamp())
    orphan = fail(told.now, "in_9", 50, stamp())[0]
    other = LotExpired(
        originator_id=UUID(int=1),
        originator_version=1,
        **stamp(),
        account_id=ACCOUNT,
        lot_id="lot",
        breakage_nano_usd=1,
    )
    stray = AllSubscriptions()
    stray.apply(orphan)
    assert stray.subscriptions == {}
    for event in (*told.events, linked, *late, other):
        book.apply(event)
    assert list(book.subscriptions.values()) == [told.now]
    assert book.customers == {ACCOUNT: Customer(ACCOUNT, 1, "cus_1")}
    assert evolve_subscription(told.now, other) == told.now
