"""What Stripe told of a payment becomes a command on it, and credits once.

The command is keyed by the payment, never by the event that told: whichever event comes first gives
the credits, and the append refuses a second lot of one payment. The lot is given before the payment
is completed in the log: who dies in between does both again, and neither twice.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from command_api.money.grants import Grant, append_grant
from domain.ledger.lots import GrantKind
from domain.payments.fiat import shown
from domain.payments.payment import (
    UnknownPaymentError,
    is_paid_by,
    known_payment,
    observe_payment,
    replay_payment,
)
from event_store.errors import LedgerUnavailableError
from event_store.ids import new_envelope
from providers.payments.told import INTENT, SESSION, observed, payment_named

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from domain.payments.payment import Observation, Payment
    from event_store.append.committer import Committer
    from event_store.log.aggregates import Aggregates
    from providers.payments.told import Notice

ACTOR = "system:stripe"
TRIES_MAX = 5
"""How often a command is decided anew because somebody else was quicker."""


class Crediting:
    """The handler of payments: sessions and intents."""

    kinds = frozenset({INTENT, SESSION})

    def __init__(self, events: Aggregates, committer: Committer) -> None:
        """Appends events of payments, and their lots."""
        self._events, self._committer = events, committer

    async def handle(self, notice: Notice, thing: Mapping[str, Any], as_of: int) -> bool:
        """Act on an object of ours; raises as `observe`."""
        payment_id = payment_named(thing)
        seen = observed(thing, as_of, notice.type) if payment_id else None
        if seen is None:
            return False
        await self.observe(_uuid(payment_id), seen)
        return True

    async def observe(self, payment_id: UUID, seen: Observation) -> None:
        """What is observed of a payment becomes so, with its credits; twice changes nothing.

        Raises DomainError for what cannot be, EventStoreError and PersistenceError for a database
        that is away.
        """
        for _ in range(TRIES_MAX):
            state = known_payment(await asyncio.to_thread(self._state, payment_id))
            lot_id = await self._give(state) if is_paid_by(state, seen) else ""
            events = observe_payment(state, seen, new_envelope(ACTOR), lot_id=lot_id)
            if not events:
                return
            try:
                await asyncio.to_thread(self._events.append, events)
            except IntegrityError:
                continue
            return
        message = f"payment {payment_id} is being changed by others at this moment"
        raise LedgerUnavailableError(message)

    async def _give(self, payment: Payment) -> str:
        """Its credits; the lot's id follows from the payment, so there is one in the end."""
        grant = Grant(
            account_id=UUID(payment.order.account_id),
            amount=payment.order.credits_nano_usd,
            kind=GrantKind.PURCHASE,
            reason=f"payment of {shown(payment.order.price)}",
            idempotency_key=f"payment {payment.id}",
            payment_id=str(payment.id),
        )
        lot_id, _ = await append_grant(self._committer, grant, actor=ACTOR)
        return lot_id

    def _state(self, payment_id: UUID) -> Payment | None:
        return replay_payment(self._events.events_of(payment_id))


def _uuid(text: str) -> UUID:
    """The id of a payment; raises UnknownPaymentError."""
    try:
        return UUID(text)
    except ValueError:
        message = f"{text[:64]!r} is no payment of ours"
        raise UnknownPaymentError(message) from None
