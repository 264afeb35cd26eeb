"""Compares the tables of payments and who pays with the log, what is paid with the lots given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from domain.payments.book import PaymentBook
    from domain.payments.payment import Payment
    from domain.subscriptions.all import AllSubscriptions
    from domain.subscriptions.subscription import Subscription
    from domain.topups.all import AllTopUps

STORED = (
    "SELECT payment_id::text, account_id::text, user_id::text, way, package, amount_minor, "
    "currency, credits_nano_usd, status, failure, session_id, intent_id, "
    "coalesce(lot_id::text, '') FROM payment"
)
RETURNS = (
    "SELECT object_id, payment_id::text, kind, phase, amount_minor, currency, credits_nano_usd "
    "FROM payment_return"
)
COSTS = "SELECT payment_id::text, kind || ' ' || source_id FROM payment_cost"
NOT_GIVEN = (
    "SELECT p.payment_id::text FROM payment p WHERE p.lot_id IS NOT NULL "
    "AND NOT EXISTS (SELECT FROM grant_key g WHERE g.lot_id = p.lot_id) ORDER BY 1"
)
CUSTOMERS = "SELECT account_id::text, customer_id, method_id FROM payment_customer"
SUBSCRIPTIONS = (
    "SELECT stream::text, account_id::text, subscription_id, status, tier, product_id, price_id, "
    "period_begins, period_ends, cancels_at_end, as_of, unpaid FROM subscription"
)
INVOICES = (
    "SELECT invoice_id, stream::text, account_id::text, amount_minor, currency, "
    "allowance_nano_usd, coalesce(lot_id::text, '') FROM subscription_invoice"
)
INVOICE_RETURNS = (
    "SELECT object_id, invoice_id, kind, phase, amount_minor, currency, credits_nano_usd "
    "FROM subscription_return"
)
INVOICE_COSTS = "SELECT kind || ' ' || source_id, stream::text FROM subscription_cost"
TOP_UPS = (
    "SELECT account_id::text, version, enabled, threshold_minor, "
    "coalesce(under_way::text, '') FROM auto_top_up"
)


def payment_differences(connection: psycopg.Connection[Any], book: PaymentBook) -> Iterator[str]:
    """Every payment that differs, and those whose credits nobody was given."""
    stored = {row[0]: row[1:] for row in connection.execute(STORED).fetchall()}
    logged = {name: _row_of(each) for name, each in book.payments.items()}
    for name in sorted(stored.keys() | logged.keys()):
        here, there = stored.get(name), logged.get(name)
        if here != there:
            yield f"payment {name}: the table says {here!r}, the log {there!r}"
    yield from _return_differences(connection, book)
    for (name,) in connection.execute(NOT_GIVEN).fetchall():
        yield f"payment {name}: it is paid, and its credits were never given"


def _return_differences(connection: psycopg.Connection[Any], book: PaymentBook) -> Iterator[str]:
    stored = {row[0]: row[1:] for row in connection.execute(RETURNS).fetchall()}
    logged = {
        each.id: (
            *(name, each.kind.value, each.phase.value, each.minor, payment.order.price.currency),
            each.taken - each.given,
        )
        for name, payment in book.payments.items()
        for each in payment.returns.items
    }
    for name in sorted(stored.keys() | logged.keys()):
        here, there = stored.get(name), logged.get(name)
        if here != there:
            yield f"{name}: the table of what went back says {here!r}, the log {there!r}"
    costs = set(connection.execute(COSTS).fetchall())
    told = {(name, cost) for name, each in book.payments.items() for cost in each.returns.costs}
    for name, cost in sorted(costs ^ told):
        yield f"payment {name}: {cost} stands in the table of costs or in the log alone"


def _row_of(payment: Payment) -> tuple[object, ...]:
    order = payment.order
    return (
        *(order.account_id, order.user_id, order.way.value, order.package),
        *(order.price.minor, order.price.currency, order.credits_nano_usd),
        *(payment.status.value, payment.failure, payment.session_id, payment.intent_id),
        payment.lot_id,
    )


def subscription_differences(
    connection: psycopg.Connection[Any], logged: AllSubscriptions
) -> Iterator[str]:
    """Every customer, subscription and invoice that differs; what went back, and what it cost."""
    customers = {
        name: (each.customer_id, each.method_id) for name, each in logged.customers.items()
    }
    yield from _differences("customer of account", connection, CUSTOMERS, customers)
    subscriptions = {name: _stands(each) for name, each in logged.subscriptions.items()}
    yield from _differences("subscription", connection, SUBSCRIPTIONS, subscriptions)
    states = logged.subscriptions.items()
    bills = {
        bill.id: (
            *(stream, each.account_id, bill.sold.price.minor, bill.sold.price.currency),
            *(bill.sold.credits, bill.lot_id or ""),
        )
        for stream, each in states
        for bill in each.bills
    }
    yield from _differences("invoice", connection, INVOICES, bills)
    returns = {
        back.id: (
            *(bill.id, back.kind.value, back.phase.value, back.minor, bill.sold.price.currency),
            back.taken - back.given,
        )
        for _, each in states
        for bill in each.bills
        for back in bill.returns.items
    }
    yield from _differences("what went back as", connection, INVOICE_RETURNS, returns)
    costs = {cost: (stream,) for stream, each in states for cost in each.costs}
    yield from _differences("an invoice's", connection, INVOICE_COSTS, costs)


def top_up_differences(connection: psycopg.Connection[Any], logged: AllTopUps) -> Iterator[str]:
    """Every account whose automatic top-ups differ."""
    found = {
        name: (
            *(each.version, each.terms.enabled, each.terms.threshold),
            each.under_way.payment_id if each.under_way else "",
        )
        for name, each in logged.by_account.items()
    }
    yield from _differences("top-ups of account", connection, TOP_UPS, found)


def _differences(
    what: str, connection: psycopg.Connection[Any], query: str, logged: dict[str, Any]
) -> Iterator[str]:
    stored = {row[0]: row[1:] for row in connection.execute(query.encode()).fetchall()}
    for name in sorted(stored.keys() | logged.keys()):
        here, there = stored.get(name), logged.get(name)
        if here != there:
            yield f"{what} {name}: the table says {here!r}, the log {there!r}"


def _stands(state: Subscription) -> tuple[object, ...]:
    seen = state.seen
    return (
        *(state.account_id, state.subscription_id, seen.status.value, seen.tier.value),
        *(seen.product_id, seen.price_id, seen.period.begins, seen.period.ends),
        *(seen.cancels_at_end, seen.as_of, state.unpaid),
    )
