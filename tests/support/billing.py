"""A history of who pays by the month, and of an account that is charged by its saved card."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from domain.payments.fiat import Fiat
from domain.payments.returned import Phase, ReturnKind
from domain.payments.returns import FEE, CostSeen, ReturnSeen
from domain.subscriptions.allowance import Line, Period
from domain.subscriptions.bills import observe_invoice_cost, observe_invoice_return
from domain.subscriptions.customer import link_customer, replay_customer, save_card
from domain.subscriptions.subscription import (
    Invoice,
    Seen,
    Status,
    fail,
    observe,
    pay,
    replay_subscription,
)
from domain.subscriptions.tiers import Tier
from domain.topups.topups import (
    Terms,
    TopUps,
    begin_top_up,
    cause_of,
    end_top_up,
    replay_top_ups,
    set_top_ups,
)
from event_store.ids import new_envelope
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from uuid import UUID

    from domain.events.base import Event
    from domain.events.money.subscriptions import CustomerLinked
    from domain.subscriptions.customer import Customer
    from event_store.postgres.database import Database


def tell_subscriptions(database: Database, user: UUID, account: UUID) -> None:
    """A customer with a card, and a subscription whose second invoice could not be paid."""
    stamp = partial(new_envelope, "system:stripe")
    account_id, period = str(account), Period(1_800_000_000, 1_802_678_400)
    linked = link_customer(account_id, f"cus_{account}", stamp())
    known = known_customer([linked])
    seen = Seen(Status.ACTIVE, Tier.PRO, "prod_pro", "price_pro", period, False, 1)
    name, first = f"sub_{account}", f"in_{account}"
    events: list[Event] = [*observe(None, name, account_id, seen, stamp())]
    line = Line(Tier.PRO, period, prorated=False, sign=1)
    invoice = Invoice(first, Fiat(1_500, "usd"), 0, (line,), 2)
    state = replay_subscription(events)
    events.append(pay(state, name, account_id, invoice, 20 * 10**9, None, stamp()))
    refund = ReturnSeen(ReturnKind.REFUND, f"re_{account}", Fiat(500, "usd"), Phase.OUT, 3)
    known_ = replay_subscription(events)
    assert known_ is not None
    events += observe_invoice_return(known_, first, refund, 4, stamp())
    known_ = replay_subscription(events)
    assert known_ is not None
    fee = CostSeen(FEE, f"txn_{account}", Fiat(73, "usd"))
    events += observe_invoice_cost(known_, first, fee, {}, stamp())
    events += fail(replay_subscription(events), "in_2", 3, stamp())
    terms = Terms(enabled=True, threshold=1_000, amount=1_000, cap=5_000)
    events += set_top_ups(TopUps(), account_id, str(user), terms, stamp())
    now = "2027-01-01T00:00:00.000000Z"
    for failure in ("", "authentication_required"):
        top_ups = replay_top_ups(events)
        events.append(begin_top_up(top_ups, account_id, cause_of(top_ups), "pm_1", now, stamp()))
        state_ = replay_top_ups(events)
        events += end_top_up(state_, account_id, failure, now, stamp(), stamp())
    aggregates = Aggregates(database)
    try:
        aggregates.append([linked, *save_card(known, "pm_1", 1, stamp()), *events])
    finally:
        aggregates.close()


def known_customer(events: list[CustomerLinked]) -> Customer:
    """The state of a customer that is there."""
    state = replay_customer(events)
    assert state is not None
    return state
