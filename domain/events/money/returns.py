"""Events of payments that go back, and of what taking the money cost.

An amount in minor units is what the provider said. `value_nano_usd` is what it is worth by the
payment's own rate, `credits_nano_usd` what of the payment's credits moves because of it: taken from
the account, or given back to it, as the class says. Both are nought where nothing moves.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event
from domain.events.money.payments import PaymentEvent


@dataclass(frozen=True, kw_only=True)
class PaymentReturn(PaymentEvent):
    """A refund or a dispute of a payment, under the provider's id.

    `as_of` is when the provider said so, in seconds of Unix time; `reason` are the words of who
    asked for it, or the provider's code.
    """

    object_id: str
    amount_minor: int
    currency: str
    value_nano_usd: int
    credits_nano_usd: int
    as_of: int
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class PaymentRefunded(PaymentReturn):
    """Money goes back to who paid; credits are taken.

    `request_id` is ours for what an admin asked, `by_user_id` who that was; without them it was
    made at the provider.
    """

    TOPIC = "payment.refunded.v1"

    request_id: str = ""
    by_user_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class PaymentRefundFailed(PaymentReturn):
    """A refund did not reach who paid, and the money is back; so are the credits."""

    TOPIC = "payment.refund_failed.v1"


@dataclass(frozen=True, kw_only=True)
class PaymentDisputed(PaymentReturn):
    """Who paid says to their bank that they should not have: nothing moves yet."""

    TOPIC = "payment.disputed.v1"


@dataclass(frozen=True, kw_only=True)
class DisputeWithdrawn(PaymentReturn):
    """The money of a dispute was taken from us; credits are taken."""

    TOPIC = "payment.dispute_withdrawn.v1"


@dataclass(frozen=True, kw_only=True)
class DisputeLost(PaymentReturn):
    """The bank decided for who paid; credits are taken where nobody told of the money before."""

    TOPIC = "payment.dispute_lost.v1"


@dataclass(frozen=True, kw_only=True)
class DisputeWon(PaymentReturn):
    """The bank decided for us, or nobody goes on with it: what was taken is given back."""

    TOPIC = "payment.dispute_won.v1"


@dataclass(frozen=True, kw_only=True)
class PaymentCost(PaymentEvent):
    """What taking a payment cost: a fee of the provider's, or a tax that was in the price.

    `source_id` is the provider's balance transaction, or the session that names the tax; `kind` is
    `fee` or `tax`. `amount_nano_usd` is the amount by `rate`, USD for one unit of its currency;
    below nought where it came back.
    """

    TOPIC = "payment.cost.v1"

    source_id: str
    kind: str
    amount_minor: int
    currency: str
    rate: str
    amount_nano_usd: int


@dataclass(frozen=True, kw_only=True)
class PayoutTold(Event):
    """The provider pays out to the bank what it keeps for us; `paid` false: it came back.

    The stream is the payout. The amount is worth `amount_nano_usd` by `rate`.
    """

    TOPIC = "payout.told.v1"
    CATEGORY = "payout"

    payout_id: str
    paid: bool
    amount_minor: int
    currency: str
    rate: str
    amount_nano_usd: int
    as_of: int
