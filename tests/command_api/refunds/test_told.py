"""Refunds, disputes, fees and payouts that Stripe tells of: twice, late, in any order, or not."""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from command_api.money import debits
from command_api.money.grants import running_committer
from command_api.refunds.returning import Returning
from domain.payments.fiat import Fiat
from domain.payments.returned import Phase, ReturnKind
from domain.payments.returns import ReturnSeen
from event_store.log.aggregates import Aggregates
from tests.command_api.payments.test_webhooks import event, send
from tests.support.admins import ask, new_admin
from tests.support.harness import USD, completion, eventually, reply
from tests.support.payments import Shop, payment_work, shop

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request, ScriptedUpstream

WHOLE = ("refund", 10 * USD, 0)


@pytest.fixture
def store(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Shop]:
    """A gateway that sells credits."""
    with shop(database, tmp_path / "home", upstream) as made:
        yield made
        made.gateway.verified()


@pytest.fixture
def idle(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Shop]:
    """The same, and nobody handles what is told until a test does."""
    with shop(database, tmp_path / "home", upstream, work=False) as made:
        yield made
        made.gateway.verified()


def refunded(store: Shop, intent: str, amount: int | None = None) -> dict[str, Any]:
    """A refund that somebody makes in Stripe's dashboard."""
    form = {} if amount is None else {"amount": str(amount)}
    answer = store.double.post("refunds", payment_intent=intent, **form)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


def charge_of(store: Shop, intent: str) -> str:
    """The charge that paid an intent."""
    return str(store.double.get(f"payment_intents/{intent}")["latest_charge"])


def left(store: Shop, user: Any) -> int:
    """What the user can spend, nano-USD."""
    available: int = store.gateway.balance(user)["available_nano_usd"]
    return available


@pytest.mark.parametrize("seed", range(2))
def test_refunds_of_the_dashboard_whatever_is_told(store: Shop, seed: int) -> None:
    """Each event three times, under ids of its own, in any order: taken once (P3, P7)."""
    user = store.gateway.user(0)
    made, intent = store.bought(user)
    store.settled()
    odd = store.double.webhooks.misbehaviour
    odd.copies, odd.other_ids, odd.shuffle, odd.paused = 3, True, random.Random(seed), True
    refunded(store, intent, 300)
    refunded(store, intent, 100)
    odd.paused = False
    store.settled()
    eventually(lambda: len(store.debits()) == 2)
    assert sorted(store.debits()) == [("refund", 1 * USD, 0), ("refund", 3 * USD, 0)]
    now = store.payment(user, made)
    assert (now["status"], now["refunded"]) == ("partially_refunded", 400)
    assert left(store, user) == 6 * USD


def test_one_event_is_enough_whichever_it_is(store: Shop) -> None:
    """The charge's alone: which refunds there are is asked for (P3)."""
    user = store.gateway.user(0)
    _, intent = store.bought(user)
    store.settled()
    store.double.webhooks.url = None
    refunded(store, intent, 400)
    charge = store.double.get(f"charges/{charge_of(store, intent)}")
    send(store, event("charge.refunded", charge))
    eventually(lambda: store.debits() == [("refund", 4 * USD, 0)])
    store.settled()
    for each in store.double.get("refunds")["data"]:
        send(store, event("refund.updated", each))
    store.settled()
    assert store.debits() == [("refund", 4 * USD, 0)]


def test_a_refund_told_before_its_payment_waits(idle: Shop) -> None:
    """The payment is told after it, and both are so in the end (P3, P12)."""
    user = idle.gateway.user(0)
    idle.double.webhooks.misbehaviour.paused = True
    made = idle.buy(user)
    session = idle.double.get(f"checkout/sessions/{made['session_id']}")
    refund = refunded(idle, session["payment_intent"])
    with payment_work(idle.gateway.settings, idle.gateway.database):
        send(idle, event("refund.created", refund))
        eventually(lambda: "not completed here yet" in (idle.inbox("error") or [""])[0])
        idle.double.webhooks.misbehaviour.paused = False
        eventually(lambda: idle.debits() == [WHOLE])
        idle.settled()
    assert idle.payment(user, made)["status"] == "refunded"
    assert left(idle, user) == 0


def test_a_refund_that_fails_gives_back_once(store: Shop) -> None:
    """After it was taken, and told before it; not twice (money rule 15, P3)."""
    user = store.gateway.user(0)
    made, intent = store.bought(user)
    refund = refunded(store, intent, 600)
    eventually(lambda: left(store, user) == 4 * USD)
    store.act("fail_refund", refund["id"])
    eventually(lambda: left(store, user) == 10 * USD)
    store.settled()
    failed = store.double.get(f"refunds/{refund['id']}")
    for thing in (refund, failed, refund):
        send(store, event("refund.updated", thing))
    store.settled()
    assert left(store, user) == 10 * USD
    assert store.payment(user, made)["status"] == "completed"
    never = {**failed, "id": "re_never", "amount": 1}
    send(store, event("refund.failed", never))
    store.settled()
    send(store, event("refund.created", {**never, "status": "pending"}))
    store.settled()
    assert store.debits() == [("refund", 6 * USD, 0)]
    assert left(store, user) == 10 * USD


