"""What Stripe told of a customer's subscriptions becomes so, and allowances are given once.

Whose a subscription is, the log says: the account that the object's customer is. What stands in the
object's metadata is for people. The lot is given before its invoice is written down as paid: who
dies in between does both again, and the append knows the lot by its subscription and its period.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from command_api.money.closing import append_close
from command_api.money.grants import Grant, append_grant
from domain.ledger.lots import GrantKind
from domain.payments.fiat import USD, shown
from domain.subscriptions.allowance import PeriodUnknownError
from domain.subscriptions.customer import customer_stream, replay_customer, save_card
from domain.subscriptions.subscription import (
    LIVE,
    allowance_due,
    evolve_subscription,
    fail,
    grant_name,
    observe,
    pay,
    replay_subscription,
    subscription_stream,
)
from event_store.beside.billing.subscriptions import read_customer_named, read_trial_lots
from event_store.errors import LedgerUnavailableError
from event_store.ids import new_envelope, to_iso
from providers.payments.told_billing import (
    INVOICE,
    PAID,
    SETUP,
    SUBSCRIPTION,
    UNPAID,
    invoice_of,
    method_of,
    named,
    seen_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    import psycopg

    from domain.events.base import Event
    from domain.subscriptions.subscription import Invoice, Subscription
    from domain.subscriptions.tiers import Offers
    from event_store.append.committer import Committer
    from event_store.log.aggregates import Aggregates
    from providers.payments.port import PaymentProvider
    from providers.payments.told import Notice

    Decide = Callable[[Subscription | None], Sequence[Event]]

ACTOR = "system:stripe"
DOLLARS: Mapping[str, str] = {USD: "1"}
TRIES_MAX = 5
"""How often a command is decided anew because somebody else was quicker."""


class Subscribing:
    """The handler of subscriptions, their invoices, and cards that are saved."""

    kinds = frozenset({SUBSCRIPTION, INVOICE, SETUP})

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[psycopg.Connection[Any]]],
        events: Aggregates,
        committer: Committer,
        provider: PaymentProvider | None,
        offers: Offers,
        rates: Mapping[str, str] = DOLLARS,
    ) -> None:
        """Appends events of subscriptions, and their lots. The provider is asked for a period that
        nothing told of; `rates` are USD for one unit of each currency.
        """
        self._connect, self._events, self._committer = connect, events, committer
        self._provider, self._offers, self._rates = provider, offers, rates

    async def handle(self, notice: Notice, thing: Mapping[str, Any], as_of: int) -> bool:
        """Act on an object of a customer of ours; raises DomainError for what can never be."""
        customer_id, subscription_id = named(thing)
        account_id = await asyncio.to_thread(self._account, customer_id)
        if account_id is None:
            return False
        if notice.kind == INVOICE:
            return await self._invoice(notice, thing, account_id, subscription_id, as_of)
        if method := method_of(thing):
            await asyncio.to_thread(self._save_card, account_id, method, as_of)
        if notice.kind == SETUP:
            return True
        return await self._stands(thing, account_id, subscription_id, as_of)

    async def _stands(
        self, thing: Mapping[str, Any], account_id: str, subscription_id: str, as_of: int
    ) -> bool:
        seen = seen_of(thing, as_of, self._offers)
        if seen is None or not subscription_id:
            return False
        await self._save(
            account_id,
            subscription_id,
            lambda state: observe(state, subscription_id, account_id, seen, new_envelope(ACTOR)),
        )
        return True

    async def _invoice(
        self,
        notice: Notice,
        thing: Mapping[str, Any],
        account_id: str,
        subscription_id: str,
        as_of: int,
    ) -> bool:
        if not subscription_id:
            return False
        invoice = invoice_of(thing, as_of, self._offers)
        if invoice is None:
            return False
        if notice.type == UNPAID:
            await self._save(
                account_id,
                subscription_id,
                lambda state: fail(state, invoice.id, as_of, new_envelope(ACTOR)),
            )
            return True
        if notice.type != PAID and thing.get("status") != "paid":
            return False
        await self._paid(account_id, subscription_id, invoice)
        return True

    async def _paid(self, account_id: str, subscription_id: str, invoice: Invoice) -> None:
        for _ in range(TRIES_MAX):
            state = await asyncio.to_thread(self._state, subscription_id)
            try:
                due = allowance_due(state, invoice, self._offers)
            except PeriodUnknownError:
                if not await self._asked(account_id, subscription_id):
                    raise
                state = await asyncio.to_thread(self._state, subscription_id)
                due = allowance_due(state, invoice, self._offers)
            if due is None:
                return
            lot_id = await self._give(account_id, subscription_id, invoice, due) if due else None
            event = pay(
                state,
                subscription_id,
                account_id,
                invoice,
                due,
                lot_id,
                new_envelope(ACTOR),
                self._rates.get(invoice.paid.currency, ""),
            )
            if await self._append(account_id, state, [event]):
                return
        raise _busy(subscription_id)

    async def _asked(self, account_id: str, subscription_id: str) -> bool:
        """Ask Stripe how a subscription stands, for its period; whether anybody could be asked."""
        if self._provider is None:
            return False
        thing = await self._provider.thing(SUBSCRIPTION, subscription_id)
        now = int(datetime.now(UTC).timestamp())
        return await self._stands(thing, account_id, subscription_id, now)

    async def _give(
        self, account_id: str, subscription_id: str, invoice: Invoice, amount: int
    ) -> str:
        """The allowance; the lot's id follows from the period, so there is one in the end."""
        ends = datetime.fromtimestamp(invoice.main.period.ends, UTC)
        grant = Grant(
            account_id=UUID(account_id),
            amount=amount,
            kind=GrantKind.ALLOWANCE,
            reason=f"subscription {invoice.main.tier}, {shown(invoice.paid)}",
            expires_at=to_iso(ends),
            idempotency_key=grant_name(subscription_id, invoice),
            payment_id=invoice.id,
        )
        return (await append_grant(self._committer, grant, actor=ACTOR))[0]

    async def _save(self, account_id: str, subscription_id: str, decide: Decide) -> None:
        for _ in range(TRIES_MAX):
            state = await asyncio.to_thread(self._state, subscription_id)
            events = decide(state)
            if not events or await self._append(account_id, state, events):
                return
        raise _busy(subscription_id)

    async def _append(
        self, account_id: str, state: Subscription | None, events: Sequence[Event]
    ) -> bool:
        """End the trial with what begins to be in force, then save. False for who came second.

        Who dies in between ends it again, which changes nothing.
        """
        after = state
        for each in events:
            after = evolve_subscription(after, each)
        was = state is not None and state.seen.status in LIVE
        begins = after is not None and after.seen.status in LIVE and not was
        for lot_id in await asyncio.to_thread(self._trials, account_id) if begins else ():
            await append_close(self._committer, UUID(account_id), lot_id, actor=ACTOR)
        try:
            await asyncio.to_thread(self._events.append, events)
        except IntegrityError:
            return False
        return True

    def _trials(self, account_id: str) -> list[UUID]:
        with self._connect() as connection:
            return read_trial_lots(connection, UUID(account_id))

    def _save_card(self, account_id: str, method_id: str, as_of: int) -> None:
        stream = customer_stream(account_id)
        for _ in range(TRIES_MAX):
            state = replay_customer(self._events.events_of(stream))
            saved = [] if state is None else save_card(state, method_id, as_of, new_envelope(ACTOR))
            try:
                if saved:
                    self._events.append(saved)
            except IntegrityError:
                continue
            return
        raise _busy(account_id)

    def _account(self, customer_id: str) -> str | None:
        if not customer_id:
            return None
        with self._connect() as connection:
            row = read_customer_named(connection, customer_id)
        return None if row is None else str(row.account_id)

    def _state(self, subscription_id: str) -> Subscription | None:
        stream = subscription_stream(subscription_id)
        return replay_subscription(self._events.events_of(stream))


def _busy(what: str) -> LedgerUnavailableError:
    message = f"{what} is being changed by others at this moment"
    return LedgerUnavailableError(message)
