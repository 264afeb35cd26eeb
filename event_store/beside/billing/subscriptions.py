"""Customers at the payment provider, their subscriptions: what events change there, and reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from domain.events.money.subscriptions import (
    CardSaved,
    CustomerLinked,
    SubscriptionChanged,
    SubscriptionPaid,
    SubscriptionUnpaid,
)
from domain.subscriptions.subscription import LIVE
from domain.subscriptions.tiers import RANK, Tier
from event_store.beside.billing.invoices import INVOICE_HANDLERS, keep_invoice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    import psycopg
    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Connection = psycopg.Connection[Any]
    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

COLUMNS = (
    "subscription_id, account_id, status, tier, product_id, price_id, period_begins, period_ends, "
    "cancels_at_end, as_of, unpaid"
)
LISTED_MAX = 100
"""Most subscriptions of an account that one reading gives, the latest."""
_INSERT = (
    "INSERT INTO subscription (stream, account_id, subscription_id, status, tier, product_id, "
    "price_id, period_begins, period_ends, cancels_at_end, as_of, updated_at) "
)


def _apply(statement: str) -> Handler:
    """A handler that executes one statement with the fact's members."""

    def handle(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
        fact = msgspec.json.decode(stored.state)
        cursor.execute(statement.encode(), {**fact, "stream": stored.originator_id})

    return handle


def _paid(statement: str) -> Handler:
    """A handler of what is paid: the subscription stands well, and the invoice is there."""
    stands = _apply(statement)

    def handle(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
        stands(cursor, stored)
        keep_invoice(cursor, stored)

    return handle


HANDLERS: Mapping[str, Handler] = {
    **INVOICE_HANDLERS,
    CustomerLinked.TOPIC: _apply(
        "INSERT INTO payment_customer (account_id, customer_id) "
        "VALUES (%(account_id)s, %(customer_id)s)"
    ),
    CardSaved.TOPIC: _apply(
        "UPDATE payment_customer SET method_id = %(method_id)s WHERE account_id = %(account_id)s"
    ),
    SubscriptionChanged.TOPIC: _apply(
        _INSERT + "VALUES (%(stream)s, %(account_id)s, %(subscription_id)s, %(status)s, %(tier)s, "
        "%(product_id)s, %(price_id)s, %(period_begins)s, %(period_ends)s, %(cancels_at_end)s, "
        "%(as_of)s, %(effective_at)s) ON CONFLICT (stream) DO UPDATE SET "
        "status = excluded.status, tier = excluded.tier, product_id = excluded.product_id, "
        "price_id = excluded.price_id, period_begins = excluded.period_begins, "
        "period_ends = excluded.period_ends, cancels_at_end = excluded.cancels_at_end, "
        "as_of = excluded.as_of, updated_at = excluded.updated_at"
    ),
    SubscriptionPaid.TOPIC: _paid(
        _INSERT + "VALUES (%(stream)s, %(account_id)s, %(subscription_id)s, 'active', %(tier)s, "
        "'', '', %(period_begins)s, %(period_ends)s, false, 0, %(effective_at)s) "
        "ON CONFLICT (stream) DO UPDATE SET updated_at = excluded.updated_at, "
        "unpaid = CASE WHEN subscription.unpaid = %(invoice_id)s THEN '' "
        "ELSE subscription.unpaid END, "
        "status = CASE WHEN subscription.status = 'past_due' "
        "AND subscription.unpaid = %(invoice_id)s THEN 'active' ELSE subscription.status END, "
        "as_of = CASE WHEN subscription.status = 'past_due' "
        "AND subscription.unpaid = %(invoice_id)s THEN greatest(subscription.as_of, %(as_of)s) "
        "ELSE subscription.as_of END"
    ),
    SubscriptionUnpaid.TOPIC: _apply(
        "UPDATE subscription SET unpaid = %(invoice_id)s, updated_at = %(effective_at)s, "
        "as_of = CASE WHEN status IN ('active', 'trialing') THEN %(as_of)s ELSE as_of END, "
        "status = CASE WHEN status IN ('active', 'trialing') THEN 'past_due' ELSE status END "
        "WHERE stream = %(stream)s"
    ),
}


class CustomerRow(NamedTuple):
    """The customer that an account is."""

    account_id: UUID
    customer_id: str
    method_id: str


class SubscriptionRow(NamedTuple):
    """A subscription as the table has it, in the order of `COLUMNS`."""

    subscription_id: str
    account_id: UUID
    status: str
    tier: str
    product_id: str
    price_id: str
    period_begins: int
    period_ends: int
    cancels_at_end: bool
    as_of: int
    unpaid: str


_CUSTOMER = "SELECT account_id, customer_id, method_id FROM payment_customer WHERE "


def read_customer(connection: Connection, account_id: UUID) -> CustomerRow | None:
    """The customer that an account is, if it is one."""
    row = connection.execute(_CUSTOMER + "account_id = %s", [account_id]).fetchone()
    return None if row is None else CustomerRow(*row)


def read_customer_named(connection: Connection, customer_id: str) -> CustomerRow | None:
    """The account of a customer of the provider's, if it is one of ours."""
    row = connection.execute(_CUSTOMER + "customer_id = %s", [customer_id]).fetchone()
    return None if row is None else CustomerRow(*row)


def read_customers_among(connection: Connection, names: Sequence[str]) -> set[str]:
    """Those of the provider's customers that are accounts here."""
    rows = connection.execute(
        "SELECT customer_id FROM payment_customer WHERE customer_id = ANY (%s)", [list(names)]
    ).fetchall()
    return {str(name) for (name,) in rows}


def read_subscriptions(connection: Connection, account_id: UUID) -> list[SubscriptionRow]:
    """The subscriptions of an account, the latest first."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM subscription WHERE account_id = %s "
        "ORDER BY period_begins DESC, subscription_id LIMIT %s",
        [account_id, LISTED_MAX],
    ).fetchall()
    return [SubscriptionRow(*row) for row in rows]


def count_tiers(connection: Connection) -> dict[Tier, int]:
    """How many users have each tier by a subscription of their own that is in force."""
    rows = connection.execute(
        "SELECT tier, count(*) FROM (SELECT DISTINCT ON (s.account_id) s.tier FROM subscription s "
        "JOIN user_secret u USING (account_id) WHERE s.status = ANY (%s) "
        "AND u.wrapped_key IS NOT NULL "
        "ORDER BY s.account_id, array_position(%s::text[], s.tier) DESC) t GROUP BY tier",
        [[str(each) for each in LIVE], [str(each) for each in RANK]],
    ).fetchall()
    found = {Tier(tier): int(count) for tier, count in rows}
    return {tier: found.get(tier, 0) for tier in RANK}


def read_trial_lots(connection: Connection, account_id: UUID) -> list[UUID]:
    """The trials of an account that are not over, as the append has them."""
    rows = connection.execute(
        "SELECT lot_id FROM credit_lot WHERE account_id = %s AND kind = 'trial' "
        "AND expires_at > booking_clock() ORDER BY sequence LIMIT %s",
        [account_id, LISTED_MAX],
    ).fetchall()
    return [lot for (lot,) in rows]