def test_a_dispute_is_seen_then_taken_then_won(store: Shop) -> None:
    """Nothing is taken before the money is; won it comes back, once (money rule 15)."""
    user = store.gateway.user(0)
    made, intent = store.bought(user)
    dispute = store.act("dispute", charge_of(store, intent), "fraudulent", withdraw=False)
    eventually(lambda: store.payment(user, made)["dispute"] == "opened")
    assert left(store, user) == 10 * USD
    store.act("withdraw", dispute["id"])
    eventually(lambda: left(store, user) == 0)
    assert store.debits() == [("dispute", 10 * USD, 0)]
    store.act("close_dispute", dispute["id"], won=True)
    eventually(lambda: left(store, user) == 10 * USD)
    store.settled()
    assert store.payment(user, made)["dispute"] == "back"
    for each in store.double.get("events", limit=100)["data"]:
        if "dispute" in each["type"]:
            send(store, {**each, "id": f"{each['id']}_again"})
    store.settled()
    assert left(store, user) == 10 * USD
    assert store.debits() == [("dispute", 10 * USD, 0)]
    actions = {each["action"] for each in ask(store.gateway, user, "/audit").json()["logs"]}
    assert {"payment.disputed", "payment.dispute_withdrawn", "payment.dispute_won"} <= actions


def test_a_dispute_that_is_lost_stays_taken(store: Shop) -> None:
    """Also where nobody told that its money was withdrawn (money rule 15)."""
    user = store.gateway.user(0)
    made, intent = store.bought(user)
    dispute = store.act("dispute", charge_of(store, intent), "fraudulent")
    eventually(lambda: left(store, user) == 0)
    store.act("close_dispute", dispute["id"], won=False)
    eventually(lambda: store.payment(user, made)["dispute"] == "lost")
    _, other = store.bought(user, 700)
    store.settled()
    store.double.webhooks.url = None
    second = store.act("dispute", charge_of(store, other), "fraudulent")
    lost = store.act("close_dispute", second["id"], won=False)
    send(store, event("charge.dispute.closed", lost))
    eventually(lambda: left(store, user) == 0)
    assert [kind for kind, _, _ in store.debits()] == ["dispute", "dispute"]


def test_refund_and_dispute_never_take_more_than_the_payment(store: Shop) -> None:
    """A dispute after a refund takes the rest; a refund after a dispute nothing (P1)."""
    user, admin = store.gateway.user(0), new_admin(store.gateway)
    _, intent = store.bought(user)
    assert store.refund(admin, intent, amount=300).status_code == 200
    charge = charge_of(store, intent)
    dispute = {**store.act("dispute", charge, "fraudulent", withdraw=False), "amount": 1_000}
    send(store, event("charge.dispute.funds_withdrawn", dispute))
    eventually(lambda: left(store, user) == 0)
    refund = store.double.get("refunds")["data"][0]
    send(store, event("refund.created", {**refund, "id": "re_late", "amount": 700}))
    store.settled()
    assert sum(amount for _, amount, _ in store.debits()) == 10 * USD
    assert left(store, user) == 0


def test_what_stripe_tells_and_cannot_be_stays_with_its_reason(store: Shop) -> None:
    """Nought, less, more than was paid, another currency; what is nobody's is let be (P2)."""
    user = store.gateway.user(0)
    _, intent = store.bought(user)
    store.settled()
    refund = {
        "id": "re_x", "object": "refund", "amount": 100, "currency": "usd", "status": "succeeded",
        "payment_intent": intent, "charge": "ch_x", "metadata": {},
    }  # fmt: skip
    odd: list[dict[str, Any]] = [
        *({"amount": amount} for amount in (0, -100, 1_001, 10**30, "100", None)),
        *({"currency": currency} for currency in ("eur", "", None)),
    ]
    for n, bad in enumerate(odd):
        assert send(store, event("refund.created", {**refund, "id": f"re_{n}", **bad})).is_success
    send(store, event("refund.created", {**refund, "id": ""}))
    nobodys = {**refund, "payment_intent": None}
    other = store.double.post("payment_intents", amount="900", currency="usd").json()["id"]
    for thing in (nobodys, {**refund, "payment_intent": other}):
        send(store, event("refund.created", thing))
    store.settled()
    failed = [each for each in store.inbox("error") if each]
    codes = sorted(each.partition(":")[0] for each in failed)
    assert codes == sorted([*["amount_differs"] * len(odd), "unreadable"])
    assert store.debits() == []
    assert left(store, user) == 10 * USD


