"""Refunds and disputes of what paid an invoice: its allowance goes back, once, whatever is told."""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest

from command_api.composition import payments_of
from command_api.money import debits
from command_api.money.debits import Debit, Debits
from command_api.money.grants import running_committer
from command_api.subscriptions.returning import InvoiceReturns
from domain.ledger.lots import DebitKind
from event_store.log.aggregates import Aggregates
from providers.payments.told import read_notice
from tests.command_api.payments.test_webhooks import event, send
from tests.support.admins import ask, new_admin
from tests.support.harness import USD, eventually
from tests.support.payments import payment_work
from tests.support.subscribing import Club, club, second

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

PRO = 20 * USD


@pytest.fixture
def pub(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Club]:
    """A gateway that sells subscriptions."""
    with club(database, tmp_path / "home", upstream) as made:
        yield made
        made.store.gateway.verified()


@pytest.fixture
def idle(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Club]:
    """The same, and nobody handles what is told until a test does."""
    with club(database, tmp_path / "home", upstream, work=False) as made:
        yield made
        made.store.gateway.verified()


def charge_of(pub: Club, number: int = 0) -> dict[str, Any]:
    """The charge that paid an invoice, the newest first."""
    found: dict[str, Any] = pub.double.get("charges")["data"][number]
    return found


def refunded(pub: Club, charge: dict[str, Any], amount: int | None = None) -> dict[str, Any]:
    """A refund that somebody makes in Stripe's dashboard."""
    form = {} if amount is None else {"amount": str(amount)}
    answer = pub.double.post("refunds", payment_intent=charge["payment_intent"], **form)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def left(pub: Club, user: Any) -> int:
    """What the user can spend, nano-USD."""
    available: int = pub.store.gateway.balance(user)["available_nano_usd"]
    return available


@pytest.mark.parametrize("seed", range(2))
def test_a_part_then_the_rest_whatever_is_told(pub: Club, seed: int) -> None:
    """Each event three times, under ids of its own, in any order: taken once (P3, P7)."""
    user = pub.store.gateway.user(0)
    pub.join(user)
    assert pub.waits(1)[0][0] == left(pub, user) == PRO
    charge = charge_of(pub)
    odd = pub.double.webhooks.misbehaviour
    odd.copies, odd.other_ids, odd.shuffle, odd.paused = 3, True, random.Random(seed), True
    part = charge["amount"] // 4
    refunded(pub, charge, part)
    refunded(pub, charge)
    odd.paused = False
    pub.store.settled()
    debits = [amount for kind, amount, owed in pub.store.debits() if (kind, owed) == ("refund", 0)]
    assert len(debits) == 2
    assert sum(debits) == PRO
    assert left(pub, user) == 0
    assert pub.tier(user) == "pro"
    assert "failed" not in pub.store.inbox()
    logs = ask(pub.store.gateway, user, "/audit").json()["logs"]
    assert "subscription.returned" in {each["action"] for each in logs}


def test_what_is_spent_is_owed(pub: Club) -> None:
    """The allowance's own lot first, what was bought next, the rest is a debt (money rule 15)."""
    user = pub.store.gateway.user(0)
    pub.join(user)
    pub.waits(1)
    charge = charge_of(pub)
    pub.store.bought(user, 500)
    pub.store.settled()
    spent = Debit(
        account_id=UUID(user.account_id),
        debit_key="spent",
        amount=12 * USD,
        reason="as if spent",
        kind=DebitKind.ADMIN_DEBIT,
    )
    asyncio.run(Debits(pub.store.gateway.database, actor="test").take(spent))
    assert left(pub, user) == 13 * USD
    refunded(pub, charge)
    eventually(lambda: pub.store.debits()[-1] == ("refund", PRO, 7 * USD))
    assert left(pub, user) == 0
    pub.store.bought(user, 1_000)
    assert left(pub, user) == 3 * USD


def test_a_refund_that_fails_gives_back_once(pub: Club) -> None:
    """After it was taken; told again and again, in any order, not twice (money rule 15, P3)."""
    user = pub.store.gateway.user(0)
    pub.join(user)
    pub.waits(1)
    refund = refunded(pub, charge_of(pub))
    eventually(lambda: left(pub, user) == 0)
    pub.store.act("fail_refund", refund["id"])
    eventually(lambda: left(pub, user) == PRO)
    failed = pub.double.get(f"refunds/{refund['id']}")
    for thing in (refund, failed, refund):
        send(pub.store, event("refund.updated", thing))
    pub.store.settled()
    assert left(pub, user) == PRO
    assert [amount for amount, _ in pub.allowances()] == [PRO, PRO]


