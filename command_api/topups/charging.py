"""The commands: begin the top-up of an account because of a cause, and bring it to its end.

It is begun in the log before Stripe is asked, in the version that was seen: of all who see too
little at once one begins. Stripe is asked under a key that is made of the payment: who asks again
is told what became of it. The credits are given as those of every payment are.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
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
from domain.topups.waking import NO_CARD_S, asleep_until
from event_store.beside.billing.subscriptions import read_customer
from event_store.beside.billing.topups import read_available, read_next_lapse
from event_store.ids import new_envelope, to_iso
from event_store.log.reading import booking_now
from providers.payments.billing import OffSession
from providers.payments.port import (
    OtherRequestError,
    PaymentRefusedError,
    PaymentsUnavailableError,
)
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


class Looked(NamedTuple):
    """What a look came to, in a version of the account's top-ups: a charge that was begun, or none.

    Then nothing can be begun before `asleep_until`, or a lot (its id, its end) lapses next.
    """

    version: int
    asleep_until: str = ""
    lapse: tuple[str, str] | None = None


class Charging:
    """One for each process that looks after accounts."""

    def __init__(
        self,
        connect: Connect,
        events: Aggregates,
        vault: Vault,
        billing: BillingProvider | None,
        provider: PaymentProvider | None,
        observe: Observe,
    ) -> None:
        """`observe` makes what is seen of a payment so, with its credits.

        Without providers nothing is begun, and what was begun waits.
        """
        self._connect, self._events = connect, events
        self._observe = observe
        self._providers = None if billing is None or provider is None else (billing, provider)
        self._credentials, self._waiting = Credentials(vault), Waiting(vault)

    def look(self, account_id: str) -> Looked:
        """Begin a charge where one is due; else when to look again. Blocks.

        Raises PersistenceError, psycopg.Error: then somebody does it again.
        """
        account = UUID(account_id)
        state = self._state(account_id)
        if not state.terms.enabled or state.under_way is not None:
            return Looked(state.version)
        with self._connect() as connection:
            available = read_available(connection, account)
            customer = read_customer(connection, account)
            # Nobody is charged for who has left, of an organisation neither.
            gone = not state.user_id or self._has_left(connection, state.user_id)
            gone = gone or self._providers is None
            lapse = read_next_lapse(connection, account)
            clock = booking_now(connection)
        now = to_iso(clock)
        if asleep := asleep_until(state, now):
            return Looked(state.version, asleep_until=asleep)
        if gone or customer is None or not customer.method_id:
            again_at = to_iso(clock + timedelta(seconds=NO_CARD_S))
            return Looked(state.version, asleep_until=again_at)
        if not is_due(state, available, now):
            found = None if lapse is None else (str(lapse[0]), to_iso(lapse[1]))
            return Looked(state.version, lapse=found)
        self._begin(state, account_id, customer.method_id, now)
        return Looked(state.version)

    def _begin(self, state: TopUps, account_id: str, method_id: str, now: str) -> None:
        """Nothing where somebody was quicker: then what they began is under way."""
        begun = begin_top_up(
            state, account_id, cause_of(state), method_id, now, new_envelope(ACTOR)
        )
        price = Fiat(begun.amount_minor, USD)
        order = Order(
            account_id, state.user_id, Way.OFF_SESSION, price, "1", credits_for(price, "1")
        )
        started = start_payment(UUID(begun.payment_id), order, new_envelope(ACTOR))
        with suppress(IntegrityError):
            self._events.append([begun, started])

    async def charge(self, account_id: str, payment_id: str) -> bool:
        """Bring a charge that was begun to its end; False where Stripe still works on it.

        Raises PaymentsUnavailableError, PersistenceError, psycopg.Error, EventStoreError: then
        somebody does it again.
        """
        state = await asyncio.to_thread(self._state, account_id)
        if state.under_way is None or state.under_way.payment_id != payment_id:
            return True
        failure = await self._charged(state.under_way)
        if failure is None:
            return False
        await asyncio.to_thread(self._end, account_id, payment_id, failure)
        return True

    def _has_left(self, connection: psycopg.Connection[Any], user_id: str) -> bool:
        return self._credentials.by_id(connection, UUID(user_id)) is None

    async def _charged(self, way: UnderWay) -> str | None:
        """Why the charge failed, empty for one that is paid; None while nobody knows."""
        payment = await asyncio.to_thread(self._payment, way.payment_id)
        if payment.status is Status.COMPLETED:
            return ""
        if self._providers is None:
            message = "there is no key of Stripe's"
            raise PaymentsUnavailableError(message)
        if payment.intent_id:
            thing = await self._providers[1].thing(INTENT, payment.intent_id)
            return await self._seen(payment, thing)
        oldest = to_iso(datetime.now(UTC) - timedelta(hours=KEPT_HOURS))
        if payment.started_at < oldest:
            return "unresolved"
        return await self._asked(self._providers[0], payment, way)

    async def _asked(self, billing: BillingProvider, payment: Payment, way: UnderWay) -> str | None:
        wish = await asyncio.to_thread(self._wish, way, payment.order.account_id)
        try:
            charge = await billing.charge(wish)
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
