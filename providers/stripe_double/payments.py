"""Payment intents, charges, refunds and disputes: what they are, and how they change."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from providers.stripe_double.cards import Card, card_of
from providers.stripe_double.errors import Refused, invalid, missing
from providers.stripe_double.webhooks import new_id

if TYPE_CHECKING:
    from providers.stripe_double.shelf import Shelf
    from providers.stripe_double.webhooks import Webhooks

    Thing = dict[str, Any]

AMOUNT_MAX = 99_999_999
LEAST = 50
"""Of Stripe's least charges by currency, that of most (https://docs.stripe.com/currencies)."""
UNPAID = ("requires_payment_method", "requires_confirmation", "requires_action")
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


class Payments:
    """One for the double; each method is called within an act of the shelf."""

    def __init__(self, shelf: Shelf, webhooks: Webhooks) -> None:
        """What is written goes to the shelf, what happens is told by webhooks."""
        self._shelf, self._webhooks = shelf, webhooks

    def found(self, kind: str, name: str) -> Thing:
        """An object; raises Refused 404."""
        thing = self._shelf.get(kind, name)
        if thing is None:
            raise missing(kind, name)
        return thing

    def create_intent(self, asked: Thing, key: str | None) -> Thing:
        """POST /v1/payment_intents."""
        amount, currency = amount_of(asked.get("amount")), currency_of(asked)
        name = new_id("pi")
        kinds = asked.get("payment_method_types") or ["card"]
        intent: Thing = {
            "id": name,
            "object": "payment_intent",
            "amount": amount,
            "amount_capturable": 0,
            "amount_received": 0,
            "capture_method": "automatic",
            "client_secret": f"{name}_secret_{secrets.token_hex(12)}",
            "confirmation_method": "automatic",
            "created": int(self._webhooks.now()),
            "currency": currency,
            "customer": asked.get("customer"),
            "description": asked.get("description"),
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": metadata_of(asked.get("metadata")),
            "next_action": None,
            "payment_method": asked.get("payment_method"),
            "payment_method_types": list(kinds),
            "receipt_email": asked.get("receipt_email"),
            "status": "requires_confirmation"
            if asked.get("payment_method")
            else "requires_payment_method",
        }
        self._keep(intent, "payment_intent.created", key)
        if asked.get("confirm") == "true":
            return self.confirm(name, asked, key)
        return intent

    def confirm(self, name: str, asked: Thing, key: str | None) -> Thing:
        """POST /v1/payment_intents/{id}/confirm; raises Refused 402 for a decline."""
        intent = self.found("payment_intent", name)
        if intent["status"] not in UNPAID:
            raise unexpected(intent, "confirm")
        method = asked.get("payment_method") or intent["payment_method"] or ""
        card = card_of(method)
        if card is None:
            said = f"No such PaymentMethod: '{method[:100]}'"
            raise invalid(said, "payment_method")
        intent["payment_method"] = method if method.startswith("pm_") else new_id("pm")
        return self.pay(intent, card, key)

    def pay(self, intent: Thing, card: Card, key: str | None = None) -> Thing:
        """What a card does to an intent; a decline is kept, and raised as Refused 402."""
        if card.authentication:
            intent["status"] = "requires_action"
            where = f"https://hooks.stripe.com/3d_secure/{intent['id']}"
            intent["next_action"] = {
                "type": "redirect_to_url",
                "redirect_to_url": {"url": where, "return_url": None},
            }
            # The rest of the card's story is told once its owner has answered.
            self._later(intent["id"], card)
            return self._keep(intent, "payment_intent.requires_action", key)
        if card.declined:
            raise self._decline(intent, card, key)
        return self._succeed(intent, card, key)

    def prove(self, name: str, *, agreed: bool) -> Thing:
        """The owner of the card answered 3-D Secure; raises Refused 402 for a decline."""
        intent = self.found("payment_intent", name)
        if intent["status"] != "requires_action":
            raise unexpected(intent, "authenticate")
        intent["next_action"] = None
        card = Card(*(self._shelf.get("double.card", f"card_{name}") or {"card": ()})["card"])
        if not agreed:
            failed = Card(
                "payment_intent_authentication_failure",
                "",
                "The provided PaymentMethod has failed authentication.",
            )
            raise self._decline(intent, failed, None)
        return self.pay(intent, card._replace(authentication=False))

    def _later(self, name: str, card: Card) -> None:
        created = int(self._webhooks.now())
        kept = {"id": f"card_{name}", "object": "double.card", "created": created}
        self._shelf.put({**kept, "card": list(card)})

    def _decline(self, intent: Thing, card: Card, key: str | None) -> Refused:
        said: Thing = {"type": "card_error", "code": card.code, "message": card.message}
        if card.decline_code:
            said["decline_code"] = card.decline_code
        if card.code != "payment_intent_authentication_failure":
            intent["latest_charge"] = said["charge"] = self._charge(intent, card, paid=False)["id"]
        intent.update(
            status="requires_payment_method", last_payment_error=said, payment_method=None
        )
        self._keep(intent, "payment_intent.payment_failed", key)
        more = {name: value for name, value in said.items() if name not in {"type", "message"}}
        return Refused(402, "card_error", card.message, payment_intent=intent, **more)

    def _succeed(self, intent: Thing, card: Card, key: str | None) -> Thing:
        charge = self._charge(intent, card, paid=True)
        intent.update(
            status="succeeded",
            amount_received=intent["amount"],
            latest_charge=charge["id"],
            last_payment_error=None,
            next_action=None,
        )
        self._webhooks.tell("charge.succeeded", charge, key)
        self._keep(intent, "payment_intent.succeeded", key)
        if card.dispute:
            self.dispute(charge["id"], card.dispute)
        return intent

    def cancel(self, name: str, key: str | None) -> Thing:
        """POST /v1/payment_intents/{id}/cancel."""
        intent = self.found("payment_intent", name)
        if intent["status"] not in UNPAID:
            raise unexpected(intent, "cancel")
        intent.update(status="canceled", next_action=None)
        return self._keep(intent, "payment_intent.canceled", key)

    def _charge(self, intent: Thing, card: Card, *, paid: bool) -> Thing:
        of_card = {"fingerprint": card.fingerprint, "exp_month": 12, "exp_year": 2034}
        return self._shelf.put(
            {
                "id": new_id("ch"),
                "object": "charge",
                "amount": intent["amount"],
                "amount_captured": intent["amount"] if paid else 0,
                "amount_refunded": 0,
                "billing_details": {"address": None, "email": None, "name": None, "phone": None},
                "captured": paid,
                "created": int(self._webhooks.now()),
                "currency": intent["currency"],
                "customer": intent["customer"],
                "description": intent["description"],
                "disputed": False,
                "failure_code": None if paid else card.code,
                "failure_message": None if paid else card.message,
                "livemode": False,
                "metadata": intent["metadata"],
                "paid": paid,
                "payment_intent": intent["id"],
                "payment_method": intent["payment_method"],
                "payment_method_details": {"type": "card", "card": of_card},
                "refunded": False,
                "status": "succeeded" if paid else "failed",
            }
        )

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
        refund = self._shelf.put(
            {
                "id": new_id("re"),
                "object": "refund",
                "amount": amount,
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

    def dispute(self, charge_id: str, reason: str) -> Thing:
        """The owner of the card goes to their bank: the funds are withdrawn."""
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
        self._webhooks.tell("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def close_dispute(self, name: str, *, won: bool) -> Thing:
        """The bank decided; what was withdrawn comes back to who won."""
        dispute = self.found("dispute", name)
        if dispute["status"] in (LOST, WON):
            raise invalid("This dispute is already closed.")
        dispute["status"] = WON if won else LOST
        self._keep(dispute, "charge.dispute.closed", None)
        if won:
            self._webhooks.tell("charge.dispute.funds_reinstated", dispute)
        return dispute

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


def currency_of(asked: Thing) -> str:
    """A currency; raises Refused."""
    currency = str(asked.get("currency", "")).lower()
    if len(currency) != 3 or not currency.isalpha():  # noqa: PLR2004 - ISO 4217
        said = f"Invalid currency: {currency[:100]}"
        raise invalid(said, "currency")
    return currency


def unexpected(intent: Thing, act: str) -> Refused:
    """A 400: the intent's status does not allow it."""
    text = f"You cannot {act} this PaymentIntent because it has a status of {intent['status']}."
    return invalid(text, code="payment_intent_unexpected_state")
