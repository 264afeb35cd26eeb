"""Customers, and the cards they left to be charged by when they are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.stripe_double.cards import Card, card_of, left_card
from providers.stripe_double.returns import metadata_of
from providers.stripe_double.webhooks import new_id

if TYPE_CHECKING:
    from providers.stripe_double.payments import Payments
    from providers.stripe_double.shelf import Shelf
    from providers.stripe_double.webhooks import Webhooks

    Thing = dict[str, Any]


class Customers:
    """One for the double; each method is called within an act of the shelf."""

    def __init__(self, shelf: Shelf, webhooks: Webhooks, payments: Payments) -> None:
        """What is written goes to the shelf, what happens is told by webhooks."""
        self._shelf, self._webhooks, self._payments = shelf, webhooks, payments

    def create(self, asked: Thing, _: str | None) -> Thing:
        """POST /v1/customers."""
        return self._shelf.put(
            {
                "id": new_id("cus"),
                "object": "customer",
                "created": int(self._webhooks.now()),
                "description": asked.get("description"),
                "email": asked.get("email"),
                "livemode": False,
                "metadata": metadata_of(asked.get("metadata")),
                "name": asked.get("name"),
            }
        )

    def update(self, name: str, asked: Thing) -> Thing:
        """POST /v1/customers/{id}."""
        customer = self._payments.found("customer", name)
        for member in ("description", "email", "name"):
            customer[member] = asked.get(member, customer[member])
        return self._shelf.put(customer)

    def details(self, name: str | None) -> Thing | None:
        """What a session says of its customer; raises Refused for one that is not there."""
        if not name:
            return None
        email = self._payments.found("customer", name)["email"]
        nothing = ("address", "business_name", "individual_name", "name", "phone", "tax_exempt")
        return {"email": email, "tax_ids": None, **dict.fromkeys(nothing)}

    def leave(self, customer: str, number: str) -> str:
        """A card is left with us; its payment method's id."""
        now, name = int(self._webhooks.now()), new_id("pm")
        nobody = {"address": None, "email": None, "name": None, "phone": None, "tax_id": None}
        self._shelf.put(
            {
                "id": name,
                "object": "payment_method",
                "billing_details": nobody,
                "created": now,
                "customer": customer,
                "livemode": False,
                "metadata": {},
                "type": "card",
            }
        )
        kept = {"id": f"number_of_{name}", "object": "double.number", "created": now}
        self._shelf.put({**kept, "number": number})
        return name

    def card(self, method: str, *, off_session: bool) -> Card | None:
        """What a card does: one that was left, or a test card; None for any other."""
        kept = self._shelf.get("double.number", f"number_of_{method}")
        if kept is None and not off_session:
            return card_of(method)
        return left_card(kept["number"] if kept else method)

    def prepared(self, customer: str, method: str) -> Thing:
        """A setup intent that came to a saved card."""
        intent: Thing = {
            "id": new_id("seti"),
            "object": "setup_intent",
            "created": int(self._webhooks.now()),
            "customer": customer,
            "livemode": False,
            "metadata": {},
            "payment_method": method,
            "payment_method_types": ["card"],
            "status": "succeeded",
            "usage": "off_session",
        }
        self._shelf.put(intent)
        self._webhooks.tell("setup_intent.succeeded", intent)
        return intent
