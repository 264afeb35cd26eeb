"""Checkout sessions that begin a subscription or save a card, and the portal's sessions."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from providers.stripe_double.billing.customers import Customers
from providers.stripe_double.billing.invoices import Invoices
from providers.stripe_double.billing.products import put_products
from providers.stripe_double.billing.subscriptions import GOING, Subscriptions
from providers.stripe_double.cards import CARDS, card_of
from providers.stripe_double.errors import Refused, invalid
from providers.stripe_double.webhooks import new_id

if TYPE_CHECKING:
    from providers.stripe_double.cards import Card
    from providers.stripe_double.payments import Payments
    from providers.stripe_double.shelf import Shelf
    from providers.stripe_double.webhooks import Webhooks

    Thing = dict[str, Any]

PORTAL = "/p/session/"
SUBSCRIPTION, SETUP = "subscription", "setup"


class Billing:
    """One for the double; each method is called within an act of the shelf."""

    def __init__(self, shelf: Shelf, webhooks: Webhooks, payments: Payments) -> None:
        """`base` is where the pages are, which is known once the server listens."""
        self._shelf, self._webhooks, self._payments = shelf, webhooks, payments
        self.customers = Customers(shelf, webhooks, payments)
        invoices = Invoices(shelf, webhooks, payments, self.customers)
        self.subscriptions = Subscriptions(shelf, webhooks, payments, invoices)
        payments.card = self.customers.card
        self.base = ""
        with shelf.act():
            put_products(shelf, int(webhooks.now()))

    def total(self, asked: Thing) -> tuple[int | None, str]:
        """What a session takes at once, and its currency; raises Refused."""
        if not asked.get("customer"):
            raise invalid("The double wants a customer.", "customer")
        self._payments.found("customer", asked["customer"])
        if asked["mode"] == SETUP:
            return None, str(asked.get("currency", "usd"))
        price = self._price(asked.get("line_items"))
        return price["unit_amount"], price["currency"]

    def _price(self, items: Any) -> Thing:
        if not isinstance(items, list) or len(items) != 1 or items[0].get("quantity") != "1":
            raise invalid("The double takes exactly one line item, of quantity 1.", "line_items")
        price = self._payments.found("price", str(items[0].get("price", "")))
        if price["type"] != "recurring":
            raise invalid("You must provide at least one recurring price.", "line_items")
        return price

    def pay(self, opened: Thing, number: str, asked: Thing) -> Thing:
        """A person gives a card on the session's page; raises Refused 402 for a decline."""
        card = card_of(number)
        plain = "".join(number.split())
        if card is None or plain not in CARDS:
            raise Refused(402, "card_error", "This is no test card.", code="incorrect_number")
        if card.authentication:
            opened["double_number"] = plain
            return self._shelf.put(opened)
        return self._complete(opened, plain, card, asked)

    def prove(self, opened: Thing, asked: Thing, *, agreed: bool) -> Thing:
        """The owner of the card answers 3-D Secure; raises Refused 402."""
        number = opened.pop("double_number", "")
        if not number:
            raise invalid("Nothing was paid with yet.")
        if not agreed:
            self._shelf.put(opened)
            text = "The provided PaymentMethod has failed authentication."
            raise Refused(402, "card_error", text, code="payment_intent_authentication_failure")
        return self._complete(opened, number, CARDS[number], asked)

    def _complete(self, opened: Thing, number: str, card: Card, asked: Thing) -> Thing:
        customer = opened["customer"]
        if opened["mode"] == SETUP:
            method = self.customers.leave(customer, number)
            intent = self.customers.prepared(customer, method)
            opened.update(setup_intent=intent["id"], payment_status="no_payment_required")
        else:
            if card.declined:
                raise Refused(402, "card_error", card.message, code=card.code)
            # Its owner is here, and was asked: what the card does when left comes later.
            method = self.customers.leave(customer, "4242424242424242")
            price, data = self._price(asked["line_items"]), asked.get("subscription_data") or {}
            subscription, invoice = self.subscriptions.begin(customer, price, method, data)
            self._shelf.put({**self._number(method), "number": number})
            opened.update(
                subscription=subscription["id"], invoice=invoice["id"], payment_status="paid"
            )
        opened["status"] = "complete"
        return self._shelf.put(opened)

    def _number(self, method: str) -> Thing:
        return self._payments.found("double.number", f"number_of_{method}")

    def open_portal(self, asked: Thing, _: str | None) -> Thing:
        """POST /v1/billing_portal/sessions."""
        customer = self._payments.found("customer", asked.get("customer", ""))
        name = new_id("bps")
        return self._shelf.put(
            {
                "id": name,
                "object": "billing_portal.session",
                "configuration": "bpc_double",
                "created": int(self._webhooks.now()),
                "customer": customer["id"],
                "customer_account": None,
                "flow": None,
                "livemode": False,
                "locale": None,
                "on_behalf_of": None,
                "return_url": asked.get("return_url"),
                "url": f"{self.base}{PORTAL}{name}",
            }
        )

    def portal(self, path: str, *, act: bool) -> bytes:
        """The portal's page; `act` cancels at the end of the period, as its button does.

        Raises Refused.
        """
        session = self._payments.found("billing_portal.session", path.partition("/")[0])
        rows = []
        for found in self._shelf.newest("subscription"):
            if found["customer"] == session["customer"] and found["status"] in GOING:
                end = {"cancel_at_period_end": "true"}
                each = self.subscriptions.update(found["id"], end) if act else found
                ends = "ends with its period" if each["cancel_at_period_end"] else each["status"]
                rows.append(f"<li>{escape(each['id'])}: {escape(ends)}</li>")
        action = escape(f"{PORTAL}{session['id']}/cancel")
        return (
            '<!doctype html><html lang="en"><meta charset="utf-8"><title>Demo portal</title>'
            f"<h1>Subscriptions</h1><ul>{''.join(rows)}</ul>"
            f'<form method="post" action="{action}"><button>Cancel</button></form></html>'
        ).encode()
