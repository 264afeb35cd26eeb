"""What can be refunded, as the command sees it: a payment here, or what another room sold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from uuid import uuid5

from domain.payments.returns import refundable
from event_store.ids import new_uuid7

if TYPE_CHECKING:
    from collections.abc import Mapping

    from command_api.refunds.returning import Returning
    from domain.payments.payment import Payment
    from domain.payments.returned import Return
    from domain.payments.returns import ReturnSeen


class Paid(Protocol):
    """Something that was paid by one intent."""

    @property
    def intent_id(self) -> str:
        """Stripe's payment intent that paid it."""
        ...

    @property
    def names(self) -> Mapping[str, str | None]:
        """What a reply calls it: `payment_id` and `invoice_id`, one of them."""
        ...

    def request_id(self, key: str | None) -> str:
        """Ours for the act: the same for the same Idempotency-Key."""
        ...

    def asked(self, request_id: str) -> Return | None:
        """The refund that came of that request before."""
        ...

    def left(self, asked: int | None) -> int:
        """How much is refunded, in minor units; raises DomainError."""
        ...

    async def observe(self, seen: ReturnSeen) -> None:
        """It is refunded at Stripe: so here, with its credits; twice changes nothing."""
        ...


class Elsewhere(Protocol):
    """A room that sells what is no payment of its own here."""

    async def of_intent(self, intent_id: str, actor: str) -> Paid | None:
        """What an intent paid there; None for nothing. Raises as a provider does."""
        ...

    async def of_invoice(self, invoice_id: str, actor: str) -> Paid | None:
        """What an invoice is of; None for none of ours. Raises as a provider does."""
        ...


@dataclass(frozen=True, slots=True)
class PaidPayment:
    """A payment of credits."""

    payment: Payment
    intent_id: str
    returning: Returning

    @property
    def names(self) -> Mapping[str, str | None]:
        """By its own id."""
        return {"payment_id": str(self.payment.id), "invoice_id": None}

    def request_id(self, key: str | None) -> str:
        """Of the payment and the key."""
        return str(uuid5(self.payment.id, f"refund {key}") if key else new_uuid7())

    def asked(self, request_id: str) -> Return | None:
        """As the log knows it for ever."""
        return self.payment.returns.asked(request_id)

    def left(self, asked: int | None) -> int:
        """By the rule of payments."""
        return refundable(self.payment, asked)

    async def observe(self, seen: ReturnSeen) -> None:
        """In the payment's stream."""
        await self.returning.observe(self.payment.id, seen)
