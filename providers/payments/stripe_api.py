"""Stripe through its own SDK, without blocking; what it may take is bounded by `http`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import stripe

from providers.payments.http import REPLY_S, BoundedHttp
from providers.payments.port import (
    ASKED_BY_KEY,
    PAYMENT_KEY,
    REASON_KEY,
    REQUEST_KEY,
    Intent,
    NotThereError,
    OtherRequestError,
    Page,
    PaymentRefusedError,
    PaymentsUnavailableError,
    Session,
)
from providers.payments.returns import BALANCE, CHARGE, DISPUTE, PAYOUT, REFUND, intent_in, name_in
from providers.payments.told import EVENT, INTENT, SESSION, payment_named
from providers.payments.told_billing import INVOICE, SETUP, SUBSCRIPTION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from providers.payments.port import RefundWish, Wish

URL = "https://api.stripe.com"
RETRIES = 2
"""Of one request, by the SDK, under one idempotency key."""
PAGE_ROWS = 100
TYPES_MAX = 20
"""Stripe filters by so many types of events; where more are wanted, all are asked for."""
REASONS = frozenset({"duplicate", "fraudulent", "requested_by_customer"})
"""Reasons of a refund that Stripe knows itself."""
REFUSED = frozenset({400, 402, 404})
NOT_FOUND = 404

stripe.enable_telemetry = False


class Stripe:
    """One for each process."""

    def __init__(self, api_key: str, url: str = URL, reply_s: float = REPLY_S) -> None:
        """Nothing is connected before the first request."""
        client, self._http = client_of(api_key, url, reply_s)
        self._sessions = client.v1.checkout.sessions
        self._intents = client.v1.payment_intents
        # Each of these has `retrieve_async` and `list_async`.
        self._services: dict[str, Any] = {
            INTENT: self._intents,
            SESSION: self._sessions,
            EVENT: client.v1.events,
            REFUND: client.v1.refunds,
            DISPUTE: client.v1.disputes,
            CHARGE: client.v1.charges,
            BALANCE: client.v1.balance_transactions,
            PAYOUT: client.v1.payouts,
            SUBSCRIPTION: client.v1.subscriptions,
            INVOICE: client.v1.invoices,
            SETUP: client.v1.setup_intents,
        }
        self._refunds = client.v1.refunds
        self._invoice_payments = client.v1.invoice_payments

    async def open_session(self, wish: Wish) -> Session:
        """A page on which somebody can pay; raises PaymentsUnavailableError, PaymentRefusedError.

        Stripe answers the same for the same payment for a day at least.
        """
        named = {**wish.metadata, PAYMENT_KEY: wish.payment_id}
        product = {"name": wish.name}
        price = {"currency": wish.price.currency, "unit_amount": wish.price.minor}
        params: Any = {
            "mode": "payment",
            "line_items": [{"quantity": 1, "price_data": {**price, "product_data": product}}],
            "client_reference_id": wish.payment_id,
            "success_url": wish.success_url,
            "cancel_url": wish.cancel_url,
            "metadata": named,
            "payment_intent_data": {"metadata": named, **_described(wish)},
        }
        if wish.customer:
            # The customer's own address counts then, and Stripe refuses another.
            params["customer"] = wish.customer
        elif wish.email:
            params["customer_email"] = wish.email
        with told():
            key: Any = {"idempotency_key": f"gatewayz-{wish.payment_id}-checkout"}
            return session_of(await self._sessions.create_async(params, key))

    async def open_intent(self, wish: Wish) -> Intent:
        """An intent for a page of the caller's own; raises as `open_session`."""
        params: Any = {
            "amount": wish.price.minor,
            "currency": wish.price.currency,
            "metadata": {**wish.metadata, PAYMENT_KEY: wish.payment_id},
            **_described(wish),
        }
        if wish.email:
            params["receipt_email"] = wish.email
        if wish.method_types:
            params["payment_method_types"] = list(wish.method_types)
        else:
            params["automatic_payment_methods"] = {"enabled": True}
        with told():
            key: Any = {"idempotency_key": f"gatewayz-{wish.payment_id}-intent"}
            return _intent_of(await self._intents.create_async(params, key))

    async def refund(self, wish: RefundWish) -> dict[str, Any]:
        """Give money back; raises as `open_session`, PaymentRefusedError for more than is left."""
        named = {REQUEST_KEY: wish.request_id, ASKED_BY_KEY: wish.asked_by}
        params: Any = {
            "payment_intent": wish.intent_id,
            "amount": wish.minor,
            "metadata": {**wish.metadata, **named, REASON_KEY: wish.reason},
        }
        if wish.reason in REASONS:
            params["reason"] = wish.reason
        with told():
            key: Any = {"idempotency_key": f"gatewayz-{wish.request_id}-refund"}
            return plain(await self._refunds.create_async(params, key))

    async def refunds_of(self, intent_id: str) -> list[dict[str, Any]]:
        """The refunds of an intent; raises as `open_session`."""
        params: Any = {"payment_intent": intent_id, "limit": PAGE_ROWS}
        with told():
            return [plain(each) for each in (await self._refunds.list_async(params)).data]

    async def invoice_paid_by(self, intent_id: str) -> str:
        """The invoice that an intent is for, empty for none; raises as `open_session`."""
        payment = {"type": INTENT, "payment_intent": intent_id}
        params: Any = {"payment": payment, "limit": 1}
        with told():
            found = (await self._invoice_payments.list_async(params)).data
            return name_in(plain(found[0]).get("invoice")) if found else ""

    async def intent_paying(self, invoice_id: str) -> str:
        """The intent that paid an invoice, empty for none; raises as `open_session`."""
        params: Any = {"invoice": invoice_id, "status": "paid", "limit": 1}
        with told():
            found = (await self._invoice_payments.list_async(params)).data
            payment = plain(found[0]).get("payment") if found else None
            return intent_in(payment) if isinstance(payment, dict) else ""

    async def session(self, session_id: str) -> Session:
        """A session as it is now; raises as `open_session`, and NotThereError."""
        with told():
            return session_of(await self._sessions.retrieve_async(session_id))

    async def intent(self, intent_id: str) -> Intent:
        """An intent as it is now; raises as `session`."""
        with told():
            return _intent_of(await self._intents.retrieve_async(intent_id))

    async def fingerprint(self, intent_id: str) -> str:
        """Of the card, by its latest charge; empty for other means. Raises as `session`."""
        with told():
            charge = plain(await self._intents.retrieve_async(intent_id)).get("latest_charge")
            if not isinstance(charge, str):
                return ""
            details = plain(await self._service(CHARGE).retrieve_async(charge))
            of_card = (details.get("payment_method_details") or {}).get("card") or {}
            return str(of_card.get("fingerprint") or "")

    async def thing(self, kind: str, name: str) -> dict[str, Any]:
        """An object as JSON; raises as `session`."""
        service = self._service(kind)
        with told():
            return plain(await service.retrieve_async(name))

    async def listed(
        self, kind: str, since: int, until: int, after: str = "", types: Sequence[str] = ()
    ) -> Page:
        """A page, newest first; raises as `open_session`."""
        params: Any = {"created": {"gte": since, "lte": until}, "limit": PAGE_ROWS}
        if after:
            params["starting_after"] = after
        if 0 < len(types) <= TYPES_MAX:
            params["types"] = list(types)
        service = self._service(kind)
        with told():
            found = await service.list_async(params)
            return Page([plain(each) for each in found.data], bool(found.has_more))

    def _service(self, kind: str) -> Any:
        """The SDK's part for objects of a kind; raises NotThereError."""
        if kind not in self._services:
            message = f"Nothing is asked of Stripe about a {kind[:40]!r}"
            raise NotThereError(message)
        return self._services[kind]

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close_async()


