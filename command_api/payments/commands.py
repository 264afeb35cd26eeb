"""Buying credits: a payment is begun in the log before Stripe is asked for anything.

Who asks again with the same Idempotency-Key gets the same payment, whatever died in between: Stripe
is asked under a key that is made of our payment's id.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import psycopg
from eventsourcing.persistence import PersistenceError

from command_api.money.asked import Words, ask, unknown_payment
from command_api.payments.book import OtherPaymentError, PaymentsBook, TooManyOpenError
from command_api.payments.schemas import shown_order, shown_row
from domain.errors import DomainError, InvalidAmountError
from domain.payments.fiat import Fiat, check_fiat, credits_for, shown
from domain.payments.packages import package_named
from domain.payments.payment import Order, Way
from domain.pricing.money import format_usd
from edge.errors import RATE_LIMIT, SERVER, ApiError, bad_request, sentence, unavailable
from edge.replies import usd
from event_store.ids import to_iso
from providers.payments.port import Wish

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from uuid import UUID

    from command_api.identity.people import People
    from command_api.payments.schemas import Asked, CheckoutAsked, IntentAsked
    from domain.payments.payment import Payment
    from edge.caller import Caller
    from providers.payments.port import PaymentProvider

T = TypeVar("T")
P = ParamSpec("P")

KEPT_HOURS = 23
"""How long Stripe is sure to answer the same for an idempotency key: it says 24 hours at least."""
PAID_TEXT = "?session_id={CHECKOUT_SESSION_ID}"
"""Stripe puts the session's id there."""
WORDS = Words(
    what="this payment",
    missing=unknown_payment,
    again="Nothing was paid: try again, with the same Idempotency-Key.",
    reused="This Idempotency-Key is of a payment with other particulars: use a new one.",
)