def test_a_dispute_is_seen_then_taken_then_won(pub: Club) -> None:
    """Nothing is taken before the money is; won it comes back, once (money rule 15)."""
    user = pub.store.gateway.user(0)
    pub.join(user)
    pub.waits(1)
    dispute = pub.store.act("dispute", charge_of(pub)["id"], "fraudulent", withdraw=False)
    pub.store.settled()
    assert left(pub, user) == PRO
    pub.store.act("withdraw", dispute["id"])
    eventually(lambda: left(pub, user) == 0)
    pub.store.act("close_dispute", dispute["id"], won=True)
    eventually(lambda: left(pub, user) == PRO)
    for each in pub.double.get("events", limit=100)["data"]:
        if "dispute" in each["type"]:
            send(pub.store, {**each, "id": f"{each['id']}_again"})
    pub.store.settled()
    assert left(pub, user) == PRO
    assert pub.store.debits() == [("dispute", PRO, 0)]


def test_only_the_refunded_period_is_taken(pub: Club) -> None:
    """The second month's invoice: its own lot is empty, the bought credits stay (money rule 15)."""
    user = pub.store.gateway.user(0)
    pub.join(user)
    pub.until("2027-03-01")
    assert len(pub.waits(2)) == 2
    pub.store.bought(user, 500)
    pub.store.settled()
    before = left(pub, user)
    charges = [each for each in pub.double.get("charges")["data"] if not each["metadata"]]
    newest = max(charges, key=lambda each: int(each["created"]))
    assert newest["created"] >= second("2027-02-28T12:00:00")
    refunded(pub, newest)
    eventually(lambda: left(pub, user) == before - PRO)
    assert pub.store.debits() == [("refund", PRO, 0)]


def test_a_refund_told_before_its_invoice_waits(idle: Club) -> None:
    """The invoice is told after it, and both are so in the end (P3, P12)."""
    user = idle.store.gateway.user(0)
    idle.double.webhooks.misbehaviour.paused = True
    assert idle.double.pay(idle.page(user)["url"]).status_code == 200
    refund = refunded(idle, charge_of(idle))
    with payment_work(idle.store.gateway.settings, idle.store.gateway.database):
        send(idle.store, event("refund.created", refund))
        eventually(lambda: "not noted as paid" in (idle.store.inbox("error") or [""])[0])
        idle.double.webhooks.misbehaviour.paused = False
        eventually(lambda: idle.store.debits() == [("refund", PRO, 0)])
        idle.store.settled()
    assert left(idle, user) == 0


def test_one_event_is_enough_whichever_it_is(pub: Club) -> None:
    """The charge's alone: which refunds there are is asked for (P3)."""
    user = pub.store.gateway.user(0)
    pub.join(user)
    pub.waits(1)
    pub.double.webhooks.url = None
    refunded(pub, charge_of(pub))
    send(pub.store, event("charge.refunded", charge_of(pub)))
    eventually(lambda: pub.store.debits() == [("refund", PRO, 0)])


def test_what_cannot_be_stays_with_its_reason(pub: Club) -> None:
    """More than was paid, nothing, no id; what is nobody's is let be (P2)."""
    user = pub.store.gateway.user(0)
    pub.join(user)
    pub.waits(1)
    charge = charge_of(pub)
    refund = {
        "id": "re_x", "object": "refund", "amount": 100, "currency": "usd", "status": "succeeded",
        "payment_intent": charge["payment_intent"], "charge": charge["id"], "metadata": {},
    }  # fmt: skip
    for n, amount in enumerate((0, -100, charge["amount"] + 1, 10**30, "100", None)):
        send(pub.store, event("refund.created", {**refund, "id": f"re_{n}", "amount": amount}))
    send(pub.store, event("refund.created", {**refund, "id": ""}))
    send(pub.store, event("refund.created", {**refund, "id": "re_none", "payment_intent": None}))
    other = pub.double.post("payment_intents", amount="900", currency="usd").json()["id"]
    send(pub.store, event("refund.created", {**refund, "id": "re_o", "payment_intent": other}))
    pub.store.settled()
    failed = sorted(each.partition(":")[0] for each in pub.store.inbox("error") if each)
    assert failed == ["amount_differs"] * 6 + ["unreadable"]
    assert pub.store.debits() == []
    assert left(pub, user) == PRO


