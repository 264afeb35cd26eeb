"""One payment: events evolve state, what is observed outside decides new events.

A provider tells the same thing several times, late, and in any order. So what is observed is held
against a table: paid is for ever, whatever else is told before or after; among the statuses of what
is not paid the one that was so last counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from domain.errors import DomainError
from domain.events.money.payments import (
    PaymentChanged,
    PaymentCompleted,
    PaymentEvent,
    PaymentOpened,
    PaymentStarted,
)
from domain.payments.fiat import Fiat, shown
from domain.payments.returned import Returns, evolve_returns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from domain.events.base import Event, Stamp


class Way(StrEnum):
    """How somebody pays."""

    CHECKOUT = "checkout"
    """On the provider's page."""
    INTENT = "intent"
    """On a page of the caller's own."""
    OFF_SESSION = "off_session"
    """By a saved card, while its owner is away."""


class Status(StrEnum):
    """Where a payment is."""

    PENDING = "pending"
    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    FAILED = "failed"
    CANCELED = "canceled"
    COMPLETED = "completed"


RANK: Mapping[Status, int] = {
    Status.PENDING: 0,
    Status.PROCESSING: 1,
    Status.REQUIRES_ACTION: 2,
    Status.REQUIRES_PAYMENT_METHOD: 3,
    Status.FAILED: 4,
    Status.CANCELED: 5,
}
"""Of two statuses of one second the higher counts, so that their order does not matter."""
UNPAID = frozenset(RANK)
REFUNDED, PARTIALLY_REFUNDED = "refunded", "partially_refunded"


def shown_status(status: str, price_minor: int, refunded_minor: int) -> str:
    """Where it is, to who looks: what is paid stays so, and may be refunded, whole or in part."""
    if not refunded_minor:
        return status
    return PARTIALLY_REFUNDED if refunded_minor < price_minor else REFUNDED


FOLLOWS: Mapping[Status, frozenset[Status]] = {
    **dict.fromkeys(UNPAID - {Status.CANCELED}, (UNPAID | {Status.COMPLETED}) - {Status.PENDING}),
    # Nobody pays what was cancelled; where a provider says so all the same, its money is taken for
    # what it is.
    Status.CANCELED: frozenset({Status.COMPLETED}),
    Status.COMPLETED: frozenset(),
}
"""What may follow what."""


class UnknownPaymentError(DomainError):
    """There is no such payment."""

    code = "payment_not_found"


class AmountDiffersError(DomainError):
    """What was paid is not what was asked for."""

    code = "amount_differs"


class PaidTwiceError(DomainError):
    """One payment was paid by two charges: one of them is to be given back."""

    code = "paid_twice"


@dataclass(frozen=True, slots=True)
class Observation:
    """What a provider says of a payment: where it is, since when (Unix time)."""

    status: Status
    as_of: int
    paid: Fiat | None = None
    """What was paid, where it is."""
    intent_id: str = ""
    session_id: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants to pay, and what it buys."""

    account_id: str
    user_id: str
    way: Way
    price: Fiat
    rate: str
    credits_nano_usd: int
    package: str = ""


@dataclass(frozen=True, slots=True)
class Payment:
    """State of one payment."""

    id: UUID
    version: int
    order: Order
    started_at: str
    status: Status = Status.PENDING
    as_of: int = 0
    session_id: str = ""
    intent_id: str = ""
    failure: str = ""
    lot_id: str = ""
    returns: Returns = field(default_factory=Returns)

    def next(self, stamp: Stamp) -> dict[str, Any]:
        """What its next event carries in any case."""
        return {
            "originator_id": self.id,
            "originator_version": self.version + 1,
            "account_id": self.order.account_id,
            **stamp,
        }


def evolve_payment(state: Payment | None, event: Event) -> Payment | None:
    """The next state of a payment."""
    version = event.originator_version
    match event:
        case PaymentStarted():
            return Payment(event.originator_id, version, _order_of(event), event.effective_at)
        case PaymentOpened() if state:
            return replace(
                state,
                version=version,
                session_id=event.session_id or state.session_id,
                intent_id=event.intent_id or state.intent_id,
            )
        case PaymentChanged() if state:
            return replace(
                state,
                version=version,
                status=Status(event.status),
                as_of=event.as_of,
                intent_id=event.intent_id or state.intent_id,
                failure=event.failure,
            )
        case PaymentCompleted() if state:
            return replace(
                state,
                version=version,
                status=Status.COMPLETED,
                as_of=event.as_of,
                intent_id=event.intent_id,
                failure="",
                lot_id=event.lot_id,
            )
        case PaymentEvent() if state:
            return replace(state, version=version, returns=evolve_returns(state.returns, event))
        case _:
            return state


def _order_of(event: PaymentStarted) -> Order:
    return Order(
        event.account_id,
        event.user_id,
        Way(event.way),
        Fiat(event.amount_minor, event.currency),
        event.rate,
        event.credits_nano_usd,
        event.package,
    )


def replay_payment(events: Iterable[Event]) -> Payment | None:
    """A payment's state after its events."""
    state: Payment | None = None
    for event in events:
        state = evolve_payment(state, event)
    return state