class Buying:
    """One for each process."""

    def __init__(
        self,
        people: People,
        provider: PaymentProvider | None,
        *,
        rates: Mapping[str, str],
        return_url: str | None,
        customer_of: Callable[[Caller, str | None], Awaitable[str]],
    ) -> None:
        """Without a provider nobody can pay. `return_url` is where people come back to.

        `customer_of` tells the customer that somebody's account is, and where receipts go from now
        on; it raises ApiError.
        """
        self._people, self._provider = people, provider
        self._customer_of = customer_of
        self._rates, self._return_url = rates, return_url
        self.book = PaymentsBook(people)

    async def close(self) -> None:
        """Let go of the provider."""
        if self._provider is not None:
            await self._provider.close()

    async def checkout(
        self, caller: Caller, asked: CheckoutAsked, key: str | None
    ) -> dict[str, Any]:
        """A page on which the caller can pay. Raises ApiError."""
        provider = self._ready()
        back = self._back(asked)
        payment = await self._begun(caller, Way.CHECKOUT, asked, key)
        if payment.session_id:
            session = await _asked(provider.session(payment.session_id))
        else:
            customer = await self._customer_of(caller, asked.customer_email)
            wish = _wish(payment, asked, back, customer=customer)
            session = await _asked(provider.open_session(wish))
            await self.run(self.book.opened, payment.id, caller.actor, session_id=session.id)
        return {
            "session_id": session.id,
            "url": session.url,
            "expires_at": session.expires_at,
            **shown_order(payment),
            "status": session.status,
        }

    async def intent(self, caller: Caller, asked: IntentAsked, key: str | None) -> dict[str, Any]:
        """An intent that a page of the caller's own completes. Raises ApiError."""
        provider = self._ready()
        payment = await self._begun(caller, Way.INTENT, asked, key)
        if payment.intent_id:
            intent = await _asked(provider.intent(payment.intent_id))
        else:
            wish = _wish(payment, asked, kinds=asked.kinds)
            intent = await _asked(provider.open_intent(wish))
            await self.run(self.book.opened, payment.id, caller.actor, intent_id=intent.id)
        return {
            "payment_intent_id": intent.id,
            "client_secret": intent.client_secret,
            "next_action": intent.next_action,
            **shown_order(payment),
            "status": intent.status,
        }

    async def session(self, caller: Caller, session_id: str) -> dict[str, Any]:
        """A session of the caller's as Stripe has it now. Raises ApiError."""
        provider = self._ready()
        await self.run(self.book.of_session, caller, session_id)
        session = await _asked(provider.session(session_id))
        return {
            "session_id": session.id,
            "payment_status": session.payment_status,
            "status": session.status,
            "amount_total": session.amount_total,
            "currency": session.currency,
            "customer_email": session.customer_email,
        }

    async def intent_now(self, caller: Caller, intent_id: str) -> dict[str, Any]:
        """An intent of the caller's as Stripe has it now. Raises ApiError."""
        provider = self._ready()
        await self.run(self.book.of_intent, caller, intent_id)
        intent = await _asked(provider.intent(intent_id))
        return {
            "payment_intent_id": intent.id,
            "status": intent.status,
            "amount": intent.amount,
            "currency": intent.currency,
            "customer": intent.customer,
            "payment_method": intent.payment_method,
        }

    async def listed(self, caller: Caller, limit: int, offset: int) -> dict[str, Any]:
        """A page of the payments of the caller's account, the newest first."""
        total, rows = await self.run(self.book.listed, caller, limit=limit, offset=offset)
        found = [shown_row(row, said) for row, said in rows]
        return {"payments": found, "total": total, "limit": limit, "offset": offset}

    async def one(self, caller: Caller, payment_id: UUID) -> dict[str, Any]:
        """One of them. Raises ApiError 403 or 404."""
        row, said, returns = await self.run(self.book.one, caller, payment_id)
        return {
            **shown_row(row, said),
            "stripe_session_id": row.session_id or None,
            "stripe_customer_id": None,
            "updated_at": row.updated_at.isoformat(),
            "failed_at": row.failed_at and row.failed_at.isoformat(),
            "failure": row.failure or None,
            "lot_id": row.lot_id and str(row.lot_id),
            "returns": [
                {
                    "id": each.object_id,
                    "kind": each.kind,
                    "phase": each.phase,
                    "amount": each.amount_minor,
                    "credits": usd(each.credits_nano_usd),
                    "created_at": each.created_at.isoformat(),
                }
                for each in returns
            ],
        }

    async def run(self, work: Callable[P, T], /, *values: P.args, **named: P.kwargs) -> T:
        """What the book gives, on the lane of people. Raises ApiError."""
        try:
            return await self._people.run(work, *values, **named)
        except DomainError as error:
            raise told(error) from None
        except (PersistenceError, psycopg.Error):
            message = (
                "The ledger cannot be reached, so nobody was asked to pay. Send the same again "
                "with the same Idempotency-Key."
            )
            raise unavailable("ledger_unavailable", message) from None

    def _ready(self) -> PaymentProvider:
        if self._provider is None:
            message = (
                "Nobody can pay here: whoever runs this gateway has to set "
                "GATEWAYZ_STRIPE_API_KEY and GATEWAYZ_STRIPE_WEBHOOK_SECRETS, or to start it with "
                "`gatewayz up --demo`."
            )
            raise ApiError(503, "payments_off", message, kind=SERVER)
        return self._provider

    def _back(self, asked: CheckoutAsked) -> tuple[str, str]:
        """Where people come back to, paid or not; raises ApiError 400."""
        base = self._return_url
        success, cancel = asked.success_url, asked.cancel_url
        if not success and base is None:
            message = "success_url is missing: the page to which people come back once they paid."
            raise bad_request("invalid_value", message, "success_url")
        success = success or f"{base}{PAID_TEXT}"
        return success, cancel or base or success

    async def _begun(self, caller: Caller, way: Way, asked: Asked, key: str | None) -> Payment:
        asked.check()
        try:
            order = self._order(caller, way, asked)
        except DomainError as error:
            raise told(error) from None
        said = {
            "email": asked.customer_email,
            "description": asked.description,
            "metadata": asked.said,
        }
        payment = await self.run(self.book.begin, caller, order, said, key)
        oldest = to_iso(datetime.now(UTC) - timedelta(hours=KEPT_HOURS))
        if not (payment.session_id or payment.intent_id) and payment.started_at < oldest:
            message = "The payment of this Idempotency-Key is a day old: use a new key."
            raise ApiError(409, "payment_too_old", message)
        return payment

    def _order(self, caller: Caller, way: Way, asked: Asked) -> Order:
        """What is wanted, and what it buys; raises DomainError."""
        currency = asked.currency.lower()
        if asked.package_id:
            package = package_named(asked.package_id)
            price, rate, bought = package.price, "1", package.credits_nano_usd
            if asked.amount not in {None, price.minor} or currency != price.currency:
                message = f"the package {package.id} costs {shown(price)}: leave amount out"
                raise InvalidAmountError(message)
        else:
            price = Fiat(asked.amount or 0, currency)
            rate = check_fiat(price, self._rates)
            bought = credits_for(price, rate)
        return Order(
            caller.account_id, caller.user_id, way, price, rate, bought, asked.package_id or ""
        )


def told(error: DomainError) -> ApiError:
    """What a caller is told of a payment that was refused here."""
    if isinstance(error, OtherPaymentError):
        return ApiError(422, "idempotency_key_reused", sentence(error))
    if isinstance(error, TooManyOpenError):
        return ApiError(429, "too_many_payments", sentence(error), kind=RATE_LIMIT)
    return bad_request("invalid_value", sentence(error))


async def _asked(asking: Awaitable[T]) -> T:
    """What Stripe gives; raises ApiError."""
    return await ask(asking, WORDS)


def _wish(
    payment: Payment,
    asked: Asked,
    back: tuple[str, str] = ("", ""),
    *,
    kinds: tuple[str, ...] = (),
    customer: str = "",
) -> Wish:
    bought = format_usd(payment.order.credits_nano_usd).rstrip("0").rstrip(".")
    return Wish(
        payment_id=str(payment.id),
        price=payment.order.price,
        name=f"{bought} credits",
        description=asked.description or "",
        email=asked.customer_email or "",
        success_url=back[0],
        cancel_url=back[1],
        method_types=kinds,
        metadata=asked.said,
        customer=customer,
    )
