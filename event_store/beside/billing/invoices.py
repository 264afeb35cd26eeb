"""Paid invoices of subscriptions beside the log, what went back of them, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from domain.events.money.subscriptions import SubscriptionCost, SubscriptionReturned
from domain.payments.returned import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    import psycopg
    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Connection = psycopg.Connection[Any]
    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

_INVOICE = """
INSERT INTO subscription_invoice (invoice_id, stream, account_id, amount_minor, currency,
  allowance_nano_usd, lot_id, created_at)
VALUES (%(invoice_id)s, %(stream)s, %(account_id)s, %(amount_minor)s, %(currency)s,
  %(allowance_nano_usd)s, %(lot_id)s, %(effective_at)s)
"""
_RETURN = """
INSERT INTO subscription_return AS r (object_id, invoice_id, kind, phase, amount_minor, currency,
  credits_nano_usd, created_at, updated_at)
VALUES (%(object_id)s, %(invoice_id)s, %(kind)s, %(phase)s, %(amount_minor)s, %(currency)s,
  greatest(%(moved)s, 0), %(effective_at)s, %(effective_at)s)
ON CONFLICT (object_id) DO UPDATE SET phase = %(phase)s, updated_at = %(effective_at)s,
  credits_nano_usd = r.credits_nano_usd + %(moved)s
"""
_COST = """
INSERT INTO subscription_cost (source_id, kind, stream, invoice_id, amount_minor, currency,
  amount_nano_usd, created_at)
VALUES (%(source_id)s, %(kind)s, %(stream)s, %(invoice_id)s, %(amount_minor)s, %(currency)s,
  %(amount_nano_usd)s, %(effective_at)s)
"""


_INVOICES = (
    "SELECT invoice_id, account_id, amount_minor, currency, lot_id FROM subscription_invoice"
)


def keep_invoice(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    """An invoice was paid."""
    _execute(cursor, stored, _INVOICE)


def _returned(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    _execute(cursor, stored, _RETURN)


def _cost(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    _execute(cursor, stored, _COST)


def _execute(cursor: Cursor[DictRow], stored: StoredEvent, statement: str) -> None:
    fact = {"lot_id": None, **msgspec.json.decode(stored.state)}
    sign = -1 if fact.get("phase") == Phase.BACK else 1
    moved = sign * fact.get("credits_nano_usd", 0)
    values = {**fact, "stream": stored.originator_id, "moved": moved}
    cursor.execute(statement.encode(), values)


INVOICE_HANDLERS: Mapping[str, Handler] = {
    SubscriptionReturned.TOPIC: _returned,
    SubscriptionCost.TOPIC: _cost,
}


class InvoiceRow(NamedTuple):
    """A paid invoice as the table has it."""

    invoice_id: str
    account_id: UUID
    amount_minor: int
    currency: str
    lot_id: UUID | None


class InvoiceReturnRow(NamedTuple):
    """A refund or dispute as the table has it; credits are those taken now, nano-USD."""

    object_id: str
    kind: str
    phase: str
    amount_minor: int
    currency: str
    credits_nano_usd: int
    invoice_id: str
    account_id: UUID


class InvoiceCostRow(NamedTuple):
    """A fee as the table has it."""

    source_id: str
    invoice_id: str
    amount_minor: int
    currency: str


def read_invoices(
    connection: Connection, names: Sequence[str], since: datetime, until: datetime, most: int
) -> list[InvoiceRow]:
    """Those of these names, and those noted in a time, the oldest first; at most so many."""
    rows = connection.execute(
        f"{_INVOICES} WHERE invoice_id = ANY (%s) OR (created_at >= %s AND created_at < %s) "
        "ORDER BY created_at, invoice_id LIMIT %s",
        [list(names), since, until, most],
    ).fetchall()
    return [InvoiceRow(*row) for row in rows]


def read_invoice_returns(
    connection: Connection, names: Sequence[str], since: datetime, until: datetime, most: int
) -> list[InvoiceReturnRow]:
    """Those of these names, and those noted in a time; at most so many."""
    rows = connection.execute(
        "SELECT r.object_id, r.kind, r.phase, r.amount_minor, r.currency, r.credits_nano_usd, "
        "r.invoice_id, i.account_id FROM subscription_return r "
        "JOIN subscription_invoice i USING (invoice_id) WHERE r.object_id = ANY (%s) "
        "OR (r.created_at >= %s AND r.created_at < %s) "
        "ORDER BY r.created_at, r.object_id LIMIT %s",
        [list(names), since, until, most],
    ).fetchall()
    return [InvoiceReturnRow(*row) for row in rows]


def read_invoice_fees(
    connection: Connection, names: Sequence[str], since: datetime, until: datetime, most: int
) -> list[InvoiceCostRow]:
    """The fees of these sources, and those noted in a time; at most so many."""
    rows = connection.execute(
        "SELECT source_id, invoice_id, amount_minor, currency FROM subscription_cost "
        "WHERE kind = 'fee' AND (source_id = ANY (%s) "
        "OR (created_at >= %s AND created_at < %s)) ORDER BY created_at, source_id LIMIT %s",
        [list(names), since, until, most],
    ).fetchall()
    return [InvoiceCostRow(*row) for row in rows]


def read_invoices_named(connection: Connection, names: Sequence[str]) -> list[InvoiceRow]:
    """Those of these names."""
    rows = connection.execute(
        f"{_INVOICES} WHERE invoice_id = ANY (%s)",
        [list(names)],
    ).fetchall()
    return [InvoiceRow(*row) for row in rows]


def read_not_given(connection: Connection, names: Sequence[str]) -> list[str]:
    """Of these invoices those whose lot the ledger does not have."""
    rows = connection.execute(
        "SELECT i.invoice_id FROM subscription_invoice i WHERE i.invoice_id = ANY (%s) "
        "AND i.lot_id IS NOT NULL "
        "AND NOT EXISTS (SELECT FROM grant_key g WHERE g.lot_id = i.lot_id) ORDER BY 1",
        [list(names)],
    ).fetchall()
    return [str(name) for (name,) in rows]
