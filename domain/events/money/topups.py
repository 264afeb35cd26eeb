"""Events of automatic top-ups: what an account wants, and each time that it was charged for it.

Amounts are US cents. `month` is a month of UTC, as 2027-01.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class TopUpEvent(Event):
    """An event of the automatic top-ups of an account, its stream."""

    CATEGORY = "auto_top_up"

    account_id: str


@dataclass(frozen=True, kw_only=True)
class TopUpsSet(TopUpEvent):
    """Where less than `threshold_minor` is available, `amount_minor` is charged: at most
    `monthly_cap_minor` in a month. `user_id` is who set it, and is written to.
    """

    TOPIC = "auto_top_up.set.v1"

    user_id: str
    enabled: bool
    threshold_minor: int
    amount_minor: int
    monthly_cap_minor: int


@dataclass(frozen=True, kw_only=True)
class TopUpBegun(TopUpEvent):
    """The account is charged by a saved card, because of a cause: the payment `payment_id`."""

    TOPIC = "auto_top_up.begun.v1"

    cause: str
    payment_id: str
    method_id: str
    amount_minor: int
    month: str


@dataclass(frozen=True, kw_only=True)
class TopUpEnded(TopUpEvent):
    """The payment was paid, or failed for a reason; then nothing is tried before `again_at`."""

    TOPIC = "auto_top_up.ended.v1"

    payment_id: str
    paid: bool
    failure: str = ""
    again_at: str = ""


@dataclass(frozen=True, kw_only=True)
class TopUpsSwitchedOff(TopUpEvent):
    """It failed too often, or can never work: nothing is charged until it is set anew."""

    TOPIC = "auto_top_up.switched_off.v1"

    reason: str
