"""What Stripe told becomes a command on a payment, and credits once.

The command is keyed by the payment, never by the event that told: whichever event comes first gives
the credits, and the append refuses a second lot of one payment. The lot is given before the payment
is completed in the log: who dies in between does both again, and neither twice.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING
from uuid import UUID

from cryptography.exceptions import InvalidTag
from eventsourcing.persistence import IntegrityError

from command_api.money.grants import Grant, append_grant
from command_api.payments.inbox import DONE, IGNORED
from domain.errors import DomainError
from domain.ledger.lots import GrantKind
from domain.payments.fiat import shown
from domain.payments.payment import (
    is_paid_by,
    known_payment,
    observe_payment,
    replay_payment,
)
from event_store.errors import LedgerUnavailableError
from event_store.ids import new_envelope
from providers.payments.port import NotThereError, PaymentRefusedError
from providers.payments.told import (
    EVENT,
    INTENT,
    SESSION,
    UnreadableEventError,
    notice_of,
    observed,
    payment_named,
    read_notice,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from command_api.payments.inbox import Inbox, Taken
    from domain.payments.payment import Observation, Payment
    from event_store.append.committer import Committer
    from event_store.log.aggregates import Aggregates
    from providers.payments.port import PaymentProvider
    from providers.payments.told import Notice

ACTOR = "system:stripe"
TRIES_MAX = 5
"""How often a command is decided anew because somebody else was quicker."""


class FailedError(Exception):
    """It cannot be handled, and trying again changes nothing: the message begins with a code."""


class Handling:
    """One for each process that handles."""

    def __init__(
        self,
        inbox: Inbox,
        events: Aggregates,
        committer: Committer,
        provider: PaymentProvider | None,
    ) -> None:
        """The provider is asked for what an event does not say itself."""
        self._inbox, self._events = inbox, events
        self._committer, self._provider = committer, provider

    async def handle(self, taken: Taken) -> str:
        """Handle an entry; returns the state in which it ends.

        Raises FailedError. Any other error is of the moment: it may be tried again.
        """
        try:
            notice = await self._notice_of(taken)
            thing, as_of = await self._thing_of(notice)
            payment_id = payment_named(thing)
            if not payment_id:
                return IGNORED
            seen = observed(thing, as_of, notice.type)
            if seen is None:
                return IGNORED
            await self.observe(_uuid(payment_id), seen)
        except DomainError as error:
            message = f"{error.code}: {error}"
            raise FailedError(message) from None
        except NotThereError as error:
            message = f"not_there: {error}"
            raise FailedError(message) from None
        except (UnreadableEventError, PaymentRefusedError) as error:
            message = f"unreadable: {error}"
            raise FailedError(message) from None
        return DONE

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

    async def _notice_of(self, taken: Taken) -> Notice:
        """The event as it came; one that nobody can open any more is asked for."""
        try:
            return read_notice(await asyncio.to_thread(self._inbox.opened, taken))
        except (InvalidTag, ValueError):
            if self._provider is None:
                message = "unreadable: it is sealed with another secret, and there is no key"
                raise FailedError(message) from None
            return notice_of(await self._provider.thing(EVENT, taken.event_id))

    async def _thing_of(self, notice: Notice) -> tuple[Mapping[str, Any], int]:
        """What the event is about, and when it was so: a thin event's object as it is now."""
        if notice.thing is not None:
            return notice.thing, notice.happened_at
        if notice.kind not in {INTENT, SESSION}:
            return {}, 0
        if self._provider is None:
            message = "unreadable: a thin event, and there is no key to ask what it is about"
            raise FailedError(message)
        return await self._provider.thing(notice.kind, notice.name), int(time.time())


def _uuid(text: str) -> UUID:
    """The id of a payment; raises FailedError."""
    try:
        return UUID(text)
    except ValueError:
        message = f"payment_not_found: {text[:64]!r} is no payment of ours"
        raise FailedError(message) from None
