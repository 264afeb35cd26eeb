"""Events of payments: money from outside, in its own currency beside the credits it buys.

Amounts from outside are integers of the currency's minor units, as the provider writes them. No
card, no name and no address stands in them; a payment provider's own ids do.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class PaymentEvent(Event):
    """An event of one payment, its stream; `account_id` is who gets the credits."""

    CATEGORY = "payment"

    account_id: str


@dataclass(frozen=True, kw_only=True)
class PaymentStarted(PaymentEvent):
    """Somebody wants to pay: nothing was asked of the provider yet.

    `way` is `checkout` or `intent`. `rate` is how many USD one unit of the currency was then, as a
    decimal string; by it `amount_minor` buys `credits_nano_usd`, unless a `package` says what it
    buys.
    """

    TOPIC = "payment.started.v1"

    user_id: str
    way: str
    amount_minor: int
    currency: str
    rate: str
    credits_nano_usd: int
    package: str = ""


@dataclass(frozen=True, kw_only=True)
class PaymentOpened(PaymentEvent):
    """The provider knows it, under these ids; an empty one is not known yet."""

    TOPIC = "payment.opened.v1"

    session_id: str = ""
    intent_id: str = ""


@dataclass(frozen=True, kw_only=True)
class PaymentChanged(PaymentEvent):
    """The provider said that its status is another; nothing was paid.

    `as_of` is when the provider said so, in seconds of Unix time; `failure` is the provider's code
    of why a try failed.
    """

    TOPIC = "payment.changed.v1"

    status: str
    as_of: int
    intent_id: str = ""
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class PaymentCompleted(PaymentEvent):
    """It is paid, and its credits are given: the lot `lot_id`."""

    TOPIC = "payment.completed.v1"

    intent_id: str
    amount_minor: int
    currency: str
    credits_nano_usd: int
    lot_id: str
    as_of: int
