"""Payments begun and looked up. All of it blocks, and runs on the lane of people."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import msgspec
from cryptography.exceptions import InvalidTag
from eventsourcing.persistence import IntegrityError

from command_api.kept_replies.lookups import DATA_KEY
from domain.errors import InvalidCommandError
from domain.payments.payment import (
    known_payment,
    open_payment,
    replay_payment,
    start_payment,
)
from edge.errors import PERMISSION, ApiError
from event_store.beside.payments import (
    count_open,
    read_payment,
    read_payment_of_intent,
    read_payment_of_session,
    read_payments,
    read_returns,
)
from event_store.ids import new_envelope, new_uuid7

if TYPE_CHECKING:
    import psycopg
    from psycopg import Cursor
    from psycopg.rows import DictRow

    from command_api.identity.people import People
    from domain.payments.payment import Order, Payment
    from edge.caller import Caller
    from event_store.beside.payments import PaymentRow, ReturnRow

OPEN_MAX = 100
"""Most payments of an account begun within a day that are not paid."""
TRIES_MAX = 5
"""How often an event is appended to a stream to which somebody else appends at the same time."""


class OtherPaymentError(InvalidCommandError):
    """The idempotency key is of another payment."""


class TooManyOpenError(InvalidCommandError):
    """The account began too many payments that nobody finished."""


class PaymentsBook:
    """One for each process."""

    def __init__(self, people: People) -> None:
        """Through the connections of people."""
        self._people = people

    def begin(self, caller: Caller, order: Order, said: dict[str, Any], key: str | None) -> Payment:
        """A payment that nobody was asked for yet; under a key that was used, the same.

        What the caller said of it is sealed with the data key of whose account it is. Raises
        OtherPaymentError, TooManyOpenError.
        """
        account = UUID(caller.account_id)
        name = f"payment {order.way} {key}"
        payment_id = uuid5(account, name) if key else new_uuid7()
        known = self.state(payment_id) if key else None
        if known is None:
            known = self._begun(caller, order, said, payment_id)
        if known.order != _as_begun(order, known):
            message = "this Idempotency-Key is of another payment: use a new one for a new payment"
            raise OtherPaymentError(message)
        return known

    def _begun(
        self, caller: Caller, order: Order, said: dict[str, Any], payment_id: UUID
    ) -> Payment:
        with self._people.connect() as connection:
            if count_open(connection, UUID(caller.account_id)) >= OPEN_MAX:
                message = f"{OPEN_MAX} payments were begun within a day, and none of them is paid"
                raise TooManyOpenError(message)
            row = connection.execute(DATA_KEY.encode(), {"owner": UUID(caller.owner_id)}).fetchone()
        wrapped = None if row is None or row[0] is None else bytes(row[0])
        sealed = wrapped and self._people.vault.encrypt(wrapped, msgspec.json.encode(said))

        def keep(cursor: Cursor[DictRow]) -> None:
            statement = "UPDATE payment SET sealed = %s WHERE payment_id = %s"
            cursor.execute(statement, [sealed, payment_id])

        event = start_payment(payment_id, order, new_envelope(caller.actor))
        try:
            self._people.events.append([event], keep)
        except IntegrityError:
            # Somebody else began it under the same key at the same instant.
            return known_payment(self.state(payment_id))
        return known_payment(replay_payment([event]))

    def opened(
        self, payment_id: UUID, actor: str, *, session_id: str = "", intent_id: str = ""
    ) -> None:
        """The provider knows it by these ids."""
        for tried in range(1, TRIES_MAX + 1):
            state = known_payment(self.state(payment_id))
            events = open_payment(
                state, new_envelope(actor), session_id=session_id, intent_id=intent_id
            )
            try:
                if events:
                    self._people.events.append(events)
            except IntegrityError:
                if tried == TRIES_MAX:
                    raise
            else:
                return

    def state(self, payment_id: UUID) -> Payment | None:
        """A payment's state, from its stream."""
        return replay_payment(self._people.events.events_of(payment_id))

    def of_session(self, caller: Caller, session_id: str) -> PaymentRow:
        """The caller's payment of a checkout session; raises ApiError 403 or 404."""
        with self._people.connect() as connection:
            return _owned(caller, read_payment_of_session(connection, session_id))

    def of_intent(self, caller: Caller, intent_id: str) -> PaymentRow:
        """The caller's payment of an intent; raises ApiError 403 or 404."""
        with self._people.connect() as connection:
            return _owned(caller, read_payment_of_intent(connection, intent_id))

    def one(
        self, caller: Caller, payment_id: UUID
    ) -> tuple[PaymentRow, dict[str, Any], list[ReturnRow]]:
        """One of the caller's, what was said of it, and what went back; raises ApiError."""
        with self._people.connect() as connection:
            row = _owned(caller, read_payment(connection, payment_id))
            returns = read_returns(connection, payment_id)
            return row, self._said(connection, caller, [row])[0], returns

    def listed(
        self, caller: Caller, *, limit: int, offset: int
    ) -> tuple[int, list[tuple[PaymentRow, dict[str, Any]]]]:
        """How many the caller's account has, and a page of them with what was said."""
        account = UUID(caller.account_id)
        with self._people.connect() as connection:
            total, rows = read_payments(connection, account, limit=limit, offset=offset)
            return total, list(zip(rows, self._said(connection, caller, rows), strict=True))

    def _said(
        self, connection: psycopg.Connection[Any], caller: Caller, rows: list[PaymentRow]
    ) -> list[dict[str, Any]]:
        """What was said of each; nothing of what nobody can read any more."""
        found = connection.execute(DATA_KEY.encode(), {"owner": UUID(caller.owner_id)}).fetchone()
        if found is None or found[0] is None:
            return [{} for _ in rows]
        return [self._opened(bytes(found[0]), row.sealed) for row in rows]

    def _opened(self, wrapped: bytes, sealed: bytes | None) -> dict[str, Any]:
        if sealed is None:
            return {}
        try:
            text = self._people.vault.decrypt(wrapped, bytes(sealed))
        except InvalidTag:
            return {}
        return msgspec.json.decode(text, type=dict[str, Any])


def _owned(caller: Caller, row: PaymentRow | None) -> PaymentRow:
    if row is None:
        message = "There is no such payment: GET /api/stripe/payments lists yours."
        raise ApiError(404, "payment_not_found", message)
    if str(row.account_id) != caller.account_id:
        message = "This payment is of another account."
        raise ApiError(403, "not_your_payment", message, kind=PERMISSION)
    return row


def _as_begun(order: Order, known: Payment) -> Order:
    """An order as one that was begun: the rate may be another by now, or the member who asks."""
    first = known.order
    return replace(
        order,
        user_id=first.user_id,
        rate=first.rate,
        credits_nano_usd=first.credits_nano_usd,
    )
