"""Invoices, their refunds, disputes and fees: both sides' books, compared; renewals, killed."""

from __future__ import annotations

import asyncio
import json
import pkgutil
import random
import signal
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from command_api.composition import payments_of
from command_api.money.compared import Lists
from command_api.subscriptions.reconcile import InvoiceReconciliation, Reconciled
from providers.stripe_double.billing.products import OFFERS
from tests.command_api.payments.test_missed import verb
from tests.command_api.payments.test_processes import background
from tests.command_api.subscriptions.test_costs import billed, fees
from tests.command_api.subscriptions.test_returning import charge_of, refunded
from tests.support.harness import TIMEOUT_S, eventually
from tests.support.payments import payment_work
from tests.support.subscribing import Club, club, second

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream


@pytest.fixture
def idle(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Club]:
    """A gateway that sells subscriptions, and whose work a test does."""
    with club(database, tmp_path / "home", upstream, work=False) as made:
        yield made


def compared(pub: Club) -> Reconciled:
    """What does not match, of all time."""

    async def run() -> Reconciled:
        settings = pub.store.gateway.settings
        provider = payments_of(settings)
        assert provider is not None
        try:
            connect = partial(pub.store.gateway.database.connect, statement_s=10)
            since = datetime.now(UTC) - timedelta(hours=1)
            lists = Lists(provider, since, datetime(2029, 1, 1, tzinfo=UTC))
            return await InvoiceReconciliation(connect, lists, settings.payments.offers).compare()
        finally:
            await provider.close()

    return asyncio.run(run())


def whys(pub: Club) -> list[str]:
    """Why lines do not match."""
    return sorted(each.why for each in compared(pub).lines)


def working(pub: Club) -> Any:
    """The background work."""
    return payment_work(pub.store.gateway.settings, pub.store.gateway.database)


