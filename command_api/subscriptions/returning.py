"""Refunds and disputes of what paid an invoice take its allowance back, and give it back.

Which invoice an intent paid stands in neither of them, so Stripe is asked. The event comes first,
in the subscription's stream, where two at once cannot both win; then credits move, under keys of
Stripe's object.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from command_api.money.returned import Source, move_credits
from domain.ledger.lots import GrantKind
from domain.subscriptions.allowance import AbsurdInvoiceError, PeriodUnknownError
from domain.subscriptions.bills import bill_of, observe_invoice_return
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
from providers.payments.returns import (
    CHARGE,
    DISPUTE,
    REFUND,
    dispute_in,
    intent_in,
    refund_in,
    refunded,
)
from providers.payments.told import UnreadableEventError
from providers.payments.told_billing import INVOICE, invoice_of, named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from typing import Any

    import psycopg

    from domain.payments.returns import ReturnSeen
    from domain.subscriptions.subscription import Subscription
    from domain.subscriptions.tiers import Offers
    from event_store.append.committer import Committer
    from event_store.log.aggregates import Aggregates
    from providers.payments.port import PaymentProvider
    from providers.payments.told import Notice

logger = logging.getLogger("gatewayz.payments")

ACTOR = "system:stripe"
TRIES_MAX = 10
"""How often a command is decided anew because somebody else was quicker."""
NEVER_PAID = frozenset({"void", "uncollectible"})


class _Found(NamedTuple):
    """An invoice of a subscription of ours; `gave` says whether it is noted as paid here."""

    subscription_id: str
    invoice_id: str
    gave: bool


class InvoiceReturns:
    """The handler of what goes back of subscriptions."""

    kinds = frozenset({REFUND, DISPUTE, CHARGE})

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[psycopg.Connection[Any]]],
        events: Aggregates,
        committer: Committer,
        provider: PaymentProvider | None,
        offers: Offers,
    ) -> None:
        """The provider is asked which invoice an intent paid."""
        self._connect, self._events, self._committer = connect, events, committer
        self._provider, self._offers = provider, offers

    async def handle(self, notice: Notice, thing: Mapping[str, Any], as_of: int) -> bool:
        """Act on what is of an invoice of ours; raises as `Handler.handle` says."""
        intent_id = intent_in(thing)
        gone = refunded(thing)
        if not intent_id or (notice.kind == CHARGE and (gone is None or gone.minor == 0)):
            return False
        found = await self._invoice_of(intent_id)
        if found is None:
            return False
        if found.gave:
            for seen in await self._seen(notice, thing, as_of):
                await self._observe(found, seen)
        return True

    async def _seen(self, notice: Notice, thing: Mapping[str, Any], as_of: int) -> list[ReturnSeen]:
        """What is said to go back; a charge does not say by which refunds, so these are asked."""
        match notice.kind:
            case "refund":
                seen = [refund_in(thing, as_of)]
            case "dispute":
                seen = [dispute_in(thing, as_of, notice.type)]
            case _:
                refunds = await self._asked().refunds_of(intent_in(thing))
                seen = [refund_in(each, as_of) for each in refunds]
        if not all(each.id for each in seen):
            message = f"a {notice.kind} without an id"
            raise UnreadableEventError(message)
        return seen

    async def _observe(self, found: _Found, seen: ReturnSeen) -> None:
        """It becomes so, and its credits move; twice changes nothing."""
        for _ in range(TRIES_MAX):
            state = await asyncio.to_thread(self._state, found.subscription_id)
            assert state is not None
            now, stamp = int(datetime.now(UTC).timestamp()), new_envelope(ACTOR)
            events = observe_invoice_return(state, found.invoice_id, seen, now, stamp)
            if events:
                try:
                    await asyncio.to_thread(self._events.append, events)
                except IntegrityError:
                    continue
                state = await asyncio.to_thread(self._state, found.subscription_id)
                assert state is not None
            bill = bill_of(state.bills, found.invoice_id)
            what = bill.returns.of(seen.id)
            assert what is not None
            source = Source(
                account_id=UUID(state.account_id),
                lot_id=bill.lot_id,
                payment_id=bill.id,
                kind=GrantKind.ALLOWANCE,
            )
            await move_credits(self._committer, source, what, actor=ACTOR)
            return
        message = f"{found.subscription_id} is being changed by others at this moment"
        raise LedgerUnavailableError(message)

    async def _invoice_of(self, intent_id: str) -> _Found | None:
        """The invoice of a subscription of ours that an intent paid; None for none.

        Raises PaymentsUnavailableError where it is paid and that was not told yet: later it was.
        """
        provider = self._asked()
        name = await provider.invoice_paid_by(intent_id)
        if not name:
            return None
        thing = await provider.thing(INVOICE, name)
        customer_id, subscription_id = named(thing)
        if not subscription_id or not await asyncio.to_thread(self._ours, customer_id):
            return None
        state = await asyncio.to_thread(self._state, subscription_id)
        if state is not None and name in state.paid:
            return _Found(subscription_id, name, gave=True)
        try:
            invoice = invoice_of(thing, 0, self._offers)
            if invoice is None:
                return None
            allowance_due(state, invoice, self._offers)
        except PeriodUnknownError:
            logger.info("the period of invoice %s is not known yet", name)
        except (PeriodPaidTwiceError, AbsurdInvoiceError) as error:
            logger.info("invoice %s gave nothing: %s", name, error)
            return _Found(subscription_id, name, gave=False)
        if thing.get("status") in NEVER_PAID:
            return _Found(subscription_id, name, gave=False)
        message = f"invoice {name} is not noted as paid here yet"
        raise PaymentsUnavailableError(message)

    def _ours(self, customer_id: str) -> bool:
        if not customer_id:
            return False
        with self._connect() as connection:
            return read_customer_named(connection, customer_id) is not None

    def _state(self, subscription_id: str) -> Subscription | None:
        return replay_subscription(self._events.events_of(subscription_stream(subscription_id)))

    def _asked(self) -> PaymentProvider:
        if self._provider is None:
            message = "there is no key to ask Stripe what this is about"
            raise PaymentsUnavailableError(message)
        return self._provider
