"""What Stripe tells: believed where it is signed, kept, and handled once, whatever it does."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest

from command_api.payments.crediting import Crediting
from event_store.log.aggregates import Aggregates
from providers.payments.port import PAYMENT_KEY
from providers.stripe_double.handler import Outage
from providers.stripe_double.webhooks import sign
from tests.doubles.stripe import WEBHOOK_SECRET
from tests.support.admins import told
from tests.support.harness import USD, eventually
from tests.support.payments import Shop, payment_work, shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

OLD = "whsec_that_is_rotated_out"


@pytest.fixture
def store(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Shop]:
    """A gateway that sells credits, while a secret is rotated."""
    secrets = f"{WEBHOOK_SECRET},{OLD}"
    with shop(database, tmp_path / "home", upstream, stripe_webhook_secrets=secrets) as made:
        yield made
        made.gateway.verified()


@pytest.fixture
def idle(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Shop]:
    """The same, and nobody handles what is told until a test does."""
    with shop(database, tmp_path / "home", upstream, work=False) as made:
        yield made
        made.gateway.verified()


def send(
    store: Shop, event: Any, secret: str = WEBHOOK_SECRET, *, at: int = 0, header: str | None = None
) -> httpx.Response:
    """A webhook."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    signed = sign(body, secret, at or int(time.time())) if header is None else header
    headers = {"stripe-signature": signed} if signed else {}
    return httpx.post(store.webhook, content=body, headers=headers, timeout=20)


def event(kind: str, thing: dict[str, Any], name: str = "", created: int = 0) -> dict[str, Any]:
    """An event as Stripe writes it."""
    return {
        "id": name or f"evt_{uuid4().hex}",
        "object": "event",
        "type": kind,
        "created": created or int(time.time()),
        "data": {"object": thing},
    }


def succeeded(payment_id: str, amount: int = 1_000, **more: Any) -> dict[str, Any]:
    """An intent that was paid."""
    return {
        "id": "pi_of_tests",
        "object": "payment_intent",
        "status": "succeeded",
        "amount_received": amount,
        "currency": "usd",
        "metadata": {PAYMENT_KEY: payment_id},
        **more,
    }


def test_credit_is_given_once_by_whichever_event_comes_first(store: Shop) -> None:
    """The session's event, then the intent's, late and again: one lot (P3, money rule 18)."""
    user = store.gateway.user(0)
    store.double.webhooks.misbehaviour.paused = True
    made = store.buy(user)
    events = {each["type"]: each for each in store.double.get("events")["data"]}
    assert send(store, events["checkout.session.completed"]).status_code == 200
    eventually(lambda: store.granted(user) == 10 * USD)
    first = send(store, events["payment_intent.succeeded"]).json()
    assert (first["success"], first["event_id"]) == (True, events["payment_intent.succeeded"]["id"])
    for each in events.values():
        again = send(store, each)
        assert (again.status_code, again.json()["event_type"]) == (200, each["type"])
    store.double.webhooks.misbehaviour.paused = False
    store.settled()
    assert store.lots() == [(made["payment_id"], 10 * USD)]
    assert store.granted(user) == 10 * USD


