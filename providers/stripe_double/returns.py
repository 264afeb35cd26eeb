"""Refunds, disputes, payouts and what each moves on the balance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.stripe_double.errors import invalid, missing
from providers.stripe_double.webhooks import new_id

if TYPE_CHECKING:
    from providers.stripe_double.shelf import Shelf
    from providers.stripe_double.webhooks import Webhooks

    Thing = dict[str, Any]

AMOUNT_MAX = 99_999_999
LEAST = 50
"""Of Stripe's least charges by currency, that of most (https://docs.stripe.com/currencies)."""
DISPUTE_FEE_MINOR = 1_500
LOST, WON = "lost", "won"


def amount_of(text: Any, name: str = "amount", *, least: int = LEAST) -> int:
    """An amount in minor units; raises Refused."""
    if not isinstance(text, str) or not text.removeprefix("-").isdigit():
        said = f"Invalid integer: {str(text)[:100]}"
        raise invalid(said, name, "parameter_invalid_integer")
    amount = int(text) if len(text) <= len(str(AMOUNT_MAX)) else AMOUNT_MAX + 1
    if amount < least:
        code = "amount_too_small" if amount > 0 else "parameter_invalid_integer"
        said = f"Amount must be at least {least}."
        raise invalid(said, name, code)
    if amount > AMOUNT_MAX:
        said = f"Amount must be no more than {AMOUNT_MAX}."
        raise invalid(said, name, "amount_too_large")
    return amount


def metadata_of(given: Any) -> dict[str, str]:
    """Metadata; raises Refused."""
    if given in (None, ""):
        return {}
    if not isinstance(given, dict) or not all(isinstance(each, str) for each in given.values()):
        raise invalid("Invalid object", "metadata")
    return dict(given)


