"""Checkout sessions, in which a person pays on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from providers.stripe_double.billing.sessions import SETUP, SUBSCRIPTION
from providers.stripe_double.cards import card_of
from providers.stripe_double.errors import Refused, invalid
from providers.stripe_double.payments import currency_of
from providers.stripe_double.returns import amount_of, metadata_of
from providers.stripe_double.webhooks import new_id

if TYPE_CHECKING:
    from providers.stripe_double.billing.sessions import Billing
    from providers.stripe_double.payments import Payments, Thing
    from providers.stripe_double.shelf import Shelf
    from providers.stripe_double.webhooks import Webhooks

EXPIRES_S = 86_400
PAGES = "/c/pay/"
PAYMENT = "payment"


class Checkout:
    """One for the double; each method is called within an act of the shelf."""

    def __init__(
        self, shelf: Shelf, webhooks: Webhooks, payments: Payments, billing: Billing
    ) -> None:
        """`base` is where the pages are, which is known once the server listens."""
        self._shelf, self._webhooks, self._payments = shelf, webhooks, payments
        self._billing = billing
        self.base = ""

    def create(self, asked: Thing, key: str | None) -> Thing:
        """POST /v1/checkout/sessions."""
        if asked.get("mode") not in {PAYMENT, SUBSCRIPTION, SETUP}:
            raise invalid("Invalid mode: must be payment, setup or subscription", "mode")
        once = asked["mode"] == PAYMENT
        if asked.get("customer") and asked.get("customer_email"):
            text = "You may only specify one of these parameters: customer, customer_email."
            raise invalid(text, "customer_email")
        amount, currency = _total(asked) if once else self._billing.total(asked)
        inner = asked.get("payment_intent_data") or {}
        now, name = int(self._webhooks.now()), new_id("cs_test")
        opened: Thing = {
            "id": name,
            "object": "checkout.session",
            "amount_subtotal": amount,
            "amount_total": amount,
            "automatic_tax": {
                "enabled": False,
                "liability": None,
                "provider": None,
                "status": None,
            },
            "cancel_url": asked.get("cancel_url"),
            "client_reference_id": asked.get("client_reference_id"),
            "created": now,
            "currency": currency,
            "custom_fields": [],
            "custom_text": {
                "after_submit": None,
                "shipping_address": None,
                "submit": None,
                "terms_of_service_acceptance": None,
            },
            "customer": asked.get("customer"),
            "customer_details": self._billing.customers.details(asked.get("customer")),
            "customer_email": asked.get("customer_email"),
            "expires_at": now + EXPIRES_S,
            "livemode": False,
            "metadata": metadata_of(asked.get("metadata")),
            "mode": asked["mode"],
            "payment_intent": None,
            "payment_method_types": ["card"],
            "payment_status": "unpaid",
            "shipping_options": [],
            "status": "open",
            "success_url": asked.get("success_url"),
            "url": PAGES + name,
        }
        self._shelf.put(opened)
        # What the intent will be made of, once somebody pays.
        kept = {"id": f"for_{name}", "object": "double.intent_data", "created": now}
        self._shelf.put({**kept, "data": inner, "key": key, "asked": asked})
        return self.shown(opened)

    def shown(self, opened: Thing) -> Thing:
        """A session as it is answered: with the page's present address, none once it is over."""
        open_ = opened["status"] == "open"
        shown = {name: each for name, each in opened.items() if not name.startswith("double_")}
        return {**shown, "url": self.base + opened["url"] if open_ else None}

    def found(self, name: str) -> Thing:
        """A session as it is now; raises Refused 404."""
        opened = self._payments.found("checkout.session", name)
        if opened["status"] == "open" and opened["expires_at"] <= self._webhooks.now():
            return self._expire(opened)
        return opened

    def expire(self, name: str) -> Thing:
        """POST /v1/checkout/sessions/{id}/expire."""
        return self.shown(self._expire(self._open(name)))

    def expire_due(self) -> None:
        """End the sessions whose time is over."""
        for opened in self._shelf.newest("checkout.session"):
            self.found(opened["id"])

    def pay(self, name: str, number: str) -> Thing:
        """Somebody enters a card on the page; raises Refused 402 for a decline."""
        opened, card = self._open(name), card_of(number)
        if opened["mode"] != PAYMENT:
            return self._told(self._billing.pay(opened, number, self._asked(name)))
        if card is None:
            raise Refused(402, "card_error", "This is no test card.", code="incorrect_number")
        intent = self._intent(opened)
        intent["payment_method"] = new_id("pm")
        intent = self._payments.pay(intent, card)
        return self._complete(opened, intent)

    def prove(self, name: str, *, agreed: bool) -> Thing:
        """The owner of the card answers 3-D Secure on the page; raises Refused 402."""
        opened = self._open(name)
        if opened["mode"] != PAYMENT:
            asked = self._asked(name)
            return self._told(self._billing.prove(opened, asked, agreed=agreed))
        if opened["payment_intent"] is None:
            raise invalid("Nothing was paid with yet.")
        intent = self._payments.prove(opened["payment_intent"], agreed=agreed)
        return self._complete(opened, intent)

    def _complete(self, opened: Thing, intent: Thing) -> Thing:
        if intent["status"] == "succeeded":
            opened.update(status="complete", payment_status="paid")
            self._shelf.put(opened)
        return self._told(opened)

    def _told(self, opened: Thing) -> Thing:
        if opened["status"] == "complete":
            self._webhooks.tell("checkout.session.completed", self.shown(opened))
        return opened

    def _asked(self, name: str) -> Thing:
        kept: Thing = self._payments.found("double.intent_data", f"for_{name}")["asked"]
        return kept

    def _open(self, name: str) -> Thing:
        opened = self.found(name)
        if opened["status"] != "open":
            text = f"This Checkout Session is {opened['status']}."
            raise invalid(text)
        return opened

    def _expire(self, opened: Thing) -> Thing:
        if opened["payment_intent"]:
            self._payments.cancel(opened["payment_intent"], None)
        opened["status"] = "expired"
        self._shelf.put(opened)
        self._webhooks.tell("checkout.session.expired", self.shown(opened))
        return opened

    def _intent(self, opened: Thing) -> Thing:
        """The session's intent, made at the first try."""
        if opened["payment_intent"]:
            return self._payments.found("payment_intent", opened["payment_intent"])
        kept = self._payments.found("double.intent_data", f"for_{opened['id']}")
        asked = {**kept["data"], "amount": str(opened["amount_total"])}
        asked["currency"], asked["customer"] = opened["currency"], opened["customer"]
        intent = self._payments.create_intent(asked, None)
        opened["payment_intent"] = intent["id"]
        self._shelf.put(opened)
        return intent


def _total(asked: Thing) -> tuple[int, str]:
    items = asked.get("line_items")
    if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], dict):
        raise invalid("The double takes exactly one line item.", "line_items")
    price = items[0].get("price_data")
    if not isinstance(price, dict) or not isinstance(price.get("product_data"), dict):
        raise invalid("Missing required param: line_items[0][price_data].", "line_items")
    amount = amount_of(price.get("unit_amount"), "line_items[0][price_data][unit_amount]")
    return amount * amount_of(items[0].get("quantity"), "quantity", least=1), currency_of(price)