@pytest.mark.parametrize("seed", range(3))
def test_doubled_delayed_and_shuffled(store: Shop, seed: int) -> None:
    """Each event three times, under ids of their own, in any order, of two buyers (P3, P7)."""
    users = [store.gateway.user(0) for _ in range(2)]
    odd = store.double.webhooks.misbehaviour
    odd.copies, odd.other_ids, odd.shuffle, odd.paused = 3, True, random.Random(seed), True
    bought = [store.buy(user, 500 + n) for n, user in enumerate(users)]
    odd.paused = False
    assert len(store.settled()) == 2 * 3 * 4
    wanted = [(made["payment_id"], made["amount"] * USD // 100) for made in bought]
    assert sorted(store.lots()) == sorted(wanted)
    assert [store.payment(u, m)["status"] for u, m in zip(users, bought, strict=True)] == [
        "completed"
    ] * 2


def test_either_secret_is_right_while_they_are_rotated(store: Shop) -> None:
    """Both are believed, no third (rule: access)."""
    for secret in (WEBHOOK_SECRET, OLD):
        assert send(store, event("ping", {"id": "x"}), secret).status_code == 200
    assert told(send(store, event("ping", {}), "whsec_other")) == (400, "invalid_signature")


def test_what_is_not_signed_now_is_refused(store: Shop) -> None:
    """Without a header, another body's, stale, of the future: nothing is kept (rule: access)."""
    good = event("payment_intent.succeeded", succeeded(str(uuid4())))
    now = int(time.time())
    for header in ("", "t=1,v1=abc", "x" * 5_000, sign(b"{}", WEBHOOK_SECRET, now)):
        assert told(send(store, good, header=header)) == (400, "invalid_signature")
    for at in (now - 301 - 5, now + 301 + 30, 1):
        assert told(send(store, good, at=at)) == (400, "invalid_signature")
    assert store.inbox() == []


def test_bodies_that_are_no_events(store: Shop) -> None:
    """5 MB, bad JSON, no id, deep: refused, though they are signed (rule: bounded, rule: wire)."""
    large = b'{"id": "' + b"x" * 5_000_000 + b'"}'
    assert send(store, large).status_code == 413
    assert send(store, b" " * (2**20 + 1)).status_code == 413
    for body in (b"", b"{", b"null", b"[]", b"\xff", b"[" * 50_000, b'{"id": 1}', b"{}"):
        assert told(send(store, body)) == (400, "invalid_event"), body[:20]
    assert store.inbox() == []


def test_what_concerns_nobody_here_is_let_be(store: Shop) -> None:
    """Other types, other products on the account, statuses that say nothing (rule: wire)."""
    user = store.gateway.user(0)
    payment_id = store.checkout(user)["payment_id"]
    named = {"metadata": {PAYMENT_KEY: payment_id}}
    for each in (
        event("invoice.paid", {"id": "in_1", "object": "invoice", "status": "paid"}),
        event("payment_intent.succeeded", succeeded("")),
        event("payment_intent.succeeded", {**succeeded(payment_id), "metadata": None}),
        event("payment_intent.created", {"object": "payment_intent", "status": "new", **named}),
        event("odd", {"object": ["x"], "status": {}, **named}),
        event("v2.thing", {}),
    ):
        assert send(store, each).status_code == 200
    assert set(store.settled()) == {"ignored"}
    assert store.granted(user) == 0


def test_what_cannot_be_is_kept_with_its_reason(store: Shop) -> None:
    """Unknown payments, other amounts and currencies, two charges for one (P2, money rule 18)."""
    user = store.gateway.user(0)
    made = store.checkout(user)
    name = made["payment_id"]
    bad = [
        (succeeded("no uuid"), "payment_not_found"),
        (succeeded(str(uuid4())), "payment_not_found"),
        (succeeded(name, 999), "amount_differs"),
        (succeeded(name, 0), "amount_differs"),
        (succeeded(name, -1_000), "amount_differs"),
        (succeeded(name, 10**30), "amount_differs"),
        (succeeded(name, amount_received="1000"), "amount_differs"),
        (succeeded(name, currency="eur"), "amount_differs"),
        (succeeded(name, currency="jpy"), "amount_differs"),
    ]
    for thing, _ in bad:
        assert send(store, event("payment_intent.succeeded", thing)).status_code == 200
    assert set(store.settled()) == {"failed"}
    codes = sorted(each.partition(":")[0] for each in store.inbox("error"))
    assert codes == sorted(code for _, code in bad)
    assert store.granted(user) == 0
    store.double.pay(made["url"])
    eventually(lambda: store.granted(user) == 10 * USD)
    send(store, event("payment_intent.succeeded", succeeded(name, id="pi_second")))
    store.settled()
    assert any(each.startswith("paid_twice: ") for each in store.inbox("error"))
    assert store.granted(user) == 10 * USD


def test_a_thin_event_is_asked_for_and_waits_while_stripe_is_away(store: Shop) -> None:
    """It says which object changed, not how (P12, rule: wire)."""
    user = store.gateway.user(0)
    store.double.webhooks.misbehaviour.paused = True
    made = store.buy(user)
    session = store.double.get(f"checkout/sessions/{made['session_id']}")
    thin = {
        "id": "evt_thin",
        "object": "v2.core.event",
        "type": "v1.payment_intent.succeeded",
        "created": "2027-01-01T00:00:00Z",
        "related_object": {"id": session["payment_intent"], "type": "payment_intent"},
    }
    store.double.server.outage = Outage.REFUSED
    assert send(store, thin).status_code == 200
    eventually(lambda: store.inbox("error")[0].startswith("away: "))
    assert store.granted(user) == 0
    store.double.server.outage = Outage.NONE
    eventually(lambda: store.granted(user) == 10 * USD)
    gone = {**thin, "id": "evt_gone", "related_object": {"id": "pi_x", "type": "payment_intent"}}
    send(store, gone)
    send(store, {**thin, "id": "evt_other", "related_object": {"id": "x", "type": "account"}})
    eventually(lambda: "waiting" not in store.inbox())
    assert sorted(store.inbox()) == ["done", "failed", "ignored"]


def test_a_failure_is_not_lost_and_is_handled_anew(
    idle: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the moment is tried again; the answer to Stripe was 200 long before (P2)."""
    user = idle.gateway.user(0)
    idle.buy(user)
    eventually(lambda: len(idle.inbox()) == 4)
    observe, seen = Crediting.observe, []

    async def failing(self: Crediting, *what: Any) -> None:
        seen.append(what)
        if len(seen) <= 2:
            message = "a defect"
            raise RuntimeError(message)
        await observe(self, *what)

    monkeypatch.setattr(Crediting, "observe", failing)
    with payment_work(idle.gateway.settings, idle.gateway.database):
        eventually(lambda: idle.granted(user) == 10 * USD)
        idle.settled()
    assert len(seen) >= 3
    assert len(idle.lots()) == 1


def test_a_death_between_lot_and_payment_changes_nothing(
    idle: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lot stands, its payment is not completed yet: both, once, when it is tried again (P2)."""
    user = idle.gateway.user(0)
    made = idle.buy(user)
    eventually(lambda: len(idle.inbox()) == 4)
    append = Aggregates.append
    died: list[Any] = []

    def dying(self: Aggregates, events: Any, beside: Any = None) -> None:
        if not died and events[0].TOPIC == "payment.completed.v1":
            died.append(events)
            message = "killed"
            raise RuntimeError(message)
        append(self, events, beside)

    monkeypatch.setattr(Aggregates, "append", dying)
    with payment_work(idle.gateway.settings, idle.gateway.database):
        eventually(lambda: idle.payment(user, made)["status"] == "completed")
        idle.settled()
    assert died
    assert idle.lots() == [(made["payment_id"], 10 * USD)]


def test_what_another_secret_sealed_is_asked_for(idle: Shop) -> None:
    """After a rotation of the installation's secret: by its id (P2)."""
    user = idle.gateway.user(0)
    idle.buy(user)
    eventually(lambda: len(idle.inbox()) == 4)
    with idle.gateway.database.connect() as connection:
        connection.execute("UPDATE stripe_inbox SET sealed = 'x'")
    with payment_work(idle.gateway.settings, idle.gateway.database):
        idle.settled()
    assert idle.granted(user) == 10 * USD


def test_the_inbox_has_a_maximum(idle: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it Stripe is asked to send again; what is known is known (rule: bounded)."""
    monkeypatch.setattr("command_api.payments.inbox.WAITING_MAX", 2)
    known = [event("ping", {}, f"evt_{n}") for n in range(3)]
    assert [send(idle, each).status_code for each in known] == [200, 200, 503]
    assert told(send(idle, known[2])) == (503, "inbox_full")
    assert send(idle, known[0]).json()["message"] == "It was told before."
