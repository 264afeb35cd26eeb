"""Invoices that were paid, and what of each went back: its allowance follows the money.

The rule is that of payments (`domain.payments.returns`): of so much of an invoice's amount that is
gone, so much of its allowance is taken, over all refunds and disputes of it together. What comes
back is given for the time of a period from then on, because the invoice's own is mostly over.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from domain.errors import DomainError
from domain.events.money.subscriptions import (
    SubscriptionCost,
    SubscriptionPaid,
    SubscriptionReturned,
)
from domain.payments.fiat import USD, Fiat, value_of
from domain.payments.returned import Phase, Return, ReturnKind, Returns, cost_key, with_return
from domain.payments.returns import NotPaidError, Sold, left_of, rate_of, step_of
from domain.subscriptions.allowance import Period

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from domain.events.base import Stamp
    from domain.payments.returns import CostSeen, ReturnSeen
    from domain.subscriptions.subscription import Subscription

NOTHING = Returns()
NO_RATE = "0"
"""Of a currency without a rate here: what is worth nothing in the books, and takes its credits."""


class UnknownInvoiceError(DomainError):
    """It is not known here that the invoice was paid."""

    code = "invoice_not_paid"


@dataclass(frozen=True, slots=True)
class Bill:
    """An invoice that is paid: what it sold, the lot that it gave, and what went back of it."""

    id: str
    sold: Sold
    lot_id: str | None
    period: Period
    returns: Returns = NOTHING


def bill_of(bills: Iterable[Bill], invoice_id: str) -> Bill:
    """One by its id; raises UnknownInvoiceError."""
    for each in bills:
        if each.id == invoice_id:
            return each
    message = f"nothing is known of {invoice_id} being paid"
    raise UnknownInvoiceError(message)


def evolve_bills(
    bills: tuple[Bill, ...], event: SubscriptionPaid | SubscriptionReturned
) -> tuple[Bill, ...]:
    """The next state of a subscription's invoices."""
    if isinstance(event, SubscriptionPaid):
        rate = event.rate or ("1" if event.currency == USD else NO_RATE)
        sold = Sold(Fiat(event.amount_minor, event.currency), event.allowance_nano_usd, rate)
        period = Period(event.period_begins, event.period_ends)
        return (*bills, Bill(event.invoice_id, sold, event.lot_id, period))
    kind, phase = ReturnKind(event.kind), Phase(event.phase)
    minor, ends = event.amount_minor, event.credits_end
    said = Return(event.object_id, kind, minor, phase, event.reason, ends=ends)
    bill = bill_of(bills, event.invoice_id)
    moved, asked = event.credits_nano_usd, event.request_id
    changed = replace(bill, returns=with_return(bill.returns, said, moved, asked))
    return tuple(changed if each is bill else each for each in bills)


def observe_invoice_return(
    state: Subscription, invoice_id: str, seen: ReturnSeen, now: int, stamp: Stamp
) -> list[SubscriptionReturned]:
    """What follows from a refund or a dispute that is observed; nothing where known, or late.

    `now` is Unix time, from which on what comes back lasts. Raises UnknownInvoiceError, and
    AmountDiffersError for what this invoice cannot give back.
    """
    bill = bill_of(state.bills, invoice_id)
    step = step_of(bill.sold, bill.returns, seen)
    if step is None:
        return []
    given = seen.phase is Phase.BACK and step.credits > 0
    return [
        SubscriptionReturned(
            **state.next(stamp),
            invoice_id=invoice_id,
            object_id=seen.id,
            kind=seen.kind,
            phase=seen.phase,
            amount_minor=step.minor,
            currency=bill.sold.price.currency,
            value_nano_usd=step.value,
            credits_nano_usd=step.credits,
            credits_end=_ends(bill.period, now) if given else 0,
            as_of=seen.as_of,
            reason=seen.reason,
            request_id=seen.request_id,
            by_user_id=seen.by_user_id,
        )
    ]


def refundable_of(state: Subscription, invoice_id: str, asked: int | None) -> int:
    """How much of an invoice an admin may refund, in minor units; by the rule of payments.

    Raises NotPaidError, InvalidAmountError, and RefundTooLargeError for more than is left.
    """
    if invoice_id not in state.paid:
        message = f"{invoice_id} is not noted as paid here, so there is nothing to refund"
        raise NotPaidError(message)
    bill = bill_of(state.bills, invoice_id)
    return left_of(bill.sold.price, bill.returns, asked)


def observe_invoice_cost(
    state: Subscription,
    invoice_id: str,
    seen: CostSeen,
    rates: Mapping[str, str],
    stamp: Stamp,
) -> list[SubscriptionCost]:
    """What follows from a fee of an invoice, paid yet or not; nothing where known, or nought.

    A fee in the invoice's own currency is worth what the invoice is, by its rate. One in a currency
    without a rate is worth nothing in the books. Raises InvalidAmountError for what is too much.
    """
    amount = seen.amount
    if amount.minor == 0 or cost_key(seen.kind, seen.source_id) in state.costs:
        return []
    own = {
        bill.sold.price.currency: bill.sold.rate for bill in state.bills if bill.id == invoice_id
    }
    rate = rate_of(amount, {amount.currency: NO_RATE, USD: "1", **rates, **own})
    return [
        SubscriptionCost(
            **state.next(stamp),
            invoice_id=invoice_id,
            source_id=seen.source_id,
            kind=seen.kind,
            amount_minor=amount.minor,
            currency=amount.currency,
            rate=rate,
            amount_nano_usd=value_of(amount, rate),
        )
    ]


def _ends(period: Period, now: int) -> int:
    """When credits that are given back end: a period from now on, never before their own did."""
    return max(period.ends, now + period.ends - period.begins)
