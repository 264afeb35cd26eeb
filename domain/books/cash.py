"""The entries of money from outside: discounts, fees, taxes, what went back, payouts (rule 18).

Credits have entries of their own: a purchase is booked on the clearing account at its credits, what
is taken back on `returned`. What the money behind them was worth besides is booked here, so that
clearing and `returned` together are what Stripe has of ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.books.parts import STRIPE, Part
from domain.events.money.payments import PaymentCompleted
from domain.events.money.returns import (
    DisputeLost,
    DisputeWithdrawn,
    DisputeWon,
    PaymentCost,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentReturn,
    PayoutTold,
)
from domain.events.money.subscriptions import (
    SubscriptionCost,
    SubscriptionPaid,
    SubscriptionReturned,
)
from domain.payments.fiat import USD, Fiat, value_of
from domain.payments.returned import MEANING, Phase
from domain.payments.returns import TAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from domain.events.base import Event

BANK = "bank:stripe"
DISCOUNTS = "discounts"
SUBSCRIPTIONS = "revenue:subscriptions"
"""What a subscription costs beyond the allowance that it gives."""
BEYOND = "fees:returned"
"""Money that went back without credits that it stood for: a dispute of what was refunded."""


def cash_parts(event: Event) -> Iterator[Part]:
    """The entries of an event about money from outside; none for any other."""
    match event:
        case PaymentCompleted() if event.currency == USD:
            # In other currencies what is bought is what is paid, by the rate.
            worth = value_of(Fiat(event.amount_minor, event.currency), "1")
            yield from _beyond(STRIPE, worth - event.credits_nano_usd, back=True)
        case PaymentReturn():
            kind, phase = MEANING[type(event)]
            back = phase is Phase.BACK
            account = STRIPE if back else f"returned:{kind}"
            yield from _beyond(account, event.value_nano_usd - event.credits_nano_usd, back=back)
        case SubscriptionPaid():
            yield from _of_invoice(event)
        case SubscriptionReturned() if event.value_nano_usd:
            # Of a currency without a rate the books have the allowance alone.
            back = event.phase == Phase.BACK
            account = STRIPE if back else f"returned:{event.kind}"
            yield from _beyond(account, event.value_nano_usd - event.credits_nano_usd, back=back)
        case PaymentCost():
            tax = event.kind == TAX
            yield Part("", "fees:tax" if tax else "fees:stripe", -event.amount_nano_usd)
            yield Part("", "tax:stripe" if tax else STRIPE, event.amount_nano_usd)
        case SubscriptionCost():
            yield Part("", "fees:stripe", -event.amount_nano_usd)
            yield Part("", STRIPE, event.amount_nano_usd)
        case PayoutTold():
            amount = event.amount_nano_usd if event.paid else -event.amount_nano_usd
            yield Part("", BANK, -amount)
            yield Part("", STRIPE, amount)
        case _:
            pass


def _of_invoice(event: SubscriptionPaid) -> Iterator[Part]:
    """What an invoice was paid besides its allowance, which has an entry of its own."""
    rate = event.rate or ("1" if event.currency == USD else "")
    if not rate:
        return
    worth = value_of(Fiat(event.amount_minor, event.currency), rate)
    tax = value_of(Fiat(event.tax_minor, event.currency), rate)
    more = worth - event.allowance_nano_usd
    yield Part("", STRIPE, -more)
    yield Part("", "tax:stripe", tax)
    rest = more - tax
    yield Part("", DISCOUNTS if rest < 0 else SUBSCRIPTIONS, rest)


def _beyond(account: str, more: int, *, back: bool) -> Iterator[Part]:
    """What money is worth more, or less, than the credits that moved with it."""
    amount = -more if back else more
    yield Part("", account, amount)
    yield Part("", DISCOUNTS if more < 0 else BEYOND, -amount)


_TAKEN = (
    ("returned:*", DISCOUNTS, "a package's credits were more than its price"),
    (BEYOND, "returned:*", "money went back that no credits stand for any more"),
)
_BACK = (
    (DISCOUNTS, STRIPE, "a package's credits are more than its price"),
    (STRIPE, BEYOND, "money came back that no credits stand for"),
)
CASH: Mapping[type[Event], Sequence[tuple[str, str, str]]] = {
    PaymentCompleted: ((DISCOUNTS, STRIPE, "a package gives credits beyond its price"),),
    PaymentRefunded: _TAKEN,
    DisputeWithdrawn: _TAKEN,
    DisputeLost: _TAKEN,
    PaymentRefundFailed: _BACK,
    DisputeWon: _BACK,
    SubscriptionPaid: (
        (STRIPE, SUBSCRIPTIONS, "a subscription costs more than its allowance"),
        (DISCOUNTS, STRIPE, "an allowance is more than its price"),
        (STRIPE, "tax:stripe", "a tax on an invoice"),
    ),
    SubscriptionReturned: (*_TAKEN, *_BACK),
    PaymentCost: (
        ("fees:stripe", STRIPE, "a fee of Stripe's"),
        ("fees:tax", "tax:stripe", "a tax in the price of credits"),
    ),
    SubscriptionCost: (("fees:stripe", STRIPE, "a fee of Stripe's on an invoice's money"),),
    PayoutTold: (
        (BANK, STRIPE, "Stripe pays out"),
        (STRIPE, BANK, "a payout came back"),
    ),
}
"""By event: account debited, account credited, what for."""
