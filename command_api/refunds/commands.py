"""An admin refunds a payment: Stripe gives the money back, and its credits are taken.

Stripe is asked under a key that is made of the caller's Idempotency-Key and the payment, and the
log knows for ever which refund came of it: asked again it is the same refund.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid5

import psycopg
import psycopg_pool
from eventsourcing.persistence import PersistenceError

from command_api.refunds.returning import Returning
from domain.errors import DomainError
from domain.payments.payment import UnknownPaymentError
from domain.payments.returns import NotPaidError, RefundTooLargeError, refundable
from edge.errors import SERVER, ApiError, bad_request, sentence, unavailable
from event_store.beside.payments import read_payment_of_intent
from event_store.errors import EventStoreError
from event_store.ids import new_uuid7
from providers.payments.port import (
    NotThereError,
    OtherRequestError,
    PaymentRefusedError,
    PaymentsUnavailableError,
    RefundWish,
)
from providers.payments.returns import REFUND, refund_in

if TYPE_CHECKING:
    from uuid import UUID

    from command_api.identity.people import People
    from command_api.refunds.schemas import RefundAsked
    from domain.payments.payment import Payment
    from edge.caller import Caller
    from event_store.append.committer import Committer
    from providers.payments.port import PaymentProvider


class Refunds:
    """One for each process."""

    def __init__(
        self, people: People, committer: Committer, provider: PaymentProvider | None
    ) -> None:
        """Without a provider nothing can be refunded."""
        self._people, self._committer, self._provider = people, committer, provider

    async def refund(self, caller: Caller, asked: RefundAsked, key: str | None) -> dict[str, Any]:
        """Give back what is asked for of a payment; raises ApiError."""
        provider = self._ready()
        reason, metadata = asked.said, asked.kept
        returning = Returning(self._people.events, self._committer, caller.actor)
        try:
            payment_id = await self._people.run(self._payment_of, asked.payment_intent_id)
            payment = await self._people.run(returning.state, payment_id)
            request_id = str(uuid5(payment.id, f"refund {key}") if key else new_uuid7())
            thing = await self._again(provider, payment, request_id, asked)
            if thing is None:
                wish = RefundWish(
                    request_id,
                    asked.payment_intent_id,
                    refundable(payment, asked.amount),
                    reason,
                    caller.user_id,
                    metadata,
                )
                thing = await _given(provider, wish)
            now = int(datetime.now(UTC).timestamp())
            await returning.observe(payment_id, refund_in(thing, now))
        except DomainError as error:
            raise told(error) from None
        except (PersistenceError, EventStoreError, psycopg.Error, psycopg_pool.PoolTimeout):
            message = (
                "The ledger cannot be reached. What Stripe gave back is taken once it is there: "
                "send the same again with the same Idempotency-Key."
            )
            raise unavailable("ledger_unavailable", message) from None
        return {
            "refund_id": thing["id"],
            "payment_intent_id": asked.payment_intent_id,
            "payment_id": str(payment_id),
            "amount": thing["amount"],
            "currency": thing["currency"],
            "status": thing["status"],
            "reason": reason or None,
            "created_at": datetime.fromtimestamp(thing["created"], UTC).isoformat(),
        }

    async def _again(
        self, provider: PaymentProvider, payment: Payment, request_id: str, asked: RefundAsked
    ) -> dict[str, Any] | None:
        """The refund that came of the same request before; raises ApiError for another one."""
        known = payment.returns.asked(request_id)
        if known is None:
            return None
        if asked.amount not in (None, known.minor):
            message = "This Idempotency-Key is of another refund: use a new one for a new refund."
            raise ApiError(422, "idempotency_key_reused", message)
        try:
            return await provider.thing(REFUND, known.id)
        except (PaymentRefusedError, PaymentsUnavailableError) as error:
            message = f"{error}. It is refunded already: nothing was refunded again."
            raise unavailable("payments_unavailable", message) from None

    def _payment_of(self, intent_id: str) -> UUID:
        with self._people.connect() as connection:
            row = read_payment_of_intent(connection, intent_id)
        if row is None:
            message = "no payment here is of this intent"
            raise UnknownPaymentError(message)
        return row.payment_id

    def _ready(self) -> PaymentProvider:
        if self._provider is None:
            message = (
                "Nothing can be refunded here: whoever runs this gateway has to set "
                "GATEWAYZ_STRIPE_API_KEY, or to start it with `gatewayz up --demo`."
            )
            raise ApiError(503, "payments_off", message, kind=SERVER)
        return self._provider


def told(error: DomainError) -> ApiError:
    """What an admin is told of a refund that was refused here."""
    match error:
        case UnknownPaymentError():
            return ApiError(404, "payment_not_found", sentence(error))
        case NotPaidError():
            return ApiError(409, "payment_not_paid", sentence(error))
        case RefundTooLargeError():
            return ApiError(409, "refund_too_large", sentence(error))
        case _:
            return bad_request("invalid_value", sentence(error))


async def _given(provider: PaymentProvider, wish: RefundWish) -> dict[str, Any]:
    """What Stripe gives; raises ApiError."""
    try:
        return await provider.refund(wish)
    except OtherRequestError:
        message = "This Idempotency-Key is of another refund: use a new one for a new refund."
        raise ApiError(422, "idempotency_key_reused", message) from None
    except NotThereError:
        message = "Stripe does not know this payment any more."
        raise ApiError(404, "payment_not_found", message) from None
    except PaymentRefusedError as error:
        message = f"Stripe refuses this refund: {error}"
        raise bad_request("payment_refused", message) from None
    except PaymentsUnavailableError as error:
        message = (
            f"{error}. It is not known whether it was refunded: send the same again with the same "
            "Idempotency-Key."
        )
        raise unavailable("payments_unavailable", message) from None