def known_payment(state: Payment | None) -> Payment:
    """The state of a payment that is there; raises UnknownPaymentError."""
    if state is None:
        message = "there is no such payment"
        raise UnknownPaymentError(message)
    return state


def start_payment(payment_id: UUID, order: Order, stamp: Stamp) -> PaymentStarted:
    """Somebody wants to pay."""
    return PaymentStarted(
        originator_id=payment_id,
        originator_version=1,
        **stamp,
        account_id=order.account_id,
        user_id=order.user_id,
        way=order.way,
        amount_minor=order.price.minor,
        currency=order.price.currency,
        rate=order.rate,
        credits_nano_usd=order.credits_nano_usd,
        package=order.package,
    )


def open_payment(
    state: Payment, stamp: Stamp, *, session_id: str = "", intent_id: str = ""
) -> list[PaymentOpened]:
    """The provider knows it; nothing where that is known, or more."""
    session_id = "" if state.session_id else session_id
    intent_id = "" if state.intent_id else intent_id
    if not (session_id or intent_id):
        return []
    return [PaymentOpened(**state.next(stamp), session_id=session_id, intent_id=intent_id)]


def is_paid_by(state: Payment, seen: Observation) -> bool:
    """Whether credits are due for what is observed: at once, or since an earlier time.

    Raises AmountDiffersError, and PaidTwiceError where another charge paid it already.
    """
    if seen.status is not Status.COMPLETED:
        return False
    if seen.paid != state.order.price:
        paid = "nothing" if seen.paid is None else shown(seen.paid)
        message = f"{paid} was paid where {shown(state.order.price)} was asked for"
        raise AmountDiffersError(message)
    done = state.status is Status.COMPLETED
    if done and seen.intent_id and state.intent_id != seen.intent_id:
        message = f"it was paid by {state.intent_id} already, and again by {seen.intent_id}"
        raise PaidTwiceError(message)
    return True


def observe_payment(
    state: Payment, seen: Observation, stamp: Stamp, *, lot_id: str = ""
) -> list[PaymentEvent]:
    """What follows from what is observed; nothing where it is known, late, or impossible.

    `lot_id` is the lot that was given for it. Raises as `is_paid_by`.
    """
    paid = is_paid_by(state, seen)
    if seen.status not in FOLLOWS[state.status] or not (paid or _is_news(state, seen)):
        return []
    if paid:
        return [
            PaymentCompleted(
                **state.next(stamp),
                intent_id=seen.intent_id or state.intent_id,
                amount_minor=state.order.price.minor,
                currency=state.order.price.currency,
                credits_nano_usd=state.order.credits_nano_usd,
                lot_id=lot_id,
                as_of=seen.as_of,
            )
        ]
    return [
        PaymentChanged(
            **state.next(stamp),
            status=seen.status,
            as_of=seen.as_of,
            intent_id=seen.intent_id,
            failure=seen.failure,
        )
    ]


def _is_news(state: Payment, seen: Observation) -> bool:
    here, there = (state.as_of, RANK[state.status]), (seen.as_of, RANK[seen.status])
    return there > here
