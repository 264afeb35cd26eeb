"""An admin refunds what was paid: Stripe gives the money back, and its credits are taken.

Stripe is asked under a key that is made of the caller's Idempotency-Key and the payment, and the
log knows for ever which refund came of it: asked again it is the same refund.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import psycopg_pool
from eventsourcing.persistence import PersistenceError

from command_api.money.asked import Words, ask, unknown_payment
from command_api.refunds.paid import PaidPayment
from command_api.refunds.returning import Returning
from domain.errors import DomainError
from domain.payments.payment import UnknownPaymentError
from domain.payments.returns import NotPaidError, RefundTooLargeError
from edge.errors import SERVER, ApiError, bad_request, sentence, unavailable
from event_store.beside.payments import read_payment, read_payment_of_intent
from event_store.errors import EventStoreError
from providers.payments.port import (
    PaymentRefusedError,
    PaymentsUnavailableError,
    RefundWish,
)
from providers.payments.returns import CHARGE, REFUND, intent_in, refund_in

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from command_api.identity.people import People
    from command_api.refunds.paid import Elsewhere, Paid
    from command_api.refunds.schemas import RefundAsked
    from edge.caller import Caller
    from event_store.append.committer import Committer
    from event_store.beside.payments import PaymentRow
    from providers.payments.port import PaymentProvider


GIVEN = Words(
    what="this refund",
    missing=unknown_payment,
    again=(
        "It is not known whether it was refunded: send the same again with the same "
        "Idempotency-Key."
    ),
    reused="This Idempotency-Key is of another refund: use a new one for a new refund.",
)
LOOKED_UP = GIVEN._replace(
    missing=lambda _: ApiError(
        404, "payment_not_found", "Stripe does not know what is to be refunded."
    ),
    again="Nothing was refunded: send the same again.",
)


class Refunds:
    """One for each process."""

    def __init__(
        self,
        people: People,
        committer: Committer,
        provider: PaymentProvider | None,
        elsewhere: Elsewhere,
    ) -> None:
        """Without a provider nothing can be refunded; `elsewhere` is asked for what is no payment
        of credits.
        """
        self._people, self._committer = people, committer
        self._provider, self._elsewhere = provider, elsewhere

    async def refund(self, caller: Caller, asked: RefundAsked, key: str | None) -> dict[str, Any]:
        """Give back what is asked for of what was paid; raises ApiError."""
        provider = self._ready()
        asked.check()
        reason, metadata = asked.said, asked.kept
        try:
            paid = await _looked_up(self._paid(provider, asked, caller.actor))
            request_id = paid.request_id(key)
            thing = await self._again(provider, paid, request_id, asked)
            if thing is None:
                wish = RefundWish(
                    request_id,
                    paid.intent_id,
                    paid.left(asked.amount),
                    reason,
                    caller.user_id,
                    metadata,
                )
                thing = await _given(provider, wish)
            now = int(datetime.now(UTC).timestamp())
            await paid.observe(refund_in(thing, now))
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
            "payment_intent_id": paid.intent_id,
            **paid.names,
            "amount": thing["amount"],
            "currency": thing["currency"],
            "status": thing["status"],
            "reason": reason or None,
            "created_at": datetime.fromtimestamp(thing["created"], UTC).isoformat(),
        }

    async def _paid(self, provider: PaymentProvider, asked: RefundAsked, actor: str) -> Paid:
        """What is named; raises DomainError, and what a provider raises."""
        intent_id, found = asked.payment_intent_id or "", None
        if asked.invoice_id is not None:
            found = await self._elsewhere.of_invoice(asked.invoice_id, actor)
        elif asked.payment_id is not None:
            row = await self._people.run(self._row, asked.payment_id)
            intent_id = row.intent_id if row is not None else ""
        elif asked.charge_id is not None:
            intent_id = intent_in(await provider.thing(CHARGE, asked.charge_id))
        if intent_id:
            row = await self._people.run(self._row_of_intent, intent_id)
            if row is not None:
                returning = Returning(self._people.events, self._committer, actor)
                payment = await self._people.run(returning.state, row.payment_id)
                return PaidPayment(payment, intent_id, returning)
            found = await self._elsewhere.of_intent(intent_id, actor)
        if found is None:
            message = "nothing that was paid here has this id"
            raise UnknownPaymentError(message)
        return found

    async def _again(
        self, provider: PaymentProvider, paid: Paid, request_id: str, asked: RefundAsked
    ) -> dict[str, Any] | None:
        """The refund that came of the same request before; raises ApiError for another one."""
        known = paid.asked(request_id)
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

    def _row(self, payment_id: str) -> PaymentRow | None:
        with suppress(ValueError), self._people.connect() as connection:
            return read_payment(connection, UUID(payment_id))
        return None

    def _row_of_intent(self, intent_id: str) -> PaymentRow | None:
        with self._people.connect() as connection:
            return read_payment_of_intent(connection, intent_id)

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


async def _looked_up(asking: Awaitable[Paid]) -> Paid:
    """What is to be refunded; raises ApiError where Stripe does not say."""
    return await ask(asking, LOOKED_UP)


async def _given(provider: PaymentProvider, wish: RefundWish) -> dict[str, Any]:
    """What Stripe gives; raises ApiError."""
    return await ask(provider.refund(wish), GIVEN)