def client_of(
    api_key: str, url: str = URL, reply_s: float = REPLY_S
) -> tuple[stripe.StripeClient, BoundedHttp]:
    """The SDK's client, and what it sends by."""
    http = BoundedHttp(reply_s)
    client = stripe.StripeClient(
        api_key,
        base_addresses={"api": url},
        http_client=http,
        max_network_retries=RETRIES,
    )
    return client, http


@contextmanager
def told() -> Iterator[None]:
    """What the SDK raises, as the port's errors: never with our key, or what was sent."""
    try:
        yield
    except stripe.IdempotencyError:
        message = "Stripe was asked for another payment under this key before"
        raise OtherRequestError(message) from None
    except stripe.StripeError as error:
        status = error.http_status or 0
        if status not in REFUSED:
            reason = f"answers {status}" if status else "cannot be reached"
            message = f"Stripe {reason} ({type(error).__name__})"
            raise PaymentsUnavailableError(message) from None
        said = str(error.user_message or "Stripe refuses it")[:500]
        kind = NotThereError if status == NOT_FOUND else PaymentRefusedError
        raise kind(said) from None
    except (AttributeError, TypeError, KeyError):
        message = "Stripe answers what is none of its objects"
        raise PaymentsUnavailableError(message) from None


def _described(wish: Wish) -> dict[str, str]:
    return {"description": wish.description} if wish.description else {}


def plain(thing: Any) -> dict[str, Any]:
    """An object of the SDK's as JSON has it."""
    found: dict[str, Any] = thing.to_dict()
    return found


def session_of(found: stripe.checkout.Session) -> Session:
    """A checkout session as the port has it."""
    return Session(
        found.id,
        found.url,
        found.status or "",
        found.payment_status,
        found.amount_total or 0,
        found.currency or "",
        found.expires_at,
        found.customer_email or _address_of(found),
        str(found.payment_intent or ""),
    )


def _address_of(found: stripe.checkout.Session) -> str | None:
    """Of the customer, where the session has one."""
    details = found.customer_details
    return None if details is None else details.email


def _intent_of(found: stripe.PaymentIntent) -> Intent:
    action = found.next_action
    return Intent(
        found.id,
        found.client_secret,
        found.status,
        found.amount,
        found.currency,
        None if found.customer is None else str(found.customer),
        None if found.payment_method is None else str(found.payment_method),
        None if action is None else plain(action),
        payment_named(plain(found)),
        found.amount_received or 0,
    )
