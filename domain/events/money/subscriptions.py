"""Events of customers at the payment provider, and of the subscriptions they have there.

Amounts from outside are integers of the currency's minor units, instants of the provider's are
seconds of Unix time. No card, no name and no address stands here; the provider's own ids do.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class CustomerEvent(Event):
    """An event of the one customer that an account is at the provider."""

    CATEGORY = "customer"

    account_id: str


@dataclass(frozen=True, kw_only=True)
class CustomerLinked(CustomerEvent):
    """The account is this customer there, for ever."""

    TOPIC = "customer.linked.v1"

    customer_id: str


@dataclass(frozen=True, kw_only=True)
class CardSaved(CustomerEvent):
    """The customer left a way to be charged without being there; the last one counts."""

    TOPIC = "customer.card_saved.v1"

    method_id: str
    as_of: int


@dataclass(frozen=True, kw_only=True)
class SubscriptionEvent(Event):
    """An event of one subscription, its stream; `subscription_id` is the provider's."""

    CATEGORY = "subscription"

    account_id: str
    subscription_id: str


@dataclass(frozen=True, kw_only=True)
class SubscriptionChanged(SubscriptionEvent):
    """The provider said how it stands: status, product, price, and the period it is in."""

    TOPIC = "subscription.changed.v1"

    status: str
    tier: str
    product_id: str
    price_id: str
    period_begins: int
    period_ends: int
    cancels_at_end: bool
    as_of: int


@dataclass(frozen=True, kw_only=True)
class SubscriptionPaid(SubscriptionEvent):
    """An invoice was paid, and its allowance is given: the lot `lot_id`, None for none.

    `full` says that it paid for a whole period, which begins at `period_begins`. `tax_minor` is
    what of the amount is taxes. `rate` is USD for one unit of the currency, empty where none was
    known.
    """

    TOPIC = "subscription.paid.v1"

    invoice_id: str
    tier: str
    amount_minor: int
    tax_minor: int
    currency: str
    allowance_nano_usd: int
    full: bool
    period_begins: int
    period_ends: int
    as_of: int
    lot_id: str | None = None
    rate: str = ""


@dataclass(frozen=True, kw_only=True)
class SubscriptionUnpaid(SubscriptionEvent):
    """An invoice could not be paid: the tier is the basic one until it is."""

    TOPIC = "subscription.unpaid.v1"

    invoice_id: str
    as_of: int


@dataclass(frozen=True, kw_only=True)
class SubscriptionReturned(SubscriptionEvent):
    """Money of a paid invoice goes back, or came back: a refund or a dispute, how far it is.

    `kind` and `phase` are the words of `domain.payments.returned`, `object_id` is the provider's.
    `value_nano_usd` is what the amount is worth, `credits_nano_usd` what of the invoice's allowance
    is taken, or given back where the money came back; both are nought where nothing moves. What is
    given back ends at the second `credits_end`. `request_id` is ours for a refund that an admin
    asked for here, `by_user_id` who that was; without them it was made at the provider.
    """

    TOPIC = "subscription.returned.v1"

    invoice_id: str
    object_id: str
    kind: str
    phase: str
    amount_minor: int
    currency: str
    value_nano_usd: int
    credits_nano_usd: int
    credits_end: int
    as_of: int
    reason: str = ""
    request_id: str = ""
    by_user_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class SubscriptionCost(SubscriptionEvent):
    """What taking an invoice's money, or losing it in a dispute, cost: a fee of the provider's.

    `source_id` is the provider's balance transaction, `kind` is `fee`. `amount_nano_usd` is the
    amount by `rate`, USD for one unit of its currency; nought where none was known.
    """

    TOPIC = "subscription.cost.v1"

    invoice_id: str
    source_id: str
    kind: str
    amount_minor: int
    currency: str
    rate: str
    amount_nano_usd: int
