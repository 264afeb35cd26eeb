"""Subscriptions: begun, changed with proration, renewed by the calendar, cancelled, or unpaid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.stripe_double.billing.calendar import months_after
from providers.stripe_double.billing.invoices import line
from providers.stripe_double.errors import Refused, invalid
from providers.stripe_double.returns import metadata_of
from providers.stripe_double.webhooks import new_id

if TYPE_CHECKING:
    from providers.stripe_double.billing.invoices import Invoices
    from providers.stripe_double.payments import Payments
    from providers.stripe_double.shelf import Shelf
    from providers.stripe_double.webhooks import Webhooks

    Thing = dict[str, Any]

GOING = ("active", "past_due")


class Subscriptions:
    """One for the double; each method is called within an act of the shelf."""

    def __init__(
        self, shelf: Shelf, webhooks: Webhooks, payments: Payments, invoices: Invoices
    ) -> None:
        """What is written goes to the shelf, what happens is told by webhooks."""
        self._shelf, self._webhooks = shelf, webhooks
        self._payments, self._invoices = payments, invoices

    def begin(self, customer: str, price: Thing, method: str, asked: Thing) -> tuple[Thing, Thing]:
        """One whose first period is paid, and its invoice; raises Refused 402 for a decline."""
        now, name = int(self._webhooks.now()), new_id("sub")
        item: Thing = {
            "id": new_id("si"),
            "object": "subscription_item",
            "created": now,
            "current_period_end": months_after(now, 1),
            "current_period_start": now,
            "discounts": [],
            "metadata": {},
            "price": price,
            "quantity": 1,
            "subscription": name,
        }
        subscription: Thing = {
            "id": name,
            "object": "subscription",
            "automatic_tax": {"disabled_reason": None, "enabled": False, "liability": None},
            "billing_cycle_anchor": now,
            "billing_mode": {"type": "classic"},
            "billing_schedules": [],
            "cancel_at_period_end": False,
            "canceled_at": None,
            "collection_method": "charge_automatically",
            "created": now,
            "currency": price["currency"],
            "customer": customer,
            "default_payment_method": method,
            "discounts": [],
            "ended_at": None,
            "invoice_settings": {"issuer": {"type": "self"}},
            "items": {
                "object": "list",
                "data": [item],
                "has_more": False,
                "url": f"/v1/subscription_items?subscription={name}",
            },
            "latest_invoice": None,
            "livemode": False,
            "metadata": metadata_of(asked.get("metadata")),
            "start_date": now,
            "status": "incomplete",
        }
        self._keep(subscription, "customer.subscription.created")
        period = now, item["current_period_end"]
        lines = [line(item, price, period, price["unit_amount"])]
        invoice = self._invoices.make(subscription, "subscription_create", lines)
        subscription["latest_invoice"] = invoice["id"]
        if not self._invoices.take(invoice, method):
            subscription["status"] = "incomplete_expired"
            self._keep(subscription, "customer.subscription.updated")
            raise Refused(402, "card_error", "Your card was declined.", code="card_declined")
        subscription["status"] = "active"
        self._keep(subscription, "customer.subscription.updated")
        return subscription, invoice

    def update(self, name: str, asked: Thing) -> Thing:
        """POST /v1/subscriptions/{id}; raises Refused."""
        subscription = self._going(name)
        if "cancel_at_period_end" in asked:
            subscription["cancel_at_period_end"] = asked["cancel_at_period_end"] == "true"
        if items := asked.get("items"):
            self._reprice(subscription, items[0], asked)
        return self._keep(subscription, "customer.subscription.updated")

    def _reprice(self, subscription: Thing, wanted: Thing, asked: Thing) -> None:
        item = subscription["items"]["data"][0]
        if wanted.get("id") != item["id"]:
            raise invalid("No such subscription item.", "items[0][id]")
        old, new = item["price"], self._payments.found("price", wanted.get("price", ""))
        begins, ends = item["current_period_start"], item["current_period_end"]
        now = int(self._webhooks.now())
        behaviour = asked.get("proration_behavior", "create_prorations")
        if behaviour == "always_invoice":
            rest, whole = ends - now, ends - begins
            lines = [
                line(item, old, (now, ends), -(old["unit_amount"] * rest // whole), prorated=True),
                line(item, new, (now, ends), new["unit_amount"] * rest // whole, prorated=True),
            ]
            invoice = self._invoices.make(subscription, "subscription_update", lines)
            if not self._invoices.take(invoice, subscription["default_payment_method"]):
                self._invoices.void(invoice)
                raise Refused(402, "card_error", "Your card was declined.", code="card_declined")
            subscription["latest_invoice"] = invoice["id"]
        elif behaviour != "none":
            text = "The double knows proration_behavior always_invoice and none."
            raise invalid(text, "proration_behavior")
        item["price"] = new

    def cancel(self, name: str) -> Thing:
        """DELETE /v1/subscriptions/{id}: at once, and nothing is given back."""
        return self._end(self._going(name))

    def renew_due(self) -> None:
        """Whatever is due by the clock: one step of each."""
        now = int(self._webhooks.now())
        for each in self._shelf.newest("subscription"):
            if each["status"] in GOING:
                self._renew(each, now)

    def _renew(self, subscription: Thing, now: int) -> None:
        item = subscription["items"]["data"][0]
        invoice = self._payments.found("invoice", subscription["latest_invoice"])
        again = invoice["next_payment_attempt"]
        if subscription["status"] == "past_due":
            if again is not None and again <= now:
                self._take(subscription, invoice)
                self._keep(subscription, "customer.subscription.updated")
            elif again is None:
                self._invoices.void(invoice)
                self._end(subscription)
            return
        if item["current_period_end"] > now:
            return
        if subscription["cancel_at_period_end"]:
            self._end(subscription)
            return
        anchor, begins = subscription["billing_cycle_anchor"], item["current_period_end"]
        months = 1
        while months_after(anchor, months) <= begins:
            months += 1
        ends = months_after(anchor, months)
        item.update(current_period_start=begins, current_period_end=ends)
        price = item["price"]
        lines = [line(item, price, (begins, ends), price["unit_amount"])]
        invoice = self._invoices.make(subscription, "subscription_cycle", lines)
        subscription["latest_invoice"] = invoice["id"]
        self._take(subscription, invoice)
        self._keep(subscription, "customer.subscription.updated")

    def _take(self, subscription: Thing, invoice: Thing) -> None:
        paid = self._invoices.take(invoice, subscription["default_payment_method"])
        subscription["status"] = "active" if paid else "past_due"

    def _end(self, subscription: Thing) -> Thing:
        now = int(self._webhooks.now())
        subscription.update(status="canceled", canceled_at=now, ended_at=now)
        return self._keep(subscription, "customer.subscription.deleted")

    def _going(self, name: str) -> Thing:
        subscription = self._payments.found("subscription", name)
        if subscription["status"] not in GOING:
            text = f"This subscription is {subscription['status']}."
            raise invalid(text, code="resource_missing")
        return subscription

    def _keep(self, subscription: Thing, happened: str) -> Thing:
        self._shelf.put(subscription)
        self._webhooks.tell(happened, subscription)
        return subscription
