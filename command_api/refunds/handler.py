"""What Stripe told of refunds, disputes, charges, sessions' taxes and payouts."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from eventsourcing.persistence import IntegrityError

from command_api.refunds.returning import Returning
from domain.events.money.returns import PayoutTold
from domain.payments.fiat import Fiat
from domain.payments.payment import (
    AmountDiffersError,
    Observation,
    PaidTwiceError,
    Status,
    is_paid_by,
)
from domain.payments.returns import tell_payout
from event_store.beside.payments import read_payment_of_intent
from event_store.errors import LedgerUnavailableError
from event_store.ids import new_envelope
from providers.payments.port import PaymentsUnavailableError
from providers.payments.returns import (
    BALANCE,
    CHARGE,
    DISPUTE,
    PAYOUT,
    REFUND,
    dispute_in,
    fee_in,
    fees_in,
    intent_in,
    name_in,
    payout_in,
    refund_in,
    refunded,
    tax_in,
)
from providers.payments.told import SESSION, UnreadableEventError, payment_named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    import psycopg

    from domain.payments.payment import Payment
    from domain.payments.returns import ReturnSeen
    from event_store.append.committer import Committer
    from event_store.log.aggregates import Aggregates
    from providers.payments.port import PaymentProvider
    from providers.payments.told import Notice

    Connect = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]

logger = logging.getLogger("gatewayz.payments")

ACTOR = "system:stripe"
PAYOUTS = UUID("6f0c7c4e-61a4-5b0e-9c53-0d6b3c8f2a11")
"""The namespace of payouts' streams."""


class ReturnHandler:
    """The handler of what goes back."""

    kinds = frozenset({REFUND, DISPUTE, CHARGE, PAYOUT})

    def __init__(
        self,
        connect: Connect,
        events: Aggregates,
        committer: Committer,
        provider: PaymentProvider | None,
        rates: Mapping[str, str],
    ) -> None:
        """The provider is asked what an object does not say itself; `rates` are for payouts."""
        self._connect, self._events, self._provider = connect, events, provider
        self._returning = Returning(events, committer, ACTOR)
        self._rates = rates

    async def handle(self, notice: Notice, thing: Mapping[str, Any], as_of: int) -> bool:
        """Act on what is of a payment of ours; raises as `Handler.handle` says."""
        match notice.kind:
            case "refund":
                return await self._return(refund_in(thing, as_of)) is not None
            case "dispute":
                return await self._dispute(thing, as_of, notice.type)
            case "charge":
                return await self._charge(thing, as_of)
            case _:
                return await self._payout(thing, as_of)

    async def _return(self, seen: ReturnSeen) -> Payment | None:
        """The payment of ours that it is of, which was acted on; None for none."""
        if not seen.id:
            message = f"a {seen.kind} without an id"
            raise UnreadableEventError(message)
        payment = await self._payment_of(seen.intent_id)
        if payment is not None and _bought(payment, seen.intent_id):
            await self._returning.observe(payment.id, seen)
        return payment

    async def _charge(self, thing: Mapping[str, Any], as_of: int) -> bool:
        """A charge says how much is refunded, not by which refunds: these are asked for."""
        intent_id, found = intent_in(thing), False
        gone, name = refunded(thing), name_in(thing.get(BALANCE))
        ours = payment_named(thing)
        if ours and name and thing.get("paid") is True:
            # Whatever it paid, and whether that is known here yet: it cost so much.
            transaction, found = await self._asked().thing(BALANCE, name), True
            for each in fee_in(transaction):
                await self._returning.cost(payment_id_in(ours), each)
        if gone is None or gone.minor == 0:
            return found
        payment = await self._payment_of(intent_id)
        if payment is None or not _bought(payment, intent_id):
            return found or payment is not None
        if gone.minor > payment.returns.refunded:
            for refund in await self._asked().refunds_of(intent_id):
                await self._returning.observe(payment.id, refund_in(refund, as_of))
        return True

    async def _dispute(self, thing: Mapping[str, Any], as_of: int, told: str) -> bool:
        payment = await self._return(dispute_in(thing, as_of, told))
        for each in fees_in(thing) if payment is not None else ():
            assert payment is not None
            await self._returning.cost(payment.id, each)
        return payment is not None

    async def _payout(self, thing: Mapping[str, Any], as_of: int) -> bool:
        seen = payout_in(thing, as_of)
        if seen is None:
            return False
        stream = uuid5(PAYOUTS, seen.id)

        def tell() -> None:
            told = [each for each in self._events.events_of(stream) if isinstance(each, PayoutTold)]
            events = tell_payout(told, stream, seen, self._rates, new_envelope(ACTOR))
            if events:
                self._events.append(events)

        try:
            await asyncio.to_thread(tell)
        except IntegrityError:
            message = f"payout {seen.id} is told by others at this moment"
            raise LedgerUnavailableError(message) from None
        return True

    async def _payment_of(self, intent_id: str) -> Payment | None:
        """Our payment of an intent; None where it is none of ours.

        Raises PaymentsUnavailableError where it is paid and that was not told yet: later it was.
        """
        if not intent_id:
            return None
        row = await asyncio.to_thread(self._row, intent_id)
        if row is not None:
            payment = await asyncio.to_thread(self._returning.state, row)
            if payment.status is Status.COMPLETED:
                return payment
        intent = await self._asked().intent(intent_id)
        try:
            name = UUID(intent.payment_id)
        except ValueError:
            return None
        payment = await asyncio.to_thread(self._returning.state, name)
        seen = Observation(
            Status.COMPLETED, 0, Fiat(intent.received, intent.currency), intent_id=intent.id
        )
        try:
            is_paid_by(payment, seen)
        except (AmountDiffersError, PaidTwiceError) as error:
            logger.info("payment %s gave nothing for %s: %s", name, intent_id, error)
            return payment
        message = f"payment {name} is not completed here yet"
        raise PaymentsUnavailableError(message)

    def _row(self, intent_id: str) -> UUID | None:
        with self._connect() as connection:
            row = read_payment_of_intent(connection, intent_id)
        return row and row.payment_id

    def _asked(self) -> PaymentProvider:
        if self._provider is None:
            message = "there is no key to ask Stripe what this is about"
            raise PaymentsUnavailableError(message)
        return self._provider


class TaxHandler:
    """The handler of taxes: a session may have some in its total."""

    kinds = frozenset({SESSION})

    def __init__(self, events: Aggregates, committer: Committer) -> None:
        """Appends facts."""
        self._returning = Returning(events, committer, ACTOR)

    async def handle(self, notice: Notice, thing: Mapping[str, Any], as_of: int) -> bool:
        """Note a paid session's tax; it is the payments' own all the same."""
        del notice, as_of
        taxes = list(tax_in(thing)) if thing.get("payment_status") == "paid" else []
        name = payment_named(thing)
        for each in taxes if name else ():
            await self._returning.cost(payment_id_in(name), each)
        return False


def _bought(payment: Payment, intent_id: str) -> bool:
    """Whether this intent is what gave the payment's credits."""
    return payment.status is Status.COMPLETED and payment.intent_id == intent_id


def payment_id_in(text: str) -> UUID:
    """The id of a payment; raises UnreadableEventError."""
    try:
        return UUID(text)
    except ValueError:
        message = f"{text[:64]!r} is no payment of ours"
        raise UnreadableEventError(message) from None
