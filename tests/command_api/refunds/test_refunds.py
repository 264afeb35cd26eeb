"""Refunds that admins make, with the double in Stripe's place."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from command_api.money.debits import Debit, Debits
from domain.ledger.lots import DebitKind
from providers.stripe_double.handler import Outage
from tests.support.admins import ask, new_admin, told
from tests.support.harness import USD, eventually
from tests.support.payments import Shop, shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream


@pytest.fixture
def store(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Shop]:
    """A gateway that sells credits."""
    with shop(database, tmp_path / "home", upstream) as made:
        yield made
        made.gateway.verified()


def test_defect_13_a_refund_takes_its_credits_back(store: Shop) -> None:
    """Once, with who asked and why; statement, audit and payment say so (money rule 15, P3)."""
    user, admin = store.gateway.user(0), new_admin(store.gateway)
    made, intent = store.bought(user)
    got = store.refund(admin, intent, reason="asked by phone", metadata={"ticket": 7})
    assert got.status_code == 200, got.text
    said = got.json()
    assert said["refund_id"].startswith("re_") and said["created_at"]
    assert (said["amount"], said["currency"], said["status"]) == (1_000, "usd", "succeeded")
    assert (said["payment_intent_id"], said["reason"]) == (intent, "asked by phone")
    assert store.gateway.balance(user)["available_nano_usd"] == 0
    store.settled()
    assert store.debits() == [("refund", 10 * USD, 0)]
    now = store.payment(user, made)
    assert (now["status"], now["refunded"]) == ("refunded", 1_000)
    (back,) = now["returns"]
    assert (back["id"], back["kind"], back["phase"]) == (said["refund_id"], "refund", "out")
    assert (back["amount"], back["credits"]) == (1_000, 10.0)
    (line, _) = ask(store.gateway, user, "/user/credit-transactions").json()["transactions"]
    assert (line["transaction_type"], line["amount_nano_usd"]) == ("refund", -10 * USD)
    assert line["payment_id"] == made["payment_id"]
    assert "asked by phone" in line["description"]
    logs = eventually(
        lambda: [
            each
            for each in ask(store.gateway, user, "/audit").json()["logs"]
            if each["action"] == "payment.refunded"
        ]
    )
    assert logs[0]["reason"] == "asked by phone"
    assert "inbox" not in got.text
    refund = store.double.get(f"refunds/{said['refund_id']}")
    assert refund["metadata"]["ticket"] == "7"


def test_parts_come_to_the_whole_and_no_more(store: Shop) -> None:
    """A package of 50 for 45 in three parts; what is left, then nothing (money rule 15)."""
    user, admin = store.gateway.user(0), new_admin(store.gateway)
    made = store.checkout(user, 4_500, package_id="professional")
    store.double.pay(made["url"])
    intent = store.intent(user, made)
    assert store.refund(admin, intent, amount=1_000).status_code == 200
    assert store.payment(user, made)["status"] == "partially_refunded"
    assert store.refund(admin, intent, amount=1_234).status_code == 200
    assert told(store.refund(admin, intent, amount=2_267)) == (409, "refund_too_large")
    assert store.refund(admin, intent).json()["amount"] == 2_266
    assert store.payment(user, made)["status"] == "refunded"
    assert told(store.refund(admin, intent)) == (409, "refund_too_large")
    store.settled()
    assert sum(amount for _, amount, _ in store.debits()) == 50 * USD
    assert store.gateway.balance(user)["available_nano_usd"] == 0


def test_one_refund_for_a_key(store: Shop) -> None:
    """Sent again, at once by five, after an answer that was lost: one; another is refused (P3)."""
    user, admin = store.gateway.user(0), new_admin(store.gateway)
    _, intent = store.bought(user)
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: store.refund(admin, intent, "k", amount=300), range(5)))
    assert {each.status_code for each in answers} == {200}
    assert len({each.json()["refund_id"] for each in answers}) == 1
    assert told(store.refund(admin, intent, "k", amount=301)) == (422, "idempotency_key_reused")
    store.double.server.outage = Outage.LOST
    lost = store.refund(admin, intent, "other", amount=200)
    assert told(lost) == (503, "payments_unavailable")
    store.double.server.outage = Outage.NONE
    assert store.refund(admin, intent, "other", amount=200).status_code == 200
    store.settled()
    assert store.debits() == [("refund", 3 * USD, 0), ("refund", 2 * USD, 0)]


def test_spent_credits_are_owed(store: Shop) -> None:
    """What a call has spent is a debt; the next purchase pays it first (money rule 15, P1)."""
    user, admin = store.gateway.user(0), new_admin(store.gateway)
    _, intent = store.bought(user)
    debit = Debit(
        account_id=UUID(user.account_id),
        debit_key="spent",
        amount=4 * USD,
        reason="as if spent",
        kind=DebitKind.ADMIN_DEBIT,
    )
    asyncio.run(Debits(store.gateway.database, actor="test").take(debit))
    assert store.refund(admin, intent).status_code == 200
    assert store.gateway.balance(user)["available_nano_usd"] == 0
    assert store.debits()[-1] == ("refund", 10 * USD, 4 * USD)
    store.bought(user)
    assert store.gateway.balance(user)["available_nano_usd"] == 6 * USD


@pytest.mark.parametrize(
    "body",
    [
        *({"amount": amount} for amount in (0, -1, 1.5, "300", True)),
        {"reason": "two\nlines"},
        {"reason": "x" * 251},
        {"metadata": {"gatewayz_asked_by": "me"}},
        {"metadata": {"a[b]": "c"}},
        {"metadata": {"a": [1]}},
        {"metadata": {str(n): n for n in range(21)}},
        {"payment_intent_id": ""},
        {"payment_intent_id": "x" * 256},
        {"payment_intent_id": 7},
    ],
)
def test_bodies_that_cannot_be(store: Shop, body: dict[str, object]) -> None:
    """Nothing is asked of Stripe for them (rule: refuse clearly)."""
    user, admin = store.gateway.user(0), new_admin(store.gateway)
    _, intent = store.bought(user)
    assert store.post(admin, "refund", {"payment_intent_id": intent, **body}).status_code == 400
    assert store.double.get("refunds")["data"] == []


def test_who_and_what_is_refused(store: Shop) -> None:
    """Users, payments that are not there, not ours, not paid; huge amounts (rule: access)."""
    user, admin = store.gateway.user(0), new_admin(store.gateway)
    made, intent = store.bought(user)
    assert store.refund(user, intent).status_code == 403
    assert told(store.refund(admin, "pi_nobodys")) == (404, "payment_not_found")
    other = store.double.post("payment_intents", amount="900", currency="usd").json()["id"]
    assert told(store.refund(admin, other)) == (404, "payment_not_found")
    assert told(store.refund(admin, intent, amount=10**15)) == (409, "refund_too_large")
    assert told(store.refund(admin, intent, amout=300))[0] == 400
    body = {"amount": 900, "currency": "usd"}
    begun = store.post(user, "payment-intent", body).json()["payment_intent_id"]
    assert told(store.refund(admin, begun)) == (409, "payment_not_paid")
    assert store.payment(user, made)["status"] == "completed"
    assert store.debits() == []
    store.act("dispute", store.double.get(f"payment_intents/{intent}")["latest_charge"], "fraud")
    assert told(store.refund(admin, intent)) == (400, "payment_refused")
