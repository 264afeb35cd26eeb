"""What a payment provider is to those who pay again and again: customers and subscriptions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.payments.fiat import Fiat
    from providers.payments.port import Page, Session

ACCOUNT_KEY = "gatewayz_account_id"
"""The member of a customer's and a subscription's metadata that names our account, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionWish:
    """A page on which a customer begins a subscription; without a price, one to save a card.

    `key` is asked under: the same again gives the same page.
    """

    account_id: str
    customer_id: str
    key: str
    price_id: str = ""
    success_url: str = ""
    cancel_url: str = ""
    taxed: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict)


class Standing(NamedTuple):
    """A subscription as it is now."""

    id: str
    status: str
    price_id: str
    period_ends: int
    cancels_at_end: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OffSession:
    """A charge of a saved card while its owner is away; for a payment there is one."""

    payment_id: str
    price: Fiat
    customer_id: str
    method_id: str
    description: str


class Charge(NamedTuple):
    """What became of it: the payment intent as a JSON object, or the provider's code of why not."""

    intent: Mapping[str, Any]
    failure: str = ""


class BillingProvider(Protocol):
    """Takes money again and again. All raise PaymentsUnavailableError and PaymentRefusedError."""

    async def create_customer(self, account_id: str) -> str:
        """The customer that an account is; asked again the same."""
        ...

    async def address_customer(self, customer_id: str, email: str) -> None:
        """A customer's address for receipts is another."""
        ...

    async def open_session(self, wish: SessionWish) -> Session:
        """A page to subscribe on, or to save a card."""
        ...

    async def open_portal(self, customer_id: str, return_url: str) -> str:
        """The address of a page on which a customer sees to cards, invoices and subscriptions."""
        ...

    async def change(self, subscription_id: str, price_id: str, *, at_once: bool) -> Standing:
        """Another price from now on: what is dearer is taken at once, or nothing is."""
        ...

    async def cancel(self, subscription_id: str) -> Standing:
        """It ends now; nothing is given back."""
        ...

    async def cancel_at_end(self, subscription_id: str, *, ends: bool) -> Standing:
        """It ends with its period, or goes on after all."""
        ...

    async def subscription(self, subscription_id: str) -> dict[str, Any]:
        """A subscription as a JSON object, as it is now."""
        ...

    async def charge(self, wish: OffSession) -> Charge:
        """Charge a saved card. Who asks again within a day is told what became of it then."""
        ...

    async def invoices(self, customer_id: str, limit: int, after: str = "") -> Page:
        """A page of a customer's invoices as JSON objects, newest first, older than `after`."""
        ...

    async def close(self) -> None:
        """Let go of what is open."""
        ...
