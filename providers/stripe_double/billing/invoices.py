"""Invoices: what is to be paid for a period, or a change within one, and the tries to take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.stripe_double.errors import Refused
from providers.stripe_double.webhooks import new_id

if TYPE_CHECKING:
    from providers.stripe_double.billing.customers import Customers
    from providers.stripe_double.payments import Payments
    from providers.stripe_double.shelf import Shelf
    from providers.stripe_double.webhooks import Webhooks

    Thing = dict[str, Any]

DAY = 86_400
RETRIES = (DAY, 3 * DAY)
"""After a try that failed; then nobody tries any more."""


class Invoices:
    """One for the double; each method is called within an act of the shelf."""

    def __init__(
        self, shelf: Shelf, webhooks: Webhooks, payments: Payments, customers: Customers
    ) -> None:
        """What is written goes to the shelf, what happens is told by webhooks."""
        self._shelf, self._webhooks = shelf, webhooks
        self._payments, self._customers = payments, customers

    def make(self, subscription: Thing, reason: str, lines: list[Thing]) -> Thing:
        """An invoice that is open; `lines` are those of `line`."""
        name, now = new_id("in"), int(self._webhooks.now())
        total = sum(each["amount"] for each in lines)
        due = max(total, 0)
        page = f"https://invoice.stripe.com/i/{name}"
        invoice: Thing = {
            "id": name,
            "object": "invoice",
            "amount_due": due,
            "amount_overpaid": 0,
            "amount_paid": 0,
            "amount_paid_off_stripe": 0,
            "amount_remaining": due,
            "amount_shipping": 0,
            "attempt_count": 0,
            "attempted": False,
            "auto_advance": True,
            "automatic_tax": {"enabled": subscription["automatic_tax"]["enabled"]},
            "billing_reason": reason,
            "collection_method": "charge_automatically",
            "created": now,
            "currency": subscription["currency"],
            "customer": subscription["customer"],
            "default_tax_rates": [],
            "discounts": [],
            "hosted_invoice_url": page,
            "invoice_pdf": f"{page}/pdf",
            "issuer": {"type": "self"},
            "lines": {
                "object": "list",
                "data": lines,
                "has_more": False,
                "url": f"/v1/invoices/{name}/lines",
            },
            "livemode": False,
            "metadata": {},
            "next_payment_attempt": None,
            "number": f"G-{name[-8:].upper()}",
            "parent": {
                "quote_details": None,
                "subscription_details": {
                    "metadata": subscription["metadata"],
                    "subscription": subscription["id"],
                },
                "type": "subscription_details",
            },
            "payment_settings": {
                "default_mandate": None,
                "payment_method_options": None,
                "payment_method_types": None,
            },
            "period_end": now,
            "period_start": now,
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "starting_balance": 0,
            "status": "open",
            "status_transitions": {
                "finalized_at": now,
                "marked_uncollectible_at": None,
                "paid_at": None,
                "voided_at": None,
            },
            "subtotal": total,
            "total": total,
            "total_taxes": [],
        }
        return self._shelf.put(invoice)

    def take(self, invoice: Thing, method: str, *, off_session: bool = True) -> bool:
        """One try to take what is due; whether it is paid. Both are told."""
        card = self._customers.card(method, off_session=off_session)
        invoice["attempt_count"] += 1
        invoice["attempted"] = True
        if card is None or (invoice["amount_due"] and not self._charged(invoice, card)):
            tried = invoice["attempt_count"]
            wait = RETRIES[tried - 1] if tried <= len(RETRIES) else None
            now = int(self._webhooks.now())
            invoice["next_payment_attempt"] = None if wait is None else now + wait
            self._shelf.put(invoice)
            self._webhooks.tell("invoice.payment_failed", invoice)
            return False
        invoice.update(
            status="paid",
            amount_paid=invoice["amount_due"],
            amount_remaining=0,
            next_payment_attempt=None,
        )
        invoice["status_transitions"]["paid_at"] = int(self._webhooks.now())
        self._shelf.put(invoice)
        self._webhooks.tell("invoice.paid", invoice)
        return True

    def void(self, invoice: Thing) -> None:
        """Nobody tries any more."""
        invoice.update(status="void", next_payment_attempt=None, auto_advance=False)
        self._shelf.put(invoice)

    def _charged(self, invoice: Thing, card: Any) -> bool:
        asked = {
            "amount": str(max(invoice["amount_due"], 50)),
            "currency": invoice["currency"],
            "customer": invoice["customer"],
            "description": "Subscription",
        }
        intent = self._payments.create_intent(asked, None)
        payment = self._shelf.put(_payment(invoice, intent))
        try:
            self._payments.pay(intent, card)
        except Refused:
            return False
        payment.update(status="paid", amount_paid=intent["amount"])
        payment["status_transitions"]["paid_at"] = int(self._webhooks.now())
        self._shelf.put(payment)
        return True


def _payment(invoice: Thing, intent: Thing) -> Thing:
    """What says which intent is for which invoice; neither of them does."""
    return {
        "id": new_id("inpay"),
        "object": "invoice_payment",
        "amount_paid": None,
        "amount_requested": intent["amount"],
        "created": intent["created"],
        "currency": invoice["currency"],
        "invoice": invoice["id"],
        "is_default": True,
        "livemode": False,
        "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
        "status": "open",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }


def line(
    item: Thing, price: Thing, period: tuple[int, int], amount: int, *, prorated: bool = False
) -> Thing:
    """A line for a subscription's item; `amount` may be given back, below nought."""
    return {
        "id": new_id("il"),
        "object": "line_item",
        "amount": amount,
        "currency": price["currency"],
        "description": f"{price['product']}{', the rest of a period' if prorated else ''}",
        "discountable": not prorated,
        "discounts": [],
        "livemode": False,
        "metadata": {},
        "parent": {
            "invoice_item_details": None,
            "subscription_item_details": {
                "invoice_item": None,
                "proration": prorated,
                "proration_details": None,
                "subscription": item["subscription"],
                "subscription_item": item["id"],
            },
            "type": "subscription_item_details",
        },
        "period": {"end": period[1], "start": period[0]},
        "pricing": {
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": str(price["unit_amount"]),
        },
        "quantity": item["quantity"],
        "subtotal": amount,
    }
