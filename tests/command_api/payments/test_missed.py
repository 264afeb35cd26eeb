"""What nobody told us: found by asking, and named by reconciliation."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from command_api.cli.main import app
from command_api.composition import payments_of, vault_of
from command_api.payments.inbox import Inbox
from command_api.payments.poll import Poll
from command_api.payments.reconcile import Reconciled, Reconciliation
from command_api.processes.paying import WATCHED
from event_store.postgres.database import url_of
from providers.payments.port import PAYMENT_KEY, PaymentsUnavailableError
from providers.stripe_double.handler import Outage
from tests.doubles.stripe import API_KEY, DECLINED, check
from tests.support.harness import USD, eventually
from tests.support.payments import Shop, payment_work, shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

RUNNER = CliRunner()


@pytest.fixture
def deaf(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Shop]:
    """A gateway to which no webhook comes; who handles is up to the test."""
    with shop(database, tmp_path / "home", upstream, work=False, stripe_poll_s=1) as made:
        made.double.webhooks.url = None
        yield made
        made.gateway.verified()


def polling(store: Shop, **how: Any) -> int:
    """What is new to a poll; `how` says which one."""

    async def run() -> int:
        settings, database = store.gateway.settings, store.gateway.database
        provider = payments_of(settings)
        assert provider is not None
        connect = partial(database.connect, statement_s=10)
        poll = Poll(connect, Inbox(vault_of(settings, database)), provider, WATCHED)
        try:
            return await (poll.whole(**how) if how.pop("whole", False) else poll.round(**how))
        finally:
            await provider.close()

    return asyncio.run(run())


def reconciled(store: Shop) -> Reconciled:
    """What does not match, of the last hour."""

    async def run() -> Reconciled:
        provider = payments_of(store.gateway.settings)
        assert provider is not None
        try:
            now = datetime.now(UTC)
            connect = partial(store.gateway.database.connect, statement_s=10)
            found = Reconciliation(connect, provider)
            return await found.compare(now - timedelta(hours=1), now + timedelta(seconds=5))
        finally:
            await provider.close()

    return asyncio.run(run())


def whys(store: Shop) -> list[str]:
    """Why lines do not match."""
    return sorted(each.why for each in reconciled(store).lines)


def verb(store: Shop, *arguments: str) -> Any:
    """A verb of the command line on the store's database."""
    environment = {
        "GATEWAYZ_DATABASE_URL": url_of(store.gateway.database.application, with_password=True),
        "GATEWAYZ_STRIPE_API_KEY": API_KEY,
        "GATEWAYZ_STRIPE_URL": store.double.url,
        "GATEWAYZ_SECRET_KEY": store.gateway.settings.identity.secret_key,
    }
    home = ["--home", str(store.gateway.settings.installation.home)]
    return RUNNER.invoke(app, [*arguments, *home], env=environment)


def test_what_no_webhook_brought_is_found(deaf: Shop) -> None:
    """By asking now and then, once each; while Stripe is away it waits (P2, P12)."""
    user = deaf.gateway.user(0)
    made = [deaf.buy(user, 700), deaf.buy(user, 800, DECLINED), deaf.buy(user, 900)]
    deaf.double.server.outage = Outage.SILENT
    with payment_work(deaf.gateway.settings, deaf.gateway.database):
        deaf.double.server.outage = Outage.NONE
        eventually(lambda: deaf.granted(user) == 16 * USD)
        deaf.settled()
    assert [each[0] for each in sorted(deaf.lots(), key=lambda lot: lot[1])] == [
        made[0]["payment_id"],
        made[2]["payment_id"],
    ]
    told_by = set(deaf.inbox("told_by"))
    assert told_by == {"poll"}
    assert polling(deaf) == 0  # The window overlaps with the last one: nothing is new.