def test_two_handlers_at_one_instant_take_once(pub: Club) -> None:
    """Four, of processes of their own, of two refunds: each takes its part (P1, P3)."""
    pub.join(pub.store.gateway.user(0))
    pub.waits(1)
    pub.double.webhooks.url = None
    third = charge_of(pub)["amount"] // 3
    names = [refunded(pub, charge_of(pub), third)["id"] for _ in range(2)]
    gateway, together = pub.store.gateway, threading.Barrier(4)

    async def handled(name: str) -> None:
        events = await asyncio.to_thread(Aggregates, gateway.database)
        provider = payments_of(gateway.settings)
        assert provider is not None
        notice = read_notice(
            msgspec.json.encode(event("refund.created", pub.double.get(f"refunds/{name}")))
        )
        assert notice.thing is not None
        try:
            async with running_committer(gateway.database) as committer:
                made = gateway.database.connect, events, committer, provider
                handler = InvoiceReturns(*made, gateway.settings.payments.offers)
                assert await handler.handle(notice, notice.thing, notice.happened_at)
        finally:
            await provider.close()
            await asyncio.to_thread(events.close)

    def one(name: str) -> None:
        together.wait()
        asyncio.run(handled(name))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, names * 2))
    parts = [amount for _, amount, _ in pub.store.debits()]
    assert len(parts) == 2
    assert sum(parts) == PRO * 2 * third // charge_of(pub)["amount"]


def test_a_death_between_event_and_debit_changes_nothing(
    pub: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The invoice says it is refunded, the ledger not yet: it does when tried again (P2)."""
    user = pub.store.gateway.user(0)
    pub.join(user)
    pub.waits(1)
    append, died = debits.append_debit, list[Any]()

    async def dying(*what: Any, **how: Any) -> Any:
        if not died:
            died.append(what)
            message = "killed"
            raise RuntimeError(message)
        return await append(*what, **how)

    monkeypatch.setattr("command_api.money.returned.append_debit", dying)
    refunded(pub, charge_of(pub))
    eventually(lambda: pub.store.debits() == [("refund", PRO, 0)])
    pub.store.settled()
    assert died
    assert left(pub, user) == 0


def test_an_invoice_that_gave_nothing_takes_nothing(idle: Club) -> None:
    """A period's second invoice gave nothing, so its refund takes nothing (money rule 15)."""
    user = idle.store.gateway.user(0)
    with payment_work(idle.store.gateway.settings, idle.store.gateway.database):
        idle.join(user)
        idle.waits(1)
        invoice = idle.double.get("invoices")["data"][0]
        charge = charge_of(idle)
        again = {**invoice, "id": "in_again"}
        payment = idle.double.get("invoice_payments")["data"][0]
        with idle.double.server.shelf.act():
            idle.double.server.shelf.put(again)
            idle.double.server.shelf.put({**payment, "invoice": "in_again"})
        refund = refunded(idle, charge)
        idle.store.settled()
        send(idle.store, event("refund.updated", refund))
        idle.store.settled()
    assert idle.store.debits() == []
    assert left(idle, user) == PRO


def test_the_books_have_what_stripe_has_of_invoices(pub: Club) -> None:
    """The price besides its allowance and its tax; refunded whole, clearing is nought (P4)."""
    user, admin = pub.store.gateway.user(0), new_admin(pub.store.gateway)
    pub.double.webhooks.url = None
    assert pub.double.pay(pub.page(user)["url"]).status_code == 200
    paid = pub.double.get("events", limit=100)["data"]
    told = next(each for each in paid if each["type"] == "invoice.paid")
    told["data"]["object"]["total_taxes"] = [{"amount": 100}]
    send(pub.store, told)
    pub.waits(1)
    charge = charge_of(pub)

    def books() -> dict[str, int]:
        got = ask(pub.store.gateway, admin, "/finance/trial-balance").json()
        assert got["total_nano_usd"] == 0
        return {each["account"]: each["balance_nano_usd"] for each in got["accounts"]}

    cent = USD // 100
    found = books()
    assert found["clearing:stripe"] == -charge["amount"] * cent
    assert found["tax:stripe"] == 100 * cent
    beyond = charge["amount"] * cent - 100 * cent - PRO
    side = "revenue:subscriptions" if beyond > 0 else "discounts"
    assert found.get(side, 0) == beyond
    refund = refunded(pub, charge)
    send(pub.store, event("refund.created", refund))
    eventually(lambda: pub.store.debits() == [("refund", PRO, 0)])
    found = books()
    assert found["clearing:stripe"] + found["returned:refund"] == 0
    assert found["tax:stripe"] == 100 * cent
