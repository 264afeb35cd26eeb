"""What a payment provider is, to those who sell credits."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from domain.payments.fiat import Fiat

PAYMENT_KEY = "gatewayz_payment_id"
"""The member of an object's metadata that names our payment."""


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

    async def thing(self, kind: str, name: str) -> dict[str, Any]:
        """A `payment_intent`, `checkout.session` or `event` as a JSON object."""
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