def test_a_long_window_is_asked_for_in_rounds(deaf: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a round ends another goes on, whoever died in between (rule: bounded, P2)."""
    monkeypatch.setattr("command_api.payments.poll.PAGES_MAX", 1)
    monkeypatch.setattr("providers.payments.stripe_api.PAGE_ROWS", 2)
    user = deaf.gateway.user(0)
    for n in range(4):
        deaf.buy(user, 500 + n)
    assert polling(deaf) == 2
    assert polling(deaf) == 1  # Nobody wants to be told of the intent that was made.
    deaf.double.server.outage = Outage.REFUSED
    with pytest.raises(PaymentsUnavailableError):
        polling(deaf)
    deaf.double.server.outage = Outage.NONE
    assert polling(deaf, whole=True) == 9
    assert len(deaf.inbox()) == 12
    long_ago = datetime.now(UTC) - timedelta(days=400)
    assert polling(deaf, whole=True, since=long_ago) == 0


def test_stripe_down_for_a_while(deaf: Shop) -> None:
    """Its webhooks come late and twice, the poll beside them: each is paid once (P3, P12)."""
    user = deaf.gateway.user(0)
    odd = deaf.double.webhooks.misbehaviour
    deaf.double.webhooks.url, odd.paused, odd.copies = deaf.webhook, True, 2
    made = [deaf.buy(user, 600 + n) for n in range(3)]
    with payment_work(deaf.gateway.settings, deaf.gateway.database):
        eventually(lambda: len(deaf.lots()) == 3)
        odd.paused = False
        deaf.settled()
    assert sorted(deaf.lots()) == sorted((m["payment_id"], m["amount"] * USD // 100) for m in made)
    assert len(deaf.double.get("payment_intents")["data"]) == 3
    assert whys(deaf) == []


def test_what_does_not_match_is_named_with_why(deaf: Shop) -> None:
    """On either side; it proposes, and makes no entry (money rule 18)."""
    user = deaf.gateway.user(0)
    missed, open_ = deaf.buy(user, 1_000), deaf.checkout(user, 1_100)
    events = deaf.gateway.events()
    assert whys(deaf) == ["paid_not_credited"]
    pays = {"currency": "usd", "confirm": "true", "payment_method": "pm_card_visa"}
    name = f"metadata[{PAYMENT_KEY}]"
    deaf.double.post("payment_intents", amount="700", **pays)  # Another product's.
    deaf.double.post("payment_intents", amount="700", **pays, **{name: "another"})
    deaf.double.post("payment_intents", amount="999", **pays, **{name: open_["payment_id"]})
    deaf.double.post("payment_intents", amount="1000", **pays, **{name: missed["payment_id"]})
    found = reconciled(deaf)
    assert sorted(each.why for each in found.lines) == [
        *("amount_differs", "paid_not_credited", "paid_twice", "unknown_payment"),
    ]
    assert (found.payments, found.matched, found.not_ours, found.intents) == (2, 0, 1, 5)
    assert all(each.proposal and each.said for each in found.lines)
    assert deaf.gateway.events() == events
    with payment_work(deaf.gateway.settings, deaf.gateway.database):
        eventually(lambda: deaf.granted(user) == 10 * USD)
        deaf.settled()
    assert "event_failed" in whys(deaf)


def test_credits_without_money_are_named(deaf: Shop) -> None:
    """What is completed here, and not paid at Stripe, or without a lot (money rule 18)."""
    user = deaf.gateway.user(0)
    with payment_work(deaf.gateway.settings, deaf.gateway.database):
        made = deaf.buy(user)
        eventually(lambda: deaf.granted(user) == 10 * USD)
        deaf.settled()
    assert whys(deaf) == []
    shelf = deaf.double.server.shelf
    (intent,) = shelf.newest("payment_intent")
    shelf.put({**intent, "status": "canceled", "amount_received": 0})
    with deaf.gateway.database.connect() as connection:
        update = "UPDATE payment SET lot_id = %s WHERE payment_id = %s"
        row = connection.execute("SELECT lot_id FROM payment").fetchone()
        assert row is not None
        connection.execute(update, [made["payment_id"], made["payment_id"]])
        assert whys(deaf) == ["credited_not_paid", "lot_missing"]
        connection.execute(update, [row[0], made["payment_id"]])


def test_the_verbs_tell_and_mend(deaf: Shop) -> None:
    """`reconcile stripe --poll` brings what was missed; `payments handle` what failed (P2)."""
    user = deaf.gateway.user(0)
    deaf.buy(user, 1_000)
    found = verb(deaf, "reconcile", "stripe")
    assert found.exit_code == 1 and "paid_not_credited" in found.output
    polled = verb(deaf, "reconcile", "stripe", "--poll", "--json")
    assert '"new_events":3' in polled.output
    with payment_work(deaf.gateway.settings, deaf.gateway.database):
        eventually(lambda: deaf.granted(user) == 10 * USD)
        deaf.settled()
        clean = verb(deaf, "reconcile", "stripe")
        assert clean.exit_code == 0, clean.output
        connect = deaf.gateway.database.connect()
        with connect as connection:
            connection.execute(
                "UPDATE stripe_inbox SET state = 'failed', error = 'defect: told by a test'"
            )
        listed = verb(deaf, "payments", "list")
        assert listed.output.count("told by a test") == 3
        assert '"error":"defect' in verb(deaf, "payments", "list", "--json").output
        assert "event_failed" in verb(deaf, "reconcile", "stripe").output
        assert verb(deaf, "payments", "handle").exit_code == 1
        assert verb(deaf, "payments", "handle", "evt_none").exit_code == 1
        assert '"handled_anew":3' in verb(deaf, "payments", "handle", "--failed", "--json").output
        eventually(lambda: deaf.inbox() == ["done"] * 3)
    assert verb(deaf, "payments", "list").output == ""
    assert len(deaf.lots()) == 1
    deaf.double.server.outage = Outage.REFUSED
    assert verb(deaf, "reconcile", "stripe").exit_code == 3
    deaf.double.server.outage = Outage.NONE
    check(deaf.double.get("events"))
