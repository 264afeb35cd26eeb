"""Admins refund what paid an invoice: the allowance follows, once, never more than was paid."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from providers.stripe_double.handler import Outage
from tests.command_api.subscriptions.test_returning import PRO, charge_of, left
from tests.support.admins import ask, new_admin
from tests.support.harness import USD, eventually
from tests.support.subscribing import Club, club

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream


@pytest.fixture
def pub(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Club]:
    """A gateway that sells subscriptions."""
    with club(database, tmp_path / "home", upstream) as made:
        yield made
        made.store.gateway.verified()


def refund(pub: Club, admin: NewUser, key: str = "", **body: Any) -> httpx.Response:
    """What a refund gets."""
    return pub.store.post(admin, "refund", body, key)


def names(pub: Club) -> list[dict[str, str]]:
    """The ways to name what paid the newest invoice."""
    charge, invoice = charge_of(pub), pub.double.get("invoices")["data"][0]
    return [
        {"payment_intent_id": charge["payment_intent"]},
        {"charge_id": charge["id"]},
        {"invoice_id": invoice["id"]},
    ]


def test_an_invoice_is_refunded_in_parts_by_any_of_its_names(pub: Club) -> None:
    """To exactly all; beyond that it is refused; who asked stands there (money rule 15, P3)."""
    user, admin = pub.store.gateway.user(0), new_admin(pub.store.gateway)
    pub.join(user)
    pub.waits(1)
    paid = charge_of(pub)["amount"]
    for name in names(pub):
        got = refund(pub, admin, **name, amount=paid + 1)
        assert (got.status_code, got.json()["code"]) == (409, "refund_too_large")
        for absurd in (0, -1, 10**30):
            assert refund(pub, admin, **name, amount=absurd).status_code in {400, 409}
        got = refund(pub, admin, **name, amount=300, reason="asked by phone", metadata={"t": 7})
        assert got.status_code == 200, got.text
        said = got.json()
        assert (said["amount"], said["status"], said["payment_id"]) == (300, "succeeded", None)
        assert said["invoice_id"] == names(pub)[2]["invoice_id"]
        assert said["payment_intent_id"] == charge_of(pub)["payment_intent"]
    assert left(pub, user) == PRO - PRO * 900 // paid
    got = refund(pub, admin, **names(pub)[1])
    assert got.json()["amount"] == paid - 900
    assert left(pub, user) == 0
    assert refund(pub, admin, **names(pub)[0]).status_code == 409
    pub.store.settled()
    taken = [amount for kind, amount, owed in pub.store.debits() if (kind, owed) == ("refund", 0)]
    assert (len(taken), sum(taken)) == (4, PRO)
    assert len(pub.double.get("refunds")["data"]) == 4
    logs = ask(pub.store.gateway, user, "/audit").json()["logs"]
    backs = [each for each in logs if each["action"] == "subscription.returned"]
    assert {each["after"]["by_user_id"] for each in backs} == {admin.user_id}
    assert "asked by phone" in {each["after"]["reason"] for each in backs}


def test_the_same_request_is_one_refund(pub: Club) -> None:
    """Many at once, again and again, also long after; another under its key is refused (P3)."""
    user, admin = pub.store.gateway.user(0), new_admin(pub.store.gateway)
    pub.join(user)
    pub.waits(1)
    name = names(pub)[0]
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(refund, pub, admin, "one", **name, amount=500) for _ in range(4)]
    answers = [each.result() for each in asked]
    assert {each.status_code for each in answers} == {200}, [each.text for each in answers]
    assert len({each.json()["refund_id"] for each in answers}) == 1
    with pub.double.server.shelf.act():
        # Stripe forgets keys after a while; the log does not.
        pub.double.server.shelf._sql.execute("DELETE FROM answered")
    again = refund(pub, admin, "one", **names(pub)[2], amount=500)
    assert again.json()["refund_id"] == answers[0].json()["refund_id"]
    assert refund(pub, admin, "one", **name, amount=501).json()["code"] == "idempotency_key_reused"
    pub.store.settled()
    assert len(pub.double.get("refunds")["data"]) == 1
    assert len(pub.store.debits()) == 1


def test_what_cannot_be_refunded_says_so(pub: Club) -> None:
    """No name, two names, unknown and hostile ones, none of ours; nothing moves (P2, P11)."""
    user, admin = pub.store.gateway.user(0), new_admin(pub.store.gateway)
    pub.join(user)
    pub.waits(1)
    charge, (one, two, three) = charge_of(pub), names(pub)
    other = pub.double.post(
        "payment_intents", amount="900", currency="usd", confirm="true",
        payment_method="pm_card_visa",
    ).json()  # fmt: skip
    for body in (
        {}, {**one, **two}, {**two, **three}, {"invoice_id": ""}, {"charge_id": "../refunds"},
        {"invoice_id": "in_x?expand[]=y"}, {"payment_intent_id": "x" * 256}, {"charge_id": 7},
        {"payment_id": charge["id"] + "\n"}, {**three, "ammount": 1},
    ):  # fmt: skip
        got = refund(pub, admin, **body)
        assert got.status_code == 400, (body, got.text)
    for name in (
        {"payment_intent_id": "pi_none"}, {"charge_id": "ch_none"}, {"invoice_id": "in_none"},
        {"payment_id": "not-a-payment"}, {"payment_id": "0b5fb5f0-7d33-4f61-8b43-4b2b6b1f6a11"},
        {"payment_intent_id": other["id"]}, {"charge_id": other["latest_charge"]},
    ):  # fmt: skip
        got = refund(pub, admin, **name)
        assert (got.status_code, got.json()["code"]) == (404, "payment_not_found"), (name, got.text)
    assert refund(pub, user, **one).status_code == 403
    pub.double.server.outage = Outage.REFUSED
    assert refund(pub, admin, **three).status_code == 503
    pub.double.server.outage = Outage.NONE
    assert pub.double.get("refunds")["data"] == []
    assert left(pub, user) == PRO


def test_an_invoice_that_is_not_noted_yet_is_not_refunded(pub: Club) -> None:
    """It is paid at Stripe, and nobody told us; afterwards it can be (money rule 15, P2)."""
    user, admin = pub.store.gateway.user(0), new_admin(pub.store.gateway)
    pub.double.webhooks.misbehaviour.paused = True
    assert pub.double.pay(pub.page(user)["url"]).status_code == 200
    for name in names(pub):
        got = refund(pub, admin, **name)
        assert (got.status_code, got.json()["code"]) == (409, "payment_not_paid"), got.text
    pub.double.webhooks.misbehaviour.paused = False
    pub.waits(1)
    assert refund(pub, admin, **names(pub)[2]).status_code == 200
    eventually(lambda: left(pub, user) == 0)


def test_a_purchase_is_refunded_by_its_own_id_too(pub: Club) -> None:
    """By our id and by its charge; a package beside a subscription (money rule 15)."""
    user, admin = pub.store.gateway.user(0), new_admin(pub.store.gateway)
    pub.join(user)
    pub.waits(1)
    made, intent = pub.store.bought(user, 1_000)
    got = refund(pub, admin, payment_id=made["payment_id"], amount=400)
    assert (got.status_code, got.json()["payment_id"]) == (200, made["payment_id"])
    assert got.json()["invoice_id"] is None
    charge = pub.double.get("charges", payment_intent=intent)["data"][0]["id"]
    assert refund(pub, admin, charge_id=charge).json()["amount"] == 600
    pub.store.settled()
    assert left(pub, user) == PRO
    assert sum(amount for _, amount, _ in pub.store.debits()) == 10 * USD
