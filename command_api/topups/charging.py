"""The command: top up this account because of this cause.

It is begun in the log before Stripe is asked, in the version that was seen: of all who see too
little at once one begins. Stripe is asked under a key that is made of the payment: who asks again
is told what became of it. The credits are given as those of every payment are.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from command_api.identity.credentials import Credentials
from command_api.mails.texts import top_ups_off
from command_api.mails.waiting import Waiting
from domain.events.money.topups import TopUpsSwitchedOff
from domain.payments.fiat import USD, Fiat, credits_for
from domain.payments.payment import (
    Observation,
    Order,
    Status,
    Way,
    known_payment,
    replay_payment,
    start_payment,
)
from domain.topups.topups import (
    begin_top_up,
    cause_of,
    end_top_up,
    is_due,
    replay_top_ups,
    top_up_stream,
)
from event_store.beside.billing.subscriptions import read_customer
from event_store.beside.billing.topups import read_available
from event_store.ids import new_envelope, now_iso, to_iso
from providers.payments.billing import OffSession
from providers.payments.port import OtherRequestError, PaymentRefusedError
from providers.payments.told import INTENT, observed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractContextManager

    import psycopg
    from psycopg import Cursor
    from psycopg.rows import DictRow

    from command_api.identity.vault import Vault
    from domain.events.money.topups import TopUpEvent
    from domain.payments.payment import Payment
    from domain.topups.topups import TopUps, UnderWay
    from event_store.log.aggregates import Aggregates
    from providers.payments.billing import BillingProvider
    from providers.payments.port import PaymentProvider

    Observe = Callable[[UUID, Observation], Awaitable[None]]
    Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]

ACTOR = "system:auto-top-up"
WAITS_S = (3_600, 86_400)
"""After a charge that failed, until the next; then it is switched off."""
KEPT_HOURS = 23
"""How long Stripe is sure to answer the same for an idempotency key: it says 24 hours at least."""
ASK_AGAIN_S = 30.0
"""Until a payment that Stripe still works on is asked for again."""


class Charging:
    """One for each process that looks after accounts."""

    def __init__(
        self,
        connect: Connect,
        events: Aggregates,
        vault: Vault,
        billing: BillingProvider,
        provider: PaymentProvider,
        observe: Observe,
    ) -> None:
        """`observe` makes what is seen of a payment so, with its credits."""
        self._connect, self._events = connect, events
        self._billing, self._provider, self._observe = billing, provider, observe
        self._credentials, self._waiting = Credentials(vault), Waiting(vault)

    async def look_after(self, account_id: str) -> float | None:
        """Begin what is due, and bring to an end what is under way; again after so many seconds.

        None where the rest of the lease is soon enough. Raises PaymentsUnavailableError,
        PersistenceError, psycopg.Error, EventStoreError: then somebody does it again.
        """
        state = await asyncio.to_thread(self._state, account_id)
        if state.under_way is None:
            if not await asyncio.to_thread(self._begin, account_id, state):
                return None
            state = await asyncio.to_thread(self._state, account_id)
        if state.under_way is None:
            return None
        failure = await self._charged(state.under_way)
        if failure is None:
            return ASK_AGAIN_S
        await asyncio.to_thread(self._end, account_id, state.under_way.payment_id, failure)
        return 0.0

    def _begin(self, account_id: str, state: TopUps) -> bool:
        """Begin a charge where one is due; False where none is, or somebody was quicker."""
        with self._connect() as connection:
            available = read_available(connection, UUID(account_id))
            customer = read_customer(connection, UUID(account_id))
            # Nobody is charged for who has left, of an organisation neither.
            gone = not state.user_id or self._has_left(connection, state.user_id)
        now = now_iso()
        if gone or customer is None or not customer.method_id or not is_due(state, available, now):
            return False
        begun = begin_top_up(
            state, account_id, cause_of(state), customer.method_id, now, new_envelope(ACTOR)
        )
        price = Fiat(begun.amount_minor, USD)
        order = Order(
            account_id, state.user_id, Way.OFF_SESSION, price, "1", credits_for(price, "1")
        )
        started = start_payment(UUID(begun.payment_id), order, new_envelope(ACTOR))
        try:
            self._events.append([begun, started])
        except IntegrityError:
            return False
        return True

    def _has_left(self, connection: psycopg.Connection[Any], user_id: str) -> bool:
        return self._credentials.by_id(connection, UUID(user_id)) is None

    async def _charged(self, way: UnderWay) -> str | None:
        """Why the charge failed, empty for one that is paid; None while nobody knows."""
        payment = await asyncio.to_thread(self._payment, way.payment_id)
        if payment.status is Status.COMPLETED:
            return ""
        if payment.intent_id:
            thing = await self._provider.thing(INTENT, payment.intent_id)
            return await self._seen(payment, thing)
        oldest = to_iso(datetime.now(UTC) - timedelta(hours=KEPT_HOURS))
        return "unresolved" if payment.started_at < oldest else await self._asked(payment, way)

    async def _asked(self, payment: Payment, way: UnderWay) -> str | None:
        account_id = payment.order.account_id
        try:
            charge = await self._billing.charge(
                await asyncio.to_thread(self._wish, way, account_id)
            )
        except OtherRequestError:
            return "unresolved"
        except PaymentRefusedError:
            return await self._failed(payment, "refused")
        if charge.failure:
            return await self._failed(payment, charge.failure)
        return await self._seen(payment, charge.intent)

    async def _seen(self, payment: Payment, thing: Mapping[str, Any]) -> str | None:
        seen = observed(thing, int(time.time()))
        if seen is None:
            return None
        await self._observe(payment.id, seen)
        match seen.status:
            case Status.COMPLETED:
                return ""
            case Status.PROCESSING:
                return None
            case Status.REQUIRES_ACTION:
                return "authentication_required"
            case _:
                return seen.failure or "card_declined"

    async def _failed(self, payment: Payment, failure: str) -> str:
        now = int(time.time())
        seen = Observation(Status.REQUIRES_PAYMENT_METHOD, now, failure=failure)
        await self._observe(payment.id, seen)
        return failure

    def _end(self, account_id: str, payment_id: str, failure: str) -> None:
        """Write down how it ended; where another process did, nothing."""
        state = self._state(account_id)
        if state.under_way is None or state.under_way.payment_id != payment_id:
            return
        wait = timedelta(seconds=WAITS_S[min(state.failures, len(WAITS_S) - 1)])
        again_at = to_iso(datetime.now(UTC) + wait)
        stamps = new_envelope(ACTOR), new_envelope(ACTOR)
        events = end_top_up(state, account_id, failure, again_at, *stamps)
        try:
            self._events.append(events, self._mail(state, events))
        except IntegrityError:
            return

    def _mail(
        self, state: TopUps, events: list[TopUpEvent]
    ) -> Callable[[Cursor[DictRow]], object] | None:
        """What keeps the mail to who set it up, where it was switched off."""
        off = [each for each in events if isinstance(each, TopUpsSwitchedOff)]
        if not off:
            return None
        with self._connect() as connection:
            known = self._credentials.by_id(connection, UUID(state.user_id))
            if known is None:
                return None
            mail = top_ups_off(self._credentials.address_of(connection, known), off[0].reason)
        wrapped = bytes(known.wrapped_key)
        return lambda cursor: self._waiting.keep(cursor, known.user_id, wrapped, mail)

    def _wish(self, way: UnderWay, account_id: str) -> OffSession:
        with self._connect() as connection:
            customer = read_customer(connection, UUID(account_id))
        assert customer is not None, "a charge was begun without a customer"
        return OffSession(
            payment_id=way.payment_id,
            price=Fiat(way.amount, USD),
            customer_id=customer.customer_id,
            method_id=way.method_id,
            description="Automatic top-up of credits",
        )

    def _payment(self, payment_id: str) -> Payment:
        return known_payment(replay_payment(self._events.events_of(UUID(payment_id))))

    def _state(self, account_id: str) -> TopUps:
        return replay_top_ups(self._events.events_of(top_up_stream(account_id)))
