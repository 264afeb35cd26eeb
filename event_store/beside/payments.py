"""Payments beside the log: what their events change there, and reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from domain.events.money.payments import (
    PaymentChanged,
    PaymentCompleted,
    PaymentOpened,
    PaymentStarted,
)
from domain.events.money.returns import PaymentCost, PayoutTold
from domain.payments.payment import shown_status
from domain.payments.returned import MEANING, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from uuid import UUID

    import psycopg
    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Connection = psycopg.Connection[Any]
    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

COLUMNS = (
    "payment_id, account_id, user_id, way, package, amount_minor, currency, credits_nano_usd, "
    "status, failure, session_id, intent_id, lot_id, created_at, updated_at, completed_at, "
    "failed_at, sealed, "
    "(SELECT coalesce(sum(r.amount_minor), 0)::bigint FROM payment_return r WHERE "
    "r.payment_id = payment.payment_id AND r.kind = 'refund' AND r.phase IN ('out', 'lost')), "
    "coalesce((SELECT r.phase FROM payment_return r WHERE r.payment_id = payment.payment_id "
    "AND r.kind = 'dispute' ORDER BY r.created_at DESC, r.object_id DESC LIMIT 1), '')"
)
OPEN_DAY = "status <> 'completed' AND created_at > clock_timestamp() - interval '1 day'"


def _apply(statement: str, **absent: object) -> Handler:
    """A handler that executes one statement with the fact's members; `absent` are defaults."""

    def handle(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
        fact = msgspec.json.decode(stored.state)
        cursor.execute(statement.encode(), {**absent, **fact, "stream": stored.originator_id})

    return handle


_RETURNED = """
INSERT INTO payment_return AS r (object_id, payment_id, kind, phase, amount_minor, currency,
  credits_nano_usd, reason, created_at, updated_at)
VALUES (%(object_id)s, %(stream)s, %(kind)s, %(phase)s, %(amount_minor)s, %(currency)s,
  greatest(%(moved)s, 0), %(reason)s, %(effective_at)s, %(effective_at)s)
ON CONFLICT (object_id) DO UPDATE SET phase = %(phase)s, updated_at = %(effective_at)s,
  credits_nano_usd = r.credits_nano_usd + %(moved)s
"""


def _returned(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    fact = msgspec.json.decode(stored.state)
    kind, phase = _MEANING[stored.topic]
    moved = fact["credits_nano_usd"] * (-1 if phase is Phase.BACK else 1)
    more = {"stream": stored.originator_id, "kind": kind, "phase": phase, "moved": moved}
    cursor.execute(_RETURNED, {"reason": "", **fact, **more})


_MEANING = {event.TOPIC: meaning for event, meaning in MEANING.items()}
HANDLERS: Mapping[str, Handler] = {
    **dict.fromkeys(_MEANING, _returned),
    PaymentCost.TOPIC: _apply(
        "INSERT INTO payment_cost (source_id, kind, payment_id, amount_minor, currency, "
        "amount_nano_usd, created_at) VALUES (%(source_id)s, %(kind)s, %(stream)s, "
        "%(amount_minor)s, %(currency)s, %(amount_nano_usd)s, %(effective_at)s)"
    ),
    PayoutTold.TOPIC: _apply(
        "INSERT INTO payout (payout_id, stream_id, paid, amount_minor, currency, amount_nano_usd, "
        "created_at, updated_at) VALUES (%(payout_id)s, %(stream)s, %(paid)s, %(amount_minor)s, "
        "%(currency)s, %(amount_nano_usd)s, %(effective_at)s, %(effective_at)s) "
        "ON CONFLICT (payout_id) DO UPDATE SET paid = %(paid)s, updated_at = %(effective_at)s"
    ),
    PaymentStarted.TOPIC: _apply(
        "INSERT INTO payment (payment_id, account_id, user_id, way, package, amount_minor, "
        "currency, credits_nano_usd, created_at, updated_at) VALUES (%(stream)s, %(account_id)s, "
        "%(user_id)s, %(way)s, %(package)s, %(amount_minor)s, %(currency)s, "
        "%(credits_nano_usd)s, %(effective_at)s, %(effective_at)s)",
        package="",
    ),
    PaymentOpened.TOPIC: _apply(
        "UPDATE payment SET session_id = coalesce(nullif(%(session_id)s, ''), session_id), "
        "intent_id = coalesce(nullif(%(intent_id)s, ''), intent_id), updated_at = %(effective_at)s "
        "WHERE payment_id = %(stream)s",
        session_id="",
        intent_id="",
    ),
    PaymentChanged.TOPIC: _apply(
        "UPDATE payment SET status = %(status)s, failure = %(failure)s, "
        "intent_id = coalesce(nullif(%(intent_id)s, ''), intent_id), "
        "updated_at = %(effective_at)s, "
        "failed_at = CASE WHEN %(failure)s <> '' OR %(status)s IN ('failed', 'canceled') "
        "THEN %(effective_at)s ELSE failed_at END WHERE payment_id = %(stream)s",
        failure="",
        intent_id="",
    ),
    PaymentCompleted.TOPIC: _apply(
        "UPDATE payment SET status = 'completed', failure = '', intent_id = %(intent_id)s, "
        "lot_id = %(lot_id)s, updated_at = %(effective_at)s, completed_at = %(effective_at)s "
        "WHERE payment_id = %(stream)s"
    ),
}


class PaymentRow(NamedTuple):
    """A payment as the table has it, in the order of `COLUMNS`."""

    payment_id: UUID
    account_id: UUID
    user_id: UUID
    way: str
    package: str
    amount_minor: int
    currency: str
    credits_nano_usd: int
    status: str
    failure: str
    session_id: str
    intent_id: str
    lot_id: UUID | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    failed_at: datetime | None
    sealed: bytes | None
    refunded_minor: int
    dispute: str

    @property
    def shown_status(self) -> str:
        """The status with what was refunded."""
        return shown_status(self.status, self.amount_minor, self.refunded_minor)


def read_payment(connection: Connection, payment_id: UUID) -> PaymentRow | None:
    """One payment."""
    row = connection.execute(
        f"SELECT {COLUMNS} FROM payment WHERE payment_id = %s", [payment_id]
    ).fetchone()
    return None if row is None else PaymentRow(*row)


def read_payment_of_session(connection: Connection, session_id: str) -> PaymentRow | None:
    """The payment of a checkout session."""
    row = connection.execute(
        f"SELECT {COLUMNS} FROM payment WHERE session_id = %s AND session_id <> ''", [session_id]
    ).fetchone()
    return None if row is None else PaymentRow(*row)


def read_payment_of_intent(connection: Connection, intent_id: str) -> PaymentRow | None:
    """The payment of a payment intent."""
    row = connection.execute(
        f"SELECT {COLUMNS} FROM payment WHERE intent_id = %s AND intent_id <> ''", [intent_id]
    ).fetchone()
    return None if row is None else PaymentRow(*row)


def read_payments(
    connection: Connection, account_id: UUID, *, limit: int, offset: int
) -> tuple[int, list[PaymentRow]]:
    """How many payments an account has, and a page of them, the newest first."""
    count = connection.execute(
        "SELECT count(*) FROM payment WHERE account_id = %s", [account_id]
    ).fetchone()
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM payment WHERE account_id = %s "
        "ORDER BY created_at DESC, payment_id DESC LIMIT %s OFFSET %s",
        [account_id, limit, offset],
    ).fetchall()
    return (int(count[0]) if count else 0), [PaymentRow(*row) for row in rows]


def read_payments_between(
    connection: Connection, since: datetime, until: datetime, most: int
) -> list[PaymentRow]:
    """Those that began in a time, the oldest first; at most so many."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM payment WHERE created_at >= %s AND created_at < %s "
        "ORDER BY created_at, payment_id LIMIT %s",
        [since, until, most],
    ).fetchall()
    return [PaymentRow(*row) for row in rows]


def count_open(connection: Connection, account_id: UUID) -> int:
    """How many payments an account began within a day that are not paid."""
    row = connection.execute(
        f"SELECT count(*) FROM payment WHERE account_id = %s AND {OPEN_DAY}", [account_id]
    ).fetchone()
    return int(row[0]) if row else 0


class ReturnRow(NamedTuple):
    """A refund or dispute as the table has it; credits are those taken now, nano-USD."""

    object_id: str
    payment_id: UUID
    kind: str
    phase: str
    amount_minor: int
    currency: str
    credits_nano_usd: int
    reason: str
    created_at: datetime


def read_returns(connection: Connection, payment_id: UUID) -> list[ReturnRow]:
    """Refunds and disputes of a payment, in their order."""
    rows = connection.execute(
        "SELECT object_id, payment_id, kind, phase, amount_minor, currency, credits_nano_usd, "
        "reason, created_at FROM payment_return WHERE payment_id = %s "
        "ORDER BY created_at, object_id",
        [payment_id],
    ).fetchall()
    return [ReturnRow(*row) for row in rows]
