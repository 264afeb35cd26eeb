"""Stripe's customers, subscriptions, portal and invoices, through its own SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import stripe

from providers.payments.billing import ACCOUNT_KEY, Charge, Standing
from providers.payments.port import PAYMENT_KEY, Page, PaymentRefusedError
from providers.payments.stripe_api import URL, client_of, plain, session_of, told

if TYPE_CHECKING:
    from providers.payments.billing import OffSession, SessionWish
    from providers.payments.port import Session

FAILURE_CHARACTERS_MAX = 64


class StripeBilling:
    """One for each process."""

    def __init__(self, api_key: str, url: str = URL) -> None:
        """Nothing is connected before the first request."""
        client, self._http = client_of(api_key, url)
        self._customers, self._sessions = client.v1.customers, client.v1.checkout.sessions
        self._subscriptions, self._invoices = client.v1.subscriptions, client.v1.invoices
        self._intents = client.v1.payment_intents
        self._portal = client.v1.billing_portal.sessions

    async def create_customer(self, account_id: str) -> str:
        """The customer of an account; raises PaymentsUnavailableError, PaymentRefusedError.

        Nothing but the account is told, so that asking again is the same request.
        """
        params: Any = {"metadata": {ACCOUNT_KEY: account_id}}
        with told():
            key: Any = {"idempotency_key": f"gatewayz-{account_id}-customer"}
            return (await self._customers.create_async(params, key)).id

    async def address_customer(self, customer_id: str, email: str) -> None:
        """Another address for receipts; raises as `create_customer`."""
        with told():
            await self._customers.update_async(customer_id, {"email": email})

    async def open_session(self, wish: SessionWish) -> Session:
        """A page to subscribe on, or to save a card; raises as `create_customer`."""
        ours = {**wish.metadata, ACCOUNT_KEY: wish.account_id}
        params: Any = {
            "customer": wish.customer_id,
            "client_reference_id": wish.account_id,
            "success_url": wish.success_url,
            "cancel_url": wish.cancel_url,
            "metadata": ours,
        }
        if wish.price_id:
            params["mode"] = "subscription"
            params["line_items"] = [{"price": wish.price_id, "quantity": 1}]
            params["subscription_data"] = {"metadata": ours}
            if wish.taxed:
                params["automatic_tax"] = {"enabled": True}
                params["tax_id_collection"] = {"enabled": True}
                params["customer_update"] = {"address": "auto", "name": "auto"}
        else:
            params["mode"] = "setup"
            params["currency"] = "usd"
        with told():
            key: Any = {"idempotency_key": wish.key}
            return session_of(await self._sessions.create_async(params, key))

    async def open_portal(self, customer_id: str, return_url: str) -> str:
        """The address of the portal; raises as `create_customer`."""
        params: Any = {"customer": customer_id, "return_url": return_url}
        with told():
            return (await self._portal.create_async(params)).url

    async def change(self, subscription_id: str, price_id: str, *, at_once: bool) -> Standing:
        """Another price; raises as `create_customer`, and PaymentRefusedError for a decline.

        Asked again it changes nothing: a price that is the same already has no proration.
        """
        found = await self.subscription(subscription_id)
        items = found.get("items", {}).get("data") or [{}]
        if items[0].get("price", {}).get("id") == price_id:
            return _standing(found)
        params: Any = {
            "items": [{"id": items[0].get("id", ""), "price": price_id}],
            "proration_behavior": "always_invoice" if at_once else "none",
            "payment_behavior": "error_if_incomplete",
        }
        with told():
            return _standing(plain(await self._subscriptions.update_async(subscription_id, params)))

    async def cancel(self, subscription_id: str) -> Standing:
        """It ends now; raises as `create_customer`."""
        with told():
            return _standing(plain(await self._subscriptions.cancel_async(subscription_id)))

    async def cancel_at_end(self, subscription_id: str, *, ends: bool) -> Standing:
        """It ends with its period, or goes on after all; raises as `create_customer`."""
        params: Any = {"cancel_at_period_end": ends}
        with told():
            return _standing(plain(await self._subscriptions.update_async(subscription_id, params)))

    async def subscription(self, subscription_id: str) -> dict[str, Any]:
        """A subscription as it is now; raises as `create_customer`, and NotThereError."""
        with told():
            return plain(await self._subscriptions.retrieve_async(subscription_id))

    async def charge(self, wish: OffSession) -> Charge:
        """Charge a saved card; raises PaymentsUnavailableError, and PaymentRefusedError for what
        Stripe does not even try.
        """
        params: Any = {
            "amount": wish.price.minor,
            "currency": wish.price.currency,
            "customer": wish.customer_id,
            "payment_method": wish.method_id,
            "payment_method_types": ["card"],
            "off_session": True,
            "confirm": True,
            "description": wish.description,
            "metadata": {PAYMENT_KEY: wish.payment_id},
        }
        with told():
            key: Any = {"idempotency_key": f"gatewayz-{wish.payment_id}-off-session"}
            try:
                return Charge(plain(await self._intents.create_async(params, key)))
            except stripe.CardError as error:
                return Charge({}, str(error.code or "card_declined")[:FAILURE_CHARACTERS_MAX])

    async def invoices(self, customer_id: str, limit: int, after: str = "") -> Page:
        """A page, newest first; raises as `create_customer`."""
        params: Any = {"customer": customer_id, "limit": limit}
        if after:
            params["starting_after"] = after
        with told():
            found = await self._invoices.list_async(params)
            return Page([plain(each) for each in found.data], bool(found.has_more))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()


def _standing(found: dict[str, Any]) -> Standing:
    items = found.get("items", {}).get("data") or [{}]
    name = found.get("id")
    if not isinstance(name, str):
        message = "Stripe names no subscription"
        raise PaymentRefusedError(message)
    return Standing(
        name,
        str(found.get("status")),
        str(items[0].get("price", {}).get("id")),
        int(items[0].get("current_period_end") or found.get("current_period_end") or 0),
        found.get("cancel_at_period_end") is True,
    )
