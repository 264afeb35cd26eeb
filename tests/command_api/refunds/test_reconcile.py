"""What went back, what it cost and what was paid out: both sides' books, compared."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from command_api.composition import payments_of
from command_api.money.compared import Lists
from command_api.refunds.reconcile import Reconciled, ReturnsReconciliation
from tests.command_api.payments.test_missed import verb
from tests.command_api.refunds.test_told import charge_of, refunded
from tests.support.admins import new_admin
from tests.support.payments import Shop, payment_work, shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream


@pytest.fixture
def store(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Shop]:
    """A gateway that sells credits, and whose work a test does."""
    with shop(database, tmp_path / "home", upstream, work=False) as made:
        yield made


def compared(store: Shop) -> Reconciled:
    """What does not match, of the last hour."""

    async def run() -> Reconciled:
        provider = payments_of(store.gateway.settings)
        assert provider is not None
        try:
            now = datetime.now(UTC)
            connect = partial(store.gateway.database.connect, statement_s=10)
            since, until = now - timedelta(hours=1), now + timedelta(seconds=5)
            return await ReturnsReconciliation(connect, Lists(provider, since, until)).compare()
        finally:
            await provider.close()

    return asyncio.run(run())


def whys(store: Shop) -> list[str]:
    """Why lines do not match."""
    return sorted(each.why for each in compared(store).lines)


def test_books_that_agree_have_no_lines(store: Shop) -> None:
    """Refunds, one of which failed, a dispute, fees and payouts (money rule 18)."""
    user, admin = store.gateway.user(0), new_admin(store.gateway)
    with payment_work(store.gateway.settings, store.gateway.database):
        _, intent = store.bought(user)
        _, other = store.bought(user, 700)
        assert store.refund(admin, intent, amount=300).status_code == 200
        store.act("fail_refund", refunded(store, intent, 100)["id"])
        dispute = store.act("dispute", charge_of(store, other), "fraudulent")
        store.act("close_dispute", dispute["id"], won=False)
        store.act("pay_out", 500)
        store.settled()
    found = compared(store)
    assert found.lines == []
    assert (found.refunds, found.disputes, found.fees, found.payouts) == (2, 1, 3, 1)
    got = verb(store, "reconcile", "stripe", "--json")
    assert got.exit_code == 0, got.output
    assert '"refunds": 2' in got.output or '"refunds":2' in got.output
    store.gateway.verified()


def test_each_difference_is_named_and_nothing_is_entered(store: Shop) -> None:
    """What nobody told us, and what Stripe does not have (money rule 18)."""
    user = store.gateway.user(0)
    with payment_work(store.gateway.settings, store.gateway.database):
        _, intent = store.bought(user)
        _, other = store.bought(user, 700)
        store.settled()
    store.double.webhooks.url = None
    refunded(store, intent, 300)
    store.act("dispute", charge_of(store, other), "fraudulent")
    store.act("pay_out", 500)
    events = store.gateway.events()
    assert whys(store) == ["dispute_not_told", "payout_not_told", "refund_not_told"]
    with store.gateway.database.connect_as_owner() as connection:
        connection.execute("DELETE FROM payment_cost")
    assert "fee_not_told" in whys(store)
    assert store.gateway.events() == events
    got = verb(store, "reconcile", "stripe")
    assert got.exit_code == 1
    assert "UNMATCHED  refund_not_told" in got.output


def test_what_stripe_does_not_have_is_named(store: Shop) -> None:
    """Refunds, disputes, fees, payouts of the log alone, and those that differ (money rule 18)."""
    user = store.gateway.user(0)
    with payment_work(store.gateway.settings, store.gateway.database):
        made, intent = store.bought(user)
        refunded(store, intent, 300)
        store.act("pay_out", 500)
        store.settled()
    with store.gateway.database.connect() as connection:
        connection.execute("UPDATE payment_return SET amount_minor = 299, phase = 'back'")
        connection.execute("UPDATE payment_cost SET amount_minor = 1")
        connection.execute("UPDATE payout SET amount_minor = 1")
        for kind in ("refund", "dispute"):
            connection.execute(
                "INSERT INTO payment_return VALUES (%s, %s, %s, 'out', 1, 'usd', 1, '', now(), "
                "now())",
                [f"{kind}_{uuid4().hex}", made["payment_id"], kind],
            )
        connection.execute(
            "INSERT INTO payment_cost VALUES ('txn_x', 'fee', %s, 1, 'usd', 1, now())",
            [made["payment_id"]],
        )
        connection.execute(
            "INSERT INTO payout VALUES ('po_x', gen_random_uuid(), true, 1, 'usd', 1, now(), now())"
        )
    assert whys(store) == [
        *("debit_missing", "debit_missing", "dispute_unknown", "fee_differs", "fee_unknown"),
        *("payout_differs", "payout_unknown", "refund_differs", "refund_differs"),
        "refund_unknown",
    ]
