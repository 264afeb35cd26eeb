"""Stripe's refunds, disputes, balance transactions and payouts, read.

What is said depends on the object and, for a dispute, on the type of the event that brought it:
whether its money was withdrawn stands in the object only as balance transactions, once there are
any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.payments.returned import Phase, ReturnKind
from domain.payments.returns import FEE, TAX, CostSeen, PayoutSeen, ReturnSeen
from providers.payments.port import ASKED_BY_KEY, REASON_KEY, REQUEST_KEY
from providers.payments.told import fiat_in, object_in, text_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from domain.payments.fiat import Fiat

REFUND, DISPUTE, CHARGE, PAYOUT = "refund", "dispute", "charge", "payout"
BALANCE = "balance_transaction"
WITHDRAWN, REINSTATED = "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated"
WATCHED = (
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    WITHDRAWN,
    REINSTATED,
    "charge.dispute.closed",
    "charge.succeeded",
    "charge.updated",
    "payout.paid",
    "payout.failed",
)
"""Types of events about what goes back, what it cost and what is paid out."""
FAILED = frozenset({"failed", "canceled"})
BACK = frozenset({"won", "warning_closed", "prevented"})
"""Ends of a dispute by which we keep the money, or have it again."""
TRANSACTIONS_MAX = 20
"""Most balance transactions of one dispute that are looked at."""


def refund_in(thing: Mapping[str, Any], as_of: int) -> ReturnSeen:
    """What a refund says. The money counts as gone from the first moment, as it does at Stripe."""
    metadata = object_in(thing.get("metadata"))
    failed = text_in(thing.get("status")) in FAILED
    reason = text_in(metadata.get(REASON_KEY)) or text_in(thing.get("reason"))
    if failed:
        reason = text_in(thing.get("failure_reason")) or text_in(thing.get("status"))
    return ReturnSeen(
        ReturnKind.REFUND,
        text_in(thing.get("id")),
        fiat_in(thing, "amount"),
        Phase.BACK if failed else Phase.OUT,
        as_of,
        intent_id=intent_in(thing),
        reason=reason,
        request_id=text_in(metadata.get(REQUEST_KEY)),
        by_user_id=text_in(metadata.get(ASKED_BY_KEY)) or None,
    )


def dispute_in(thing: Mapping[str, Any], as_of: int, told: str) -> ReturnSeen:
    """What a dispute says; `told` is the type of the event that brought it."""
    moved = [fiat.minor for each in _transactions(thing) if (fiat := fiat_in(each, "amount"))]
    status = text_in(thing.get("status"))
    if status in BACK or told == REINSTATED:
        phase = Phase.BACK
    elif status == "lost":
        phase = Phase.LOST
    elif told == WITHDRAWN or sum(moved) < 0:
        phase = Phase.OUT
    else:
        phase = Phase.OPENED
    return ReturnSeen(
        ReturnKind.DISPUTE,
        text_in(thing.get("id")),
        fiat_in(thing, "amount"),
        phase,
        as_of,
        intent_id=intent_in(thing),
        reason=text_in(thing.get("reason")),
    )


def fees_in(thing: Mapping[str, Any]) -> Iterator[CostSeen]:
    """The fees of the balance transactions that stand in an object."""
    for each in _transactions(thing):
        yield from fee_in(each)


def fee_in(transaction: Mapping[str, Any]) -> Iterator[CostSeen]:
    """The fee of a balance transaction, if it has one."""
    fee, name = fiat_in(transaction, "fee"), text_in(transaction.get("id"))
    if fee is not None and fee.minor and name:
        yield CostSeen(FEE, name, fee)


def tax_in(session: Mapping[str, Any]) -> Iterator[CostSeen]:
    """The tax in the total of a checkout session, if there is one."""
    details = object_in(session.get("total_details"))
    tax = fiat_in({**details, "currency": session.get("currency")}, "amount_tax")
    name = text_in(session.get("id"))
    if tax is not None and tax.minor and name:
        yield CostSeen(TAX, name, tax)


def payout_in(thing: Mapping[str, Any], as_of: int) -> PayoutSeen | None:
    """What a payout says; None while nothing is decided."""
    amount, name, status = fiat_in(thing, "amount"), text_in(thing.get("id")), thing.get("status")
    if amount is None or not name or status not in ("paid", *FAILED):
        return None
    return PayoutSeen(name, amount, status == "paid", as_of)


def intent_in(thing: Mapping[str, Any]) -> str:
    """The id of the payment intent that an object is of, expanded or not; empty for none."""
    return name_in(thing.get("payment_intent"))


def name_in(value: Any) -> str:
    """The id of an object that another one names, expanded or not; empty for none."""
    return text_in(object_in(value).get("id")) or text_in(value)


def _transactions(thing: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = thing.get("balance_transactions")
    if not isinstance(found, list):
        return []
    return [object_in(each) for each in found[:TRANSACTIONS_MAX]]


def refunded(charge: Mapping[str, Any]) -> Fiat | None:
    """What of a charge is refunded by now."""
    return fiat_in(charge, "amount_refunded")
