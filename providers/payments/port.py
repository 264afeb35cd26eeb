"""What a payment provider is, to those who sell credits."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from domain.payments.fiat import Fiat

PAYMENT_KEY = "gatewayz_payment_id"
"""The member of an object's metadata that names our payment."""
REQUEST_KEY, ASKED_BY_KEY = "gatewayz_refund_id", "gatewayz_asked_by"
"""Members of a refund's metadata: what it came of here, and the user who asked for it."""
REASON_KEY = "gatewayz_reason"
"""The reason of who asked for a refund, in their words."""


class PaymentsUnavailableError(Exception):
    """The provider is away, or refuses our key: try again. It may have done what was asked."""


class PaymentRefusedError(Exception):
    """The provider refuses what was asked, in words for who asked."""


class OtherRequestError(PaymentRefusedError):
    """The same idempotency key was used for another request before."""


class NotThereError(PaymentRefusedError):
    """The provider has no such object."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the provider is asked to take. What callers say beside it is for the provider alone."""

    payment_id: str
    price: Fiat
    name: str
    description: str = ""
    email: str = ""
    success_url: str = ""
    cancel_url: str = ""
    method_types: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    customer: str = ""
    """The customer that the account is at the provider; empty for none."""


class RefundWish(NamedTuple):
    """What is to be given back of a payment, and why; `request_id` is ours for the act."""

    request_id: str
    intent_id: str
    minor: int
    reason: str = ""
    asked_by: str = ""
    metadata: Mapping[str, str] = MappingProxyType({})


class Session(NamedTuple):
    """A checkout session."""

    id: str
    url: str | None
    status: str
    payment_status: str
    amount_total: int
    currency: str
    expires_at: int
    customer_email: str | None
    intent_id: str


class Intent(NamedTuple):
    """A payment intent."""

    id: str
    client_secret: str | None
    status: str
    amount: int
    currency: str
    customer: str | None
    payment_method: str | None
    next_action: dict[str, Any] | None
    payment_id: str
    """Ours, as the metadata name it; empty for none."""
    received: int


class Page(NamedTuple):
    """A page of a list, newest first, as JSON objects; and whether there are older ones."""

    rows: list[dict[str, Any]]
    more: bool


class PaymentProvider(Protocol):
    """Takes money. All raise PaymentsUnavailableError and PaymentRefusedError."""

    async def open_session(self, wish: Wish) -> Session:
        """A page on which somebody can pay; asked again the same."""
        ...

    async def open_intent(self, wish: Wish) -> Intent:
        """An intent that a page of the caller's own completes; asked again the same."""
        ...

    async def session(self, session_id: str) -> Session:
        """A session as it is now."""
        ...

    async def intent(self, intent_id: str) -> Intent:
        """An intent as it is now."""
        ...

    async def refund(self, wish: RefundWish) -> dict[str, Any]:
        """Give money back, as a JSON object of the refund; asked again the same."""
        ...

    async def fingerprint(self, intent_id: str) -> str:
        """What tells the card of a paid intent from others; empty where there is none."""
        ...

    async def thing(self, kind: str, name: str) -> dict[str, Any]:
        """A `payment_intent`, `checkout.session`, `event`, `refund` … as a JSON object."""
        ...

    async def refunds_of(self, intent_id: str) -> list[dict[str, Any]]:
        """The refunds of a payment intent as JSON objects, the newest first; a page of them."""
        ...

    async def invoice_paid_by(self, intent_id: str) -> str:
        """The invoice that a payment intent is for; empty for none."""
        ...

    async def intent_paying(self, invoice_id: str) -> str:
        """The payment intent that paid an invoice; empty for none."""
        ...

    async def listed(
        self, kind: str, since: int, until: int, after: str = "", types: Sequence[str] = ()
    ) -> Page:
        """A page of what came to be between two seconds, both included, older than `after`.

        Of events those of these types alone; of all where none is given.
        """
        ...

    async def close(self) -> None:
        """Let go of what is open."""
        ...
