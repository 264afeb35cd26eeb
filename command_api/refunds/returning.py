"""A refund or a dispute becomes an event of its payment, and then moves credits.

The event comes first: how many credits move depends on all that went back before, so it is decided
in the payment's stream, where two at once cannot both win. Credits are moved under keys of Stripe's
object, and moved again by whoever sees it again: who dies in between leaves work that the next one
does, and neither does it twice.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from command_api.money.returned import Source, move_credits
from domain.ledger.lots import GrantKind
from domain.payments.payment import known_payment, replay_payment
from domain.payments.returns import observe_cost, observe_return
from event_store.errors import LedgerUnavailableError
from event_store.ids import new_envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from domain.events.base import Event
    from domain.payments.payment import Payment
    from domain.payments.returned import Return
    from domain.payments.returns import CostSeen, ReturnSeen
    from event_store.append.committer import Committer
    from event_store.log.aggregates import Aggregates

TRIES_MAX = 10
"""How often a command is decided anew because somebody else was quicker."""


class Returning:
    """One for each process that handles what goes back."""

    def __init__(self, events: Aggregates, committer: Committer, actor: str) -> None:
        """`actor` stands on the events."""
        self._events, self._committer, self._actor = events, committer, actor

    def state(self, payment_id: UUID) -> Payment:
        """A payment, from its stream. Blocks; raises UnknownPaymentError."""
        return known_payment(replay_payment(self._events.events_of(payment_id)))

    async def observe(self, payment_id: UUID, seen: ReturnSeen) -> Payment:
        """What is observed becomes so, and its credits move; twice changes nothing.

        Raises DomainError for what cannot be, EventStoreError and PersistenceError for a database
        that is away.
        """
        state = await self._told(
            payment_id, lambda known: observe_return(known, seen, new_envelope(self._actor))
        )
        known = state.returns.of(seen.id)
        if known is not None:
            await self._move(state, known)
        return state

    async def cost(self, payment_id: UUID, seen: CostSeen) -> None:
        """A fee or a tax becomes a fact; raises as `observe`."""
        await self._told(
            payment_id, lambda known: observe_cost(known, seen, new_envelope(self._actor))
        )

    async def _told(
        self, payment_id: UUID, decide: Callable[[Payment], Sequence[Event]]
    ) -> Payment:
        """The payment's state after what is decided on it."""
        for _ in range(TRIES_MAX):
            events = decide(await asyncio.to_thread(self.state, payment_id))
            try:
                if events:
                    await asyncio.to_thread(self._events.append, events)
            except IntegrityError:
                continue
            return await asyncio.to_thread(self.state, payment_id)
        message = f"payment {payment_id} is being changed by others at this moment"
        raise LedgerUnavailableError(message)

    async def _move(self, payment: Payment, what: Return) -> None:
        """Its credits."""
        source = Source(
            account_id=UUID(payment.order.account_id),
            lot_id=payment.lot_id,
            payment_id=str(payment.id),
            kind=GrantKind.PURCHASE,
        )
        await move_credits(self._committer, source, what, actor=self._actor)
