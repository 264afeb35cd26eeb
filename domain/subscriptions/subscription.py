"""One subscription: events evolve state, what is observed at the provider decides new events.

What the provider says of how it stands is held against the second in which it was so: the latest
counts, and within one second the one that is further from paid. That an invoice is paid is for
ever: whatever is told of it before or after changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid5

from domain.errors import DomainError
from domain.events.money.subscriptions import (
    SubscriptionChanged,
    SubscriptionCost,
    SubscriptionPaid,
    SubscriptionReturned,
    SubscriptionUnpaid,
)
from domain.payments.returned import cost_key
from domain.subscriptions.allowance import Line, Period, allowance_of
from domain.subscriptions.bills import Bill, evolve_bills
from domain.subscriptions.tiers import Tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from domain.events.base import Event, Stamp
    from domain.events.money.subscriptions import SubscriptionEvent
    from domain.payments.fiat import Fiat
    from domain.subscriptions.tiers import Offers

SPACE = UUID("0f0c2c0d-6c8e-4d0f-9a44-0d6f3a3a4b51")
PERIODS_MAX = 60
"""Whole periods that a state remembers, the latest."""


class Status(StrEnum):
    """Where a subscription is, by the provider's words."""

    INCOMPLETE = "incomplete"
    TRIALING = "trialing"
    ACTIVE = "active"
    PAUSED = "paused"
    PAST_DUE = "past_due"
    UNPAID = "unpaid"
    INCOMPLETE_EXPIRED = "incomplete_expired"
    CANCELED = "canceled"


RANK: Mapping[Status, int] = {status: rank for rank, status in enumerate(Status)}
"""Of two statuses of one second the higher counts, so that their order does not matter."""
LIVE = frozenset({Status.TRIALING, Status.ACTIVE})
"""They put their account on their tier; all others leave it on the basic one."""
OVER = frozenset({Status.CANCELED, Status.INCOMPLETE_EXPIRED})
"""Nothing follows these."""


class PeriodPaidTwiceError(DomainError):
    """A whole period was paid by two invoices: one of them is to be given back."""

    code = "period_paid_twice"


class Seen(NamedTuple):
    """How a subscription stands, as the provider says it did at a second of Unix time."""

    status: Status
    tier: Tier
    product_id: str
    price_id: str
    period: Period
    cancels_at_end: bool
    as_of: int


class Invoice(NamedTuple):
    """An invoice of a subscription that is paid; its lines are those for tiers."""

    id: str
    paid: Fiat
    tax_minor: int
    lines: tuple[Line, ...]
    as_of: int

    @property
    def full(self) -> Line | None:
        """The line for a whole period."""
        whole = [line for line in self.lines if not line.prorated and line.sign > 0]
        return max(whole, key=lambda line: line.period.ends, default=None)

    @property
    def main(self) -> Line:
        """What it is for, above all: a whole period, else what money is taken for."""
        return self.full or max(self.lines, key=lambda line: (line.sign, line.period.ends))


@dataclass(frozen=True, slots=True)
class Subscription:
    """State of one subscription."""

    id: UUID
    version: int
    account_id: str
    subscription_id: str
    seen: Seen
    periods: tuple[Period, ...] = ()
    paid: frozenset[str] = frozenset()
    """Invoices."""
    whole: frozenset[tuple[int, str]] = frozenset()
    """When each whole period that is paid begins, and its invoice."""
    unpaid: str = ""
    """The invoice that could not be paid."""
    bills: tuple[Bill, ...] = ()
    """Invoices with what went back of each."""
    costs: frozenset[str] = frozenset()
    """What its invoices' fees came of."""

    @property
    def tier(self) -> Tier:
        """What it makes of its account."""
        return self.seen.tier if self.seen.status in LIVE else Tier.BASIC

    def next(self, stamp: Stamp) -> dict[str, Any]:
        """What its next event carries in any case."""
        return _next(self.subscription_id, self.account_id, self.version, stamp)


def subscription_stream(subscription_id: str) -> UUID:
    """The stream of a subscription, by the provider's id."""
    return uuid5(SPACE, subscription_id)


def evolve_subscription(state: Subscription | None, event: Event) -> Subscription | None:
    """The next state of a subscription."""
    match event:
        case SubscriptionChanged():
            known = state or _unknown(event)
            return replace(
                known,
                version=event.originator_version,
                seen=_seen_of(event),
                periods=_with(known.periods, _seen_of(event).period),
            )
        case SubscriptionPaid():
            known = state or _unknown(event)
            period = Period(event.period_begins, event.period_ends)
            seen = known.seen
            if seen.status is Status.PAST_DUE and known.unpaid == event.invoice_id:
                as_of = max(seen.as_of, event.as_of)
                seen = seen._replace(status=Status.ACTIVE, as_of=as_of)
            return replace(
                known,
                version=event.originator_version,
                seen=seen,
                periods=_with(known.periods, period) if event.full else known.periods,
                paid=known.paid | {event.invoice_id},
                whole=known.whole | {(period.begins, event.invoice_id)}
                if event.full
                else known.whole,
                unpaid="" if known.unpaid == event.invoice_id else known.unpaid,
                bills=evolve_bills(known.bills, event),
            )
        case SubscriptionReturned() if state:
            bills = evolve_bills(state.bills, event)
            return replace(state, version=event.originator_version, bills=bills)
        case SubscriptionCost() if state:
            costs = state.costs | {cost_key(event.kind, event.source_id)}
            return replace(state, version=event.originator_version, costs=costs)
        case SubscriptionUnpaid() if state:
            seen = state.seen
            if seen.status in LIVE:
                seen = seen._replace(status=Status.PAST_DUE, as_of=event.as_of)
            return replace(
                state, version=event.originator_version, seen=seen, unpaid=event.invoice_id
            )
        case _:
            return state


