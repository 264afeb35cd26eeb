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
    "failed_at, sealed"
)
OPEN_DAY = "status <> 'completed' AND created_at > clock_timestamp() - interval '1 day'"


def _apply(statement: str, **absent: object) -> Handler:
    """A handler that executes one statement with the fact's members; `absent` are defaults."""

    def handle(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
        fact = msgspec.json.decode(stored.state)
        cursor.execute(statement.encode(), {**absent, **fact, "stream": stored.originator_id})

    return handle


HANDLERS: Mapping[str, Handler] = {
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