def reconcile(pub: Club, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The verb, over all time."""
    monkeypatch.setenv("GATEWAYZ_SUBSCRIPTION_OFFERS", OFFERS)
    return verb(pub.store, "reconcile", "stripe", "--to", "2029-01-01", "--json")


def test_books_that_agree_have_no_lines(idle: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two periods, a refund, one that failed, a dispute and fees (money rule 18)."""
    user, other = idle.store.gateway.user(0), idle.store.gateway.user(0)
    with working(idle):
        idle.join(user)
        idle.join(other, "price_max")
        refunded(idle, charge_of(idle, 1), 300)
        failing = refunded(idle, charge_of(idle, 1), 100)
        idle.waits(2)
        idle.store.act("fail_refund", failing["id"])
        idle.waits(3)
        dispute = idle.store.act("dispute", charge_of(idle)["id"], "fraudulent")
        idle.store.act("close_dispute", dispute["id"], won=False)
        idle.store.bought(user, 500)
        idle.until("2027-03-01")
        idle.waits(5)
    found = compared(idle)
    assert found.lines == []
    assert (found.invoices, found.refunds, found.disputes, found.fees) == (4, 2, 1, 5)
    got = reconcile(idle, monkeypatch)
    assert got.exit_code == 0, got.output
    told = json.loads(got.output)
    assert (told["invoices"], told["fees"], told["lines"]) == (4, 6, [])
    idle.store.gateway.verified()


def test_each_difference_is_named_and_nothing_is_entered(
    idle: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody told us, of our customers alone (money rule 18)."""
    user = idle.store.gateway.user(0)
    with working(idle):
        idle.join(user)
        idle.waits(1)
        eventually(lambda: fees(idle) == billed(idle))
    idle.double.webhooks.url = None
    refunded(idle, charge_of(idle), 300)
    other = idle.double.post(
        "payment_intents", amount="900", currency="usd", confirm="true",
        payment_method="pm_card_visa",
    ).json()["id"]  # fmt: skip
    assert idle.double.post("refunds", payment_intent=other).status_code == 200
    assert whys(idle) == ["refund_not_told"]
    idle.store.act("dispute", charge_of(idle, 1)["id"], "fraudulent")
    idle.double.server.advance_to(second("2027-03-01"))
    events = idle.store.gateway.events()
    found = compared(idle)
    assert sorted(each.why for each in found.lines) == [
        *("dispute_not_told", "fee_not_told", "invoice_not_told", "refund_not_told"),
    ]
    assert all(each.proposal and each.said and each.payment_id for each in found.lines)
    assert idle.store.gateway.events() == events
    got = reconcile(idle, monkeypatch)
    assert got.exit_code == 1
    assert "invoice_not_told" in got.output


def test_what_stripe_does_not_have_is_named(idle: Club) -> None:
    """Of the log alone, or other than at Stripe (money rule 18)."""
    user = idle.store.gateway.user(0)
    with working(idle):
        idle.join(user)
        idle.waits(1)
        refunded(idle, charge_of(idle), 300)
        idle.store.settled()
        eventually(lambda: fees(idle) == billed(idle))
    assert whys(idle) == []
    with idle.store.gateway.database.connect() as connection:
        connection.execute(
            "UPDATE subscription_invoice SET amount_minor = 1, lot_id = gen_random_uuid()"
        )
        connection.execute("UPDATE subscription_return SET amount_minor = 299, phase = 'back'")
        connection.execute("UPDATE subscription_cost SET amount_minor = 1")
        connection.execute(
            "INSERT INTO subscription_invoice SELECT 'in_x', stream, account_id, 1, 'usd', 0, "
            "NULL, now() FROM subscription_invoice"
        )
        connection.execute(
            "INSERT INTO subscription_return SELECT 're_x', invoice_id, 'refund', 'out', 1, 'usd', "
            "1, now(), now() FROM subscription_invoice LIMIT 1"
        )
        connection.execute(
            "INSERT INTO subscription_cost SELECT 'txn_x', 'fee', stream, invoice_id, 1, 'usd', 1, "
            "now() FROM subscription_invoice LIMIT 1"
        )
    assert whys(idle) == [
        *("debit_missing", "fee_differs", "fee_unknown", "invoice_differs", "invoice_not_paid"),
        *("lot_missing", "refund_differs", "refund_differs", "refund_unknown"),
    ]


@pytest.mark.parametrize("seed", range(2))
def test_killed_while_renewals_are_handled(
    idle: Club, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`kill -9` again and again over renewals, a refund, a dispute: then all matches (P2, P3)."""
    chance, users = random.Random(seed), [idle.store.gateway.user(0) for _ in range(3)]
    with working(idle):
        for user in users:
            idle.join(user)
    idle.double.server.advance_to(second("2027-03-01"))
    refunded(idle, charge_of(idle))
    idle.store.act("dispute", charge_of(idle, 1)["id"], "fraudulent")
    eventually(lambda: idle.double.server.shelf.waiting() == 0)
    with idle.store.gateway.database.connect() as connection:
        for _ in range(4):
            with background(idle.store) as child:
                time.sleep(0.8 + chance.random())
                child.send_signal(signal.SIGKILL)
                child.wait(TIMEOUT_S)
            # What a dead process had taken is another's after its lease: not to wait for that.
            connection.execute("UPDATE stripe_inbox SET due_at = clock_timestamp()")
        with background(idle.store):
            idle.store.settled()
    assert "failed" not in idle.store.inbox()
    assert len(idle.allowances()) == 6
    assert fees(idle) == billed(idle)
    assert compared(idle).lines == []
    assert reconcile(idle, monkeypatch).exit_code == 0
    idle.store.gateway.verified()


STEPS = (
    "command_api.subscriptions.handling.append_grant",
    "command_api.subscriptions.handling.Subscribing._append",
    "command_api.subscriptions.billed.Invoices.cost",
    "command_api.subscriptions.billed.observe_invoice_return",
    "command_api.money.returned.append_debit",
    "command_api.payments.inbox.end",
)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", STEPS)
def test_a_death_at_each_step_of_a_renewal(
    idle: Club, step: str, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the step, or when it is done and nobody knows: then all matches (P2, P3)."""
    with working(idle):
        idle.join(idle.store.gateway.user(0))
        idle.waits(1)
    idle.double.server.advance_to(second("2027-03-01"))
    refunded(idle, charge_of(idle))
    died = dying(monkeypatch, step, after=after)
    with working(idle):
        eventually(lambda: died)
        with idle.store.gateway.database.connect() as connection:
            connection.execute("UPDATE stripe_inbox SET due_at = clock_timestamp()")
        idle.waits(2)
        eventually(lambda: fees(idle) == billed(idle))
        eventually(lambda: len(idle.store.debits()) == 1)
        idle.store.settled()
    assert compared(idle).lines == []
    assert len(idle.allowances()) == 2
    idle.store.gateway.verified()


def dying(monkeypatch: pytest.MonkeyPatch, step: str, *, after: bool) -> list[str]:
    """The step fails the first time that it is taken; what is returned says that it did."""
    real, died = pkgutil.resolve_name(step), list[str]()

    def died_now() -> None:
        if not died:
            died.append(step)
            message = "killed"
            raise RuntimeError(message)

    if asyncio.iscoroutinefunction(real):

        async def later(*what: Any, **how: Any) -> Any:
            if not after:
                died_now()
            made = await real(*what, **how)
            died_now()
            return made

        monkeypatch.setattr(step, later)
    else:

        def now(*what: Any, **how: Any) -> Any:
            if not after:
                died_now()
            made = real(*what, **how)
            died_now()
            return made

        monkeypatch.setattr(step, now)
    return died