def replay_subscription(events: Iterable[Event]) -> Subscription | None:
    """A subscription's state after its events."""
    state: Subscription | None = None
    for event in events:
        state = evolve_subscription(state, event)
    return state


def observe(
    state: Subscription | None, subscription_id: str, account_id: str, seen: Seen, stamp: Stamp
) -> list[SubscriptionEvent]:
    """What follows from how it is said to stand; nothing where that is known, or late."""
    if state is not None:
        here, there = state.seen, seen
        same = here._replace(as_of=0) == there._replace(as_of=0)
        late = (there.as_of, RANK[there.status]) < (here.as_of, RANK[here.status])
        if same or late or here.status in OVER:
            return []
    version = 0 if state is None else state.version
    return [
        SubscriptionChanged(
            **_next(subscription_id, account_id, version, stamp),
            status=seen.status,
            tier=seen.tier,
            product_id=seen.product_id,
            price_id=seen.price_id,
            period_begins=seen.period.begins,
            period_ends=seen.period.ends,
            cancels_at_end=seen.cancels_at_end,
            as_of=seen.as_of,
        )
    ]


def allowance_due(state: Subscription | None, invoice: Invoice, offers: Offers) -> int | None:
    """What a paid invoice gives, in nano-USD; None where it was told before.

    Raises PeriodPaidTwiceError, PeriodUnknownError, AbsurdInvoiceError.
    """
    if state is not None and invoice.id in state.paid:
        return None
    full = invoice.full
    if state is not None and full is not None:
        for begins, other in state.whole:
            if begins == full.period.begins:
                message = f"the period from {begins} was paid by {other}, and by {invoice.id}"
                raise PeriodPaidTwiceError(message)
    known = () if state is None else state.periods
    return allowance_of(invoice.lines, offers, known if full is None else (*known, full.period))


def grant_name(subscription_id: str, invoice: Invoice) -> str:
    """What a grant is known by: a whole period's is one, whatever invoices there are of it."""
    if invoice.full is None:
        return f"allowance {invoice.id}"
    return f"allowance {subscription_id} {invoice.full.period.begins}"


def pay(
    state: Subscription | None,
    subscription_id: str,
    account_id: str,
    invoice: Invoice,
    allowance: int,
    lot_id: str | None,
    stamp: Stamp,
    rate: str = "",
) -> SubscriptionPaid:
    """An invoice is paid, and what `allowance_due` says is given: the lot, if any."""
    main = invoice.main
    version = 0 if state is None else state.version
    return SubscriptionPaid(
        **_next(subscription_id, account_id, version, stamp),
        invoice_id=invoice.id,
        tier=main.tier,
        amount_minor=invoice.paid.minor,
        tax_minor=invoice.tax_minor,
        currency=invoice.paid.currency,
        allowance_nano_usd=allowance,
        lot_id=lot_id,
        full=invoice.full is not None,
        period_begins=main.period.begins,
        period_ends=main.period.ends,
        as_of=invoice.as_of,
        rate=rate,
    )


def fail(
    state: Subscription | None, invoice_id: str, as_of: int, stamp: Stamp
) -> list[SubscriptionUnpaid]:
    """An invoice could not be paid; nothing where it is paid by now, known, or late."""
    if state is None or invoice_id in state.paid or invoice_id == state.unpaid:
        return []
    if as_of < state.seen.as_of or state.seen.status in OVER:
        return []
    return [SubscriptionUnpaid(**state.next(stamp), invoice_id=invoice_id, as_of=as_of)]


def _next(subscription_id: str, account_id: str, version: int, stamp: Stamp) -> dict[str, Any]:
    return {
        "originator_id": subscription_stream(subscription_id),
        "originator_version": version + 1,
        "account_id": account_id,
        "subscription_id": subscription_id,
        **stamp,
    }


def _unknown(event: SubscriptionChanged | SubscriptionPaid) -> Subscription:
    """Before its first event. Where it begins with what was paid, it stands well until told."""
    tier, product, price = Tier(event.tier), "", ""
    period = Period(event.period_begins, event.period_ends)
    seen = Seen(Status.ACTIVE, tier, product, price, period, cancels_at_end=False, as_of=0)
    return Subscription(event.originator_id, 0, event.account_id, event.subscription_id, seen)


def _seen_of(event: SubscriptionChanged) -> Seen:
    return Seen(
        Status(event.status),
        Tier(event.tier),
        event.product_id,
        event.price_id,
        Period(event.period_begins, event.period_ends),
        event.cancels_at_end,
        event.as_of,
    )


def _with(periods: tuple[Period, ...], period: Period) -> tuple[Period, ...]:
    if period in periods or period.ends <= period.begins:
        return periods
    return (*periods, period)[-PERIODS_MAX:]
