"""What follows from a refund, a dispute or a cost that the provider tells of.

Credits follow the money: of so much of a payment's amount that is gone, so much of its credits is
taken. The one rounding stands in `credits_due`; what is taken is at each moment that of the whole
sum that is gone, so over any number of parts, in any order, it comes to the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from domain.errors import DomainError, InvalidAmountError
from domain.events.money.returns import PaymentCost, PaymentRefunded, PayoutTold
from domain.payments.fiat import USD, Fiat, shown, value_of
from domain.payments.payment import AmountDiffersError, Payment, Status
from domain.payments.returned import CLASSES, GONE, ORDER, Phase, ReturnKind, cost_key
from domain.pricing.money import divide_half_even

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from domain.events.base import Stamp
    from domain.events.money.returns import PaymentReturn
    from domain.payments.payment import Order
    from domain.payments.returned import Returns

REFUNDS_MAX = 100
"""Most refunds of one payment that admins may ask for."""
MINOR_MAX = 10**12
"""More than any payout, in minor units of any currency."""
FEE, TAX = "fee", "tax"


class NotPaidError(DomainError):
    """Nothing was paid, so nothing can go back."""

    code = "payment_not_paid"


class RefundTooLargeError(DomainError):
    """More is to be refunded than is left of what was paid."""

    code = "refund_too_large"


@dataclass(frozen=True, slots=True)
class ReturnSeen:
    """What the provider says of a refund or a dispute, and since when (Unix time)."""

    kind: ReturnKind
    id: str
    amount: Fiat | None
    phase: Phase
    as_of: int
    intent_id: str = ""
    reason: str = ""
    request_id: str = ""
    by_user_id: str | None = None


@dataclass(frozen=True, slots=True)
class CostSeen:
    """What the provider says that a payment cost: `kind` is FEE or TAX."""

    kind: str
    source_id: str
    amount: Fiat


@dataclass(frozen=True, slots=True)
class PayoutSeen:
    """What the provider says of a payout: whether the bank has it, and since when (Unix time)."""

    id: str
    amount: Fiat
    paid: bool
    as_of: int


class Sold(NamedTuple):
    """What money was paid for: the amount, the credits that it gave (nano-USD), and the rate."""

    price: Fiat
    credits: int
    rate: str


class Step(NamedTuple):
    """What a return moves: its amount in minor units, that in nano-USD, and credits."""

    minor: int
    value: int
    credits: int


def credits_due(sold: Sold, minor: int) -> int:
    """The credits that so much of the amount paid stands for, nano-USD.

    Rounded once, a tie to the even neighbour; of the whole amount, or more, they are all.
    """
    gone = min(minor, sold.price.minor)
    return divide_half_even(sold.credits * gone, sold.price.minor)


def sold_by(order: Order) -> Sold:
    """What a payment was for."""
    return Sold(order.price, order.credits_nano_usd, order.rate)


def step_of(sold: Sold, returns: Returns, seen: ReturnSeen) -> Step | None:
    """What moves by what is observed; None where it is known, or late.

    Raises AmountDiffersError for an amount that cannot go back of this.
    """
    known = returns.of(seen.id)
    if known is not None and ORDER.index(seen.phase) <= ORDER.index(known.phase):
        return None
    minor = known.minor if known else _minor_of(sold.price, seen)
    was, is_ = known is not None and known.phase in GONE, seen.phase in GONE
    gone = returns.gone_beside(seen.id) + (minor if is_ else 0)
    value = value_of(Fiat(minor, sold.price.currency), sold.rate) if was is not is_ else 0
    return Step(minor, value, abs(credits_due(sold, gone) - returns.taken))


def observe_return(state: Payment, seen: ReturnSeen, stamp: Stamp) -> list[PaymentReturn]:
    """What follows from what is observed; nothing where it is known, or late.

    Raises NotPaidError, and AmountDiffersError for an amount that this payment cannot give back.
    """
    if state.status is not Status.COMPLETED:
        message = "the payment is not completed, so nothing can go back"
        raise NotPaidError(message)
    step = step_of(sold_by(state.order), state.returns, seen)
    if step is None:
        return []
    more: dict[str, Any] = {}
    event = CLASSES[seen.kind, seen.phase]
    if event is PaymentRefunded:
        more = {"request_id": seen.request_id, "by_user_id": seen.by_user_id}
    return [
        event(
            **state.next(stamp),
            object_id=seen.id,
            amount_minor=step.minor,
            currency=state.order.price.currency,
            value_nano_usd=step.value,
            credits_nano_usd=step.credits,
            as_of=seen.as_of,
            reason=seen.reason,
            **more,
        )
    ]


def _minor_of(price: Fiat, seen: ReturnSeen) -> int:
    """An amount that may go back; a bank may dispute more than was paid, nobody refunds more."""
    amount = seen.amount
    most = price.minor if seen.kind is ReturnKind.REFUND else MINOR_MAX
    fits = amount is not None and amount.currency == price.currency and 0 < amount.minor <= most
    if amount is None or not fits or not price.minor:
        said = "nothing" if amount is None else f"{amount.minor} ({amount.currency[:20]!r})"
        message = f"a {seen.kind} of {said} is told where {shown(price)} was paid"
        raise AmountDiffersError(message)
    return amount.minor


def refundable(state: Payment, asked: int | None) -> int:
    """How much an admin may refund, in minor units: what is asked for, or all that is left.

    Raises NotPaidError, InvalidAmountError, and RefundTooLargeError for more than is left.
    """
    if state.status is not Status.COMPLETED:
        message = "the payment is not completed, so there is nothing to refund"
        raise NotPaidError(message)
    return left_of(state.order.price, state.returns, asked)


def left_of(price: Fiat, returns: Returns, asked: int | None) -> int:
    """How much may be refunded of what was paid: what is asked for, or all that is left.

    Raises InvalidAmountError, and RefundTooLargeError for more than is left.
    """
    left = price.minor - returns.refunded
    if asked is not None and asked <= 0:
        message = f"a refund is at least 1 minor unit (a cent), not {asked}"
        raise InvalidAmountError(message)
    if left <= 0 or (asked or 0) > left:
        message = f"{shown(Fiat(max(left, 0), price.currency))} of {shown(price)} can be refunded"
        raise RefundTooLargeError(message)
    if len(returns.items) >= REFUNDS_MAX:
        message = f"the payment has {REFUNDS_MAX} refunds and disputes already"
        raise RefundTooLargeError(message)
    return asked or left


def observe_cost(state: Payment, seen: CostSeen, stamp: Stamp) -> list[PaymentCost]:
    """What follows from a fee or a tax; nothing where it is known, or nought.

    Raises InvalidAmountError for a currency that has no rate here.
    """
    if seen.amount.minor == 0 or cost_key(seen.kind, seen.source_id) in state.returns.costs:
        return []
    order = state.order
    rate = rate_of(seen.amount, {USD: "1", order.price.currency: order.rate})
    return [
        PaymentCost(
            **state.next(stamp),
            source_id=seen.source_id,
            kind=seen.kind,
            amount_minor=seen.amount.minor,
            currency=seen.amount.currency,
            rate=rate,
            amount_nano_usd=value_of(seen.amount, rate),
        )
    ]


def tell_payout(
    told: Sequence[PayoutTold],
    stream: UUID,
    seen: PayoutSeen,
    rates: Mapping[str, str],
    stamp: Stamp,
) -> list[PayoutTold]:
    """What follows from a payout; nothing where it is known. What never left does not come back.

    Raises InvalidAmountError for a currency that has no rate here.
    """
    if len(told) > (0 if seen.paid else 1) or not (told or seen.paid):
        return []
    rate = rate_of(seen.amount, rates)
    return [
        PayoutTold(
            originator_id=stream,
            originator_version=len(told) + 1,
            **stamp,
            payout_id=seen.id,
            paid=seen.paid,
            amount_minor=seen.amount.minor,
            currency=seen.amount.currency,
            rate=rate,
            amount_nano_usd=value_of(seen.amount, rate),
            as_of=seen.as_of,
        )
    ]


def rate_of(amount: Fiat, rates: Mapping[str, str]) -> str:
    """The rate of an amount; raises InvalidAmountError."""
    if amount.currency not in rates or abs(amount.minor) > MINOR_MAX:
        message = f"{amount.minor} of {amount.currency[:20]!r} has no rate here, or is too much"
        raise InvalidAmountError(message)
    return rates[amount.currency]
