"""Payment intents and charges: what they are, and how they change."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from providers.stripe_double.cards import Card, card_of
from providers.stripe_double.errors import Refused, invalid
from providers.stripe_double.returns import Returns, amount_of, metadata_of
from providers.stripe_double.webhooks import new_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.stripe_double.shelf import Shelf
    from providers.stripe_double.webhooks import Webhooks

    Thing = dict[str, Any]

FEE_PER_MILLE, FEE_MINOR = 29, 30
"""What a charge costs: 2.9 % and 30 cents, as in the USA."""
UNPAID = ("requires_confirmation", "requires_payment_method", "requires_action")


class Payments:
    """One for the double; each method is called within an act of the shelf."""

    def __init__(self, shelf: Shelf, webhooks: Webhooks) -> None:
        """What is written goes to the shelf, what happens is told by webhooks."""
        self._shelf, self._webhooks = shelf, webhooks
        self.returns = Returns(shelf, webhooks)
        self.card: Callable[..., Card | None] = lambda given, **_: card_of(given)

    def found(self, kind: str, name: str) -> Thing:
        """An object; raises Refused 404."""
        return self.returns.found(kind, name)

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
            "status": UNPAID[not asked.get("payment_method")],
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
        card = self.card(method, off_session=asked.get("off_session") == "true")
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
            self.returns.dispute(charge["id"], card.dispute)
        return intent

    def cancel(self, name: str, key: str | None) -> Thing:
        """POST /v1/payment_intents/{id}/cancel."""
        intent = self.found("payment_intent", name)
        if intent["status"] not in UNPAID:
            raise unexpected(intent, "cancel")
        intent.update(status="canceled", next_action=None)
        return self._keep(intent, "payment_intent.canceled", key)

    def _charge(self, intent: Thing, card: Card, *, paid: bool) -> Thing:
        name = new_id("ch")
        of_card = {"fingerprint": card.fingerprint, "exp_month": 12, "exp_year": 2034}
        amount, currency = intent["amount"], intent["currency"]
        fee = amount * FEE_PER_MILLE // 1_000 + FEE_MINOR
        booked = self.returns.book("charge", name, amount, currency, fee) if paid else None
        return self._shelf.put(
            {
                "id": name,
                "object": "charge",
                "amount": intent["amount"],
                "amount_captured": intent["amount"] if paid else 0,
                "amount_refunded": 0,
                "balance_transaction": booked and booked["id"],
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
