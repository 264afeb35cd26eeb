"""Invoices that were paid, found by what paid them; what goes back of them, and what they cost.

Which invoice an intent paid stands in no refund, dispute or charge, so Stripe is asked. The event
comes first, in the subscription's stream, where two at once cannot both win; then credits move,
under keys of Stripe's object.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from command_api.money.returned import Source, move_credits
from domain.ledger.lots import GrantKind
from domain.subscriptions.allowance import AbsurdInvoiceError, PeriodUnknownError
from domain.subscriptions.bills import (
    bill_of,
    observe_invoice_cost,
    observe_invoice_return,
)
from domain.subscriptions.subscription import (
    PeriodPaidTwiceError,
    allowance_due,
    replay_subscription,
    subscription_stream,
)
from event_store.beside.billing.subscriptions import read_customer_named
from event_store.errors import LedgerUnavailableError
from event_store.ids import new_envelope
from providers.payments.port import PaymentsUnavailableError
from providers.payments.told_billing import INVOICE, invoice_of, named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    import psycopg

    from domain.events.base import Event
    from domain.payments.returns import CostSeen, ReturnSeen
    from domain.subscriptions.subscription import Subscription
    from domain.subscriptions.tiers import Offers
    from event_store.append.committer import Committer
    from event_store.log.aggregates import Aggregates
    from providers.payments.port import PaymentProvider

    Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]
    Decide = Callable[[Subscription], Sequence[Event]]

logger = logging.getLogger("gatewayz.payments")

TRIES_MAX = 10
"""How often a command is decided anew because somebody else was quicker."""
NEVER_PAID = frozenset({"void", "uncollectible"})


class Billed(NamedTuple):
    """An invoice of a subscription of ours, and Stripe's object of it."""

    subscription_id: str
    invoice_id: str
    thing: Mapping[str, Any]


class Invoices:
    """One for each process that looks at what paid an invoice."""

    def __init__(
        self,
        connect: Connect,
        events: Aggregates,
        committer: Committer,
        provider: PaymentProvider | None,
        offers: Offers,
        actor: str,
    ) -> None:
        """The provider is asked which invoice an intent paid; `actor` stands on the events."""
        self._connect, self._events, self._committer = connect, events, committer
        self._provider, self._offers, self._actor = provider, offers, actor

    async def paid_by(self, intent_id: str) -> Billed | None:
        """The invoice of a subscription of ours that an intent is for; None for none."""
        name = await self.asked().invoice_paid_by(intent_id)
        return await self.named(name) if name else None

    async def named(self, invoice_id: str) -> Billed | None:
        """An invoice of a subscription of ours; None where it is none of ours.

        Raises NotThereError for what Stripe does not have.
        """
        thing = await self.asked().thing(INVOICE, invoice_id)
        customer_id, subscription_id = named(thing)
        if not subscription_id or not await self.is_ours(customer_id):
            return None
        return Billed(subscription_id, invoice_id, thing)

    async def is_noted(self, billed: Billed) -> bool:
        """Whether it is noted as paid here; False for what never will be.

        Raises PaymentsUnavailableError where it is paid and that was not told yet: later it was.
        """
        name, thing = billed.invoice_id, billed.thing
        state = await self.state(billed.subscription_id)
        if state is not None and name in state.paid:
            return True
        try:
            invoice = invoice_of(thing, 0, self._offers)
            if invoice is None:
                return False
            allowance_due(state, invoice, self._offers)
        except PeriodUnknownError:
            logger.info("the period of invoice %s is not known yet", name)
        except (PeriodPaidTwiceError, AbsurdInvoiceError) as error:
            logger.info("invoice %s gave nothing: %s", name, error)
            return False
        if thing.get("status") in NEVER_PAID:
            return False
        message = f"invoice {name} is not noted as paid here yet"
        raise PaymentsUnavailableError(message)

    async def is_sold_here(self, billed: Billed) -> bool:
        """Whether it is for what is sold here; what cannot be read is taken for it."""
        state = await self.state(billed.subscription_id)
        if state is not None and billed.invoice_id in state.paid:
            return True
        try:
            return invoice_of(billed.thing, 0, self._offers) is not None
        except AbsurdInvoiceError:
            return True

    async def observe(self, billed: Billed, seen: ReturnSeen) -> None:
        """It becomes so, and its credits move; twice changes nothing."""
        name = billed.invoice_id

        def decide(state: Subscription) -> Sequence[Event]:
            now, stamp = int(datetime.now(UTC).timestamp()), new_envelope(self._actor)
            return observe_invoice_return(state, name, seen, now, stamp)

        state = await self._told(billed.subscription_id, decide)
        bill = bill_of(state.bills, name)
        what = bill.returns.of(seen.id)
        assert what is not None
        source = Source(
            account_id=UUID(state.account_id),
            lot_id=bill.lot_id,
            payment_id=bill.id,
            kind=GrantKind.ALLOWANCE,
        )
        await move_credits(self._committer, source, what, actor=self._actor)

    async def cost(self, billed: Billed, seen: CostSeen, rates: Mapping[str, str]) -> None:
        """A fee becomes a fact, whether its invoice is noted as paid or not; twice it is one."""

        def decide(state: Subscription) -> Sequence[Event]:
            stamp = new_envelope(self._actor)
            return observe_invoice_cost(state, billed.invoice_id, seen, rates, stamp)

        await self._told(billed.subscription_id, decide)

    async def state(self, subscription_id: str) -> Subscription | None:
        """A subscription, from its stream."""
        stream = subscription_stream(subscription_id)
        return replay_subscription(await asyncio.to_thread(self._events.events_of, stream))

    async def is_ours(self, customer_id: str) -> bool:
        """Whether a customer of Stripe's is an account here."""

        def read() -> bool:
            with self._connect() as connection:
                return read_customer_named(connection, customer_id) is not None

        return bool(customer_id) and await asyncio.to_thread(read)

    def asked(self) -> PaymentProvider:
        """Who can be asked; raises PaymentsUnavailableError."""
        if self._provider is None:
            message = "there is no key to ask Stripe what this is about"
            raise PaymentsUnavailableError(message)
        return self._provider

    async def _told(self, subscription_id: str, decide: Decide) -> Subscription:
        """The subscription's state after what is decided on it."""
        for _ in range(TRIES_MAX):
            state = await self.state(subscription_id)
            if state is None:
                message = f"{subscription_id} is not known here yet"
                raise PaymentsUnavailableError(message)
            events = decide(state)
            if not events:
                return state
            try:
                await asyncio.to_thread(self._events.append, events)
            except IntegrityError:
                continue
            after = await self.state(subscription_id)
            assert after is not None
            return after
        message = f"{subscription_id} is being changed by others at this moment"
        raise LedgerUnavailableError(message)