def test_two_handlers_at_the_same_instant(store: Shop) -> None:
    """One refund and another, each by several at once: each is taken once (P3, P7)."""
    user = store.gateway.user(0)
    made, intent = store.bought(user)
    store.settled()
    store.double.webhooks.url = None
    names = [refunded(store, intent, amount)["id"] for amount in (333, 333)]
    database = store.gateway.database

    async def observed(name: str) -> None:
        events = await asyncio.to_thread(Aggregates, database)
        seen = ReturnSeen(ReturnKind.REFUND, name, Fiat(333, "usd"), Phase.OUT, 5, intent)
        try:
            async with running_committer(database) as committer:
                returning = Returning(events, committer, "test")
                await returning.observe(UUID(made["payment_id"]), seen)
        finally:
            await asyncio.to_thread(events.close)

    together = threading.Barrier(4)

    def one(name: str) -> None:
        together.wait()
        asyncio.run(observed(name))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, names * 2))
    assert store.debits() == [("refund", 333 * USD // 100, 0)] * 2
    assert store.payment(user, made)["refunded"] == 666


def test_a_death_between_event_and_debit_changes_nothing(
    idle: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The payment says it is refunded, the ledger not yet: it does when it is tried again (P2)."""
    user = idle.gateway.user(0)
    made = idle.buy(user)
    append, died = debits.append_debit, list[Any]()

    async def dying(*what: Any, **how: Any) -> Any:
        if not died:
            died.append(what)
            message = "killed"
            raise RuntimeError(message)
        return await append(*what, **how)

    monkeypatch.setattr("command_api.money.returned.append_debit", dying)
    with payment_work(idle.gateway.settings, idle.gateway.database):
        intent = idle.intent(user, made)
        refunded(idle, intent)
        eventually(lambda: idle.debits() == [WHOLE])
        idle.settled()
    assert died
    assert left(idle, user) == 0


def test_a_refund_waits_in_the_inbox_while_nobody_handles(idle: Shop) -> None:
    """Kept and answered; whoever comes next does it (P2)."""
    user = idle.gateway.user(0)
    made = idle.buy(user)
    with payment_work(idle.gateway.settings, idle.gateway.database):
        intent = idle.intent(user, made)
        idle.settled()
    refunded(idle, intent)
    eventually(lambda: idle.inbox().count("waiting") == 2)
    assert idle.debits() == []
    for _ in range(2):
        with payment_work(idle.gateway.settings, idle.gateway.database):
            idle.settled()
    assert idle.debits() == [WHOLE]


def test_a_refund_while_a_call_is_held(store: Shop, upstream: ScriptedUpstream) -> None:
    """The call is not cut: what it holds is owed, and paid when it is released (money rule 15)."""
    go_on = threading.Event()

    def answer(connection: socket.socket, _: Request) -> None:
        go_on.wait(30)
        reply(connection, completion())

    upstream.answer = answer
    user, admin = store.gateway.user(0), new_admin(store.gateway)
    _, intent = store.bought(user)
    body = {"model": "local/m", "messages": [{"role": "user", "content": "hi"}]}
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(store.gateway.chat, user, body)
        held = eventually(lambda: store.gateway.balance(user)["held_nano_usd"])
        assert store.refund(admin, intent).status_code == 200
        assert store.debits() == [("refund", 10 * USD, held)]
        assert store.gateway.balance(user)["held_nano_usd"] == held
        go_on.set()
        assert call.result().status_code == 200
    eventually(lambda: store.gateway.open_holds() == 0)
    assert left(store, user) == 0


def test_fees_taxes_and_payouts_become_facts_once(store: Shop) -> None:
    """From charges, disputes, sessions and payouts, whatever is told again (money rule 18)."""
    user = store.gateway.user(0)
    made, intent = store.bought(user)
    store.act("dispute", charge_of(store, intent), "fraudulent")
    payout = store.act("pay_out", 941)
    store.act("fail_payout", payout["id"])
    session = store.double.get(f"checkout/sessions/{made['session_id']}")
    details = {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 160}
    taxed = {**session, "total_details": details}
    send(store, event("checkout.session.completed", taxed))
    store.settled()
    for each in store.double.get("events", limit=100)["data"]:
        send(store, {**each, "id": f"{each['id']}_again"})
    store.settled()

    def costs() -> list[tuple[str, int]]:
        with store.gateway.database.connect() as connection:
            query = "SELECT kind, amount_minor FROM payment_cost ORDER BY 1, 2"
            return list(connection.execute(query).fetchall())

    eventually(lambda: len(costs()) == 3)
    assert costs() == [("fee", 59), ("fee", 1_500), ("tax", 160)]
    with store.gateway.database.connect() as connection:
        query = "SELECT payout_id, paid, amount_minor FROM payout"
        assert connection.execute(query).fetchall() == [(payout["id"], False, 941)]