class Returns:
    """One for the double; each method is called within an act of the shelf."""

    def __init__(self, shelf: Shelf, webhooks: Webhooks) -> None:
        """What is written goes to the shelf, what happens is told by webhooks."""
        self._shelf, self._webhooks = shelf, webhooks

    def refund(self, asked: Thing, key: str | None) -> Thing:
        """POST /v1/refunds; raises Refused for more than is left."""
        if asked.get("payment_intent"):
            charge = self.charge_of(self.found("payment_intent", asked["payment_intent"]))
        else:
            charge = self.found("charge", asked.get("charge", ""))
        left = charge["amount"] - charge["amount_refunded"]
        amount = amount_of(asked["amount"], least=1) if "amount" in asked else left
        if charge["disputed"]:
            text = "This charge has been charged back."
            raise invalid(text, code="charge_disputed")
        if left <= 0:
            text = f"Charge {charge['id']} has already been refunded."
            raise invalid(text, code="charge_already_refunded")
        if amount > left:
            text = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
            raise invalid(text, "amount")
        name = new_id("re")
        booked = self.book("refund", name, -amount, charge["currency"], 0)
        refund = self._shelf.put(
            {
                "id": name,
                "object": "refund",
                "amount": amount,
                "balance_transaction": booked["id"],
                "charge": charge["id"],
                "created": int(self._webhooks.now()),
                "currency": charge["currency"],
                "metadata": metadata_of(asked.get("metadata")),
                "payment_intent": charge["payment_intent"],
                "reason": asked.get("reason"),
                "status": "succeeded",
            }
        )
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        self._webhooks.tell("refund.created", refund, key)
        self._keep(charge, "charge.refunded", key)
        return refund

    def dispute(self, charge_id: str, reason: str, *, withdraw: bool = True) -> Thing:
        """The owner of the card goes to their bank: the funds are withdrawn, or will be."""
        charge = self.found("charge", charge_id)
        charge["disputed"] = True
        self._shelf.put(charge)
        dispute: Thing = {
            "id": new_id("du"),
            "object": "dispute",
            "amount": charge["amount"] - charge["amount_refunded"],
            "balance_transactions": [],
            "charge": charge["id"],
            "created": int(self._webhooks.now()),
            "currency": charge["currency"],
            "enhanced_eligibility_types": [],
            "evidence": {"enhanced_evidence": {}},
            "evidence_details": {
                "due_by": None,
                "enhanced_eligibility": {},
                "has_evidence": False,
                "past_due": False,
                "submission_count": 0,
            },
            "is_charge_refundable": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "status": "needs_response",
        }
        self._keep(dispute, "charge.dispute.created", None)
        if withdraw:
            return self.withdraw(dispute["id"])
        return dispute

    def withdraw(self, name: str) -> Thing:
        """The money of a dispute is taken."""
        dispute = self.found("dispute", name)
        amount, currency = dispute["amount"], dispute["currency"]
        booked = self.book("adjustment", name, -amount, currency, DISPUTE_FEE_MINOR)
        dispute["balance_transactions"] = [booked]
        self._keep(dispute, "charge.dispute.funds_withdrawn", None)
        return dispute

    def close_dispute(self, name: str, *, won: bool) -> Thing:
        """The bank decided; what was withdrawn comes back to who won."""
        dispute = self.found("dispute", name)
        if dispute["status"] in (LOST, WON):
            raise invalid("This dispute is already closed.")
        dispute["status"] = WON if won else LOST
        if won and dispute["balance_transactions"]:
            amount, currency = dispute["amount"], dispute["currency"]
            back = self.book("adjustment", name, amount, currency, 0)
            dispute["balance_transactions"].append(back)
        self._keep(dispute, "charge.dispute.closed", None)
        if won:
            self._webhooks.tell("charge.dispute.funds_reinstated", dispute)
        return dispute

    def fail_refund(self, name: str, why: str = "expired_or_canceled_card") -> Thing:
        """The bank of who paid does not take a refund: the money comes back."""
        refund = self.found("refund", name)
        if refund["status"] == "failed":
            raise invalid("This refund failed already.")
        refund.update(status="failed", failure_reason=why)
        charge = self.found("charge", refund["charge"])
        charge["amount_refunded"] -= refund["amount"]
        charge["refunded"] = False
        self._shelf.put(charge)
        self.book("refund_failure", name, refund["amount"], refund["currency"], 0)
        self._webhooks.tell("refund.updated", refund)
        return self._keep(refund, "refund.failed", None)

    def pay_out(self, amount: int, currency: str = "usd") -> Thing:
        """What is kept goes to the bank."""
        name, now = new_id("po"), int(self._webhooks.now())
        payout: Thing = {
            "id": name,
            "object": "payout",
            "amount": amount,
            "arrival_date": now,
            "automatic": True,
            "balance_transaction": self.book("payout", name, -amount, currency, 0)["id"],
            "created": now,
            "currency": currency,
            "livemode": False,
            "metadata": {},
            "method": "standard",
            "reconciliation_status": "completed",
            "source_type": "card",
            "status": "paid",
            "type": "bank_account",
        }
        return self._keep(payout, "payout.paid", None)

    def fail_payout(self, name: str) -> Thing:
        """The bank sends it back."""
        payout = self.found("payout", name)
        payout["status"] = "failed"
        self.book("payout_failure", name, payout["amount"], payout["currency"], 0)
        return self._keep(payout, "payout.failed", None)

    def book(self, kind: str, source: str, amount: int, currency: str, fee: int) -> Thing:
        """A balance transaction: what an object moves, and what that costs."""
        details = {"amount": fee, "application": None, "currency": currency, "description": kind}
        return self._shelf.put(
            {
                "id": new_id("txn"),
                "object": "balance_transaction",
                "amount": amount,
                "available_on": int(self._webhooks.now()),
                "balance_type": "payments",
                "created": int(self._webhooks.now()),
                "currency": currency,
                "description": None,
                "exchange_rate": None,
                "fee": fee,
                "fee_details": [{**details, "type": "stripe_fee"}] if fee else [],
                "net": amount - fee,
                "reporting_category": kind,
                "source": source,
                "status": "available",
                "type": kind,
            }
        )

    def found(self, kind: str, name: str) -> Thing:
        """An object; raises Refused 404."""
        thing = self._shelf.get(kind, name)
        if thing is None:
            raise missing(kind, name)
        return thing

    def charge_of(self, intent: Thing) -> Thing:
        """The charge that paid an intent; raises Refused."""
        if intent["status"] != "succeeded":
            text = "This PaymentIntent does not have a successful charge to refund."
            raise invalid(text, "payment_intent")
        return self.found("charge", intent["latest_charge"])

    def _keep(self, thing: Thing, happened: str, key: str | None) -> Thing:
        self._shelf.put(thing)
        self._webhooks.tell(happened, thing, key)
        return thing
