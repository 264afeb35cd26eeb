"""Buying credits over HTTP, with the double in Stripe's place."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from providers.stripe_double.handler import Outage
from tests.doubles.stripe import DECLINED, SECURE
from tests.support.admins import ask, told
from tests.support.harness import USD, eventually
from tests.support.organisations import with_keys
from tests.support.payments import BACK, Shop, shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream


@pytest.fixture
def store(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Shop]:
    """A gateway that sells credits, for euros too."""
    with shop(database, tmp_path / "home", upstream, payment_rates="eur=1.08,jpy=0.0067") as made:
        yield made
        made.gateway.verified()


def test_credits_are_bought_on_stripes_page(store: Shop) -> None:
    """Begun, paid, told, given once; the statement and the audit say so (money rule 18, P3)."""
    user = store.gateway.user(0)
    made = store.checkout(
        user, 2_500, customer_email="ann@example.com", metadata={"order": 7, "note": "für Ann"}
    )
    assert (made["amount"], made["currency"], made["credits"], made["status"]) == (
        *(2_500, "usd", 25.0),
        "open",
    )
    assert "?" not in made["url"] and made["expires_at"] > 1_700_000_000
    before = store.payment(user, made)
    assert (before["status"], before["completed_at"]) == ("pending", None)
    assert before["metadata"] == {"order": "7", "note": "für Ann"}
    store.double.pay(made["url"])
    assert store.settled().count("done") == 3
    assert store.gateway.balance(user)["available_nano_usd"] == 25 * USD
    now = store.payment(user, made)
    assert (now["status"], now["failed_at"]) == ("completed", None)
    assert now["stripe_session_id"] == made["session_id"] and now["completed_at"]
    seen = store.get(user, f"checkout-session/{made['session_id']}").json()
    assert seen == {
        "session_id": made["session_id"],
        "payment_status": "paid",
        "status": "complete",
        "amount_total": 2_500,
        "currency": "usd",
        "customer_email": "ann@example.com",
    }
    (line,) = ask(store.gateway, user, "/user/credit-transactions").json()["transactions"]
    assert (line["transaction_type"], line["amount_nano_usd"]) == ("purchase", 25 * USD)
    assert line["payment_id"] == made["payment_id"]
    actions = [each["action"] for each in eventually(lambda: audit(store, user, 4))]
    assert {"payment.started", "payment.opened", "payment.completed", "credits.granted"} <= set(
        actions
    )


def audit(store: Shop, user: Any, least: int) -> list[dict[str, Any]]:
    """The lines of the user's audit on payments and credits, once there are so many."""
    logs = ask(store.gateway, user, "/audit").json()["logs"]
    found = [each for each in logs if each["action"].startswith(("payment.", "credits."))]
    return found if len(found) >= least else []


def test_nothing_personal_stands_in_the_log(store: Shop) -> None:
    """No address, no card, no word of the payer's; beside it they are sealed (P5)."""
    user = store.gateway.user(0)
    words = {"email": "secret-ann@example.com", "word": "hidden-word"}
    made = store.checkout(
        user, customer_email=words["email"], description=words["word"], metadata={"a": "hidden-too"}
    )
    store.double.pay(made["url"])
    store.settled()
    with store.gateway.database.connect() as connection:
        for table in ("events", "payment", "stripe_inbox"):
            rows = connection.execute(f"SELECT t::text FROM {table} t".encode()).fetchall()
            text = " ".join(each for (each,) in rows)
            # What is sealed may hold any four digits by chance, and so may an id or a time.
            plain = re.sub(r"\\+x[0-9a-f]+", "", text)
            assert re.search(r"(?<![\w.-])4242(?![\w-])", plain) is None, table
            for word in (*words.values(), "hidden-too", "4242424242424242"):
                assert word not in plain and word.encode().hex() not in text, (table, word)


def test_a_payment_intent_is_for_a_page_of_ones_own(store: Shop) -> None:
    """The client's secret, and what Stripe says of it; credits when it is paid (money rule 18)."""
    user = store.gateway.user(0)
    body = {"amount": 900, "payment_method_types": ["card"], "customer_email": "a@example.com"}
    made = store.post(user, "payment-intent", body).json()
    assert made["client_secret"].startswith(made["payment_intent_id"])
    assert (made["status"], made["next_action"]) == ("requires_payment_method", None)
    store.double.post(
        f"payment_intents/{made['payment_intent_id']}/confirm", payment_method="pm_card_visa"
    )
    store.settled()
    assert store.granted(user) == 9 * USD
    seen = store.get(user, f"payment-intent/{made['payment_intent_id']}").json()
    assert (seen["status"], seen["amount"], seen["customer"]) == ("succeeded", 900, None)


def test_packages(store: Shop) -> None:
    """Open to all, and bought at their price: 50 credits for 45 USD (money rule 12)."""
    user = store.gateway.user(0)
    packages = store.get(user, "credit-packages").json()["packages"]
    assert [(each["id"], each["credits"], each["amount"]) for each in packages] == [
        ("starter", 10, 1_000),
        ("professional", 50, 4_500),
    ]
    made = store.post(user, "checkout-session", {"package_id": "professional", **BACK}).json()
    assert (made["amount"], made["credits"]) == (4_500, 50.0)
    store.double.pay(made["url"])
    store.settled()
    assert store.granted(user) == 50 * USD
    for body in (
        {"package_id": "gold", **BACK},
        {"package_id": "starter", "amount": 1, **BACK},
        {"package_id": "starter", "currency": "eur", **BACK},
    ):
        assert told(store.post(user, "checkout-session", body)) == (400, "invalid_value")


def test_other_currencies_have_their_rate(store: Shop) -> None:
    """By the rate that stands on the event; one without decimals too (money rule 18, P4)."""
    user = store.gateway.user(0)
    for amount, currency, bought in ((1_000, "eur", 10_800_000_000), (500, "jpy", 3_350_000_000)):
        before = store.granted(user)
        made = store.checkout(user, amount, currency=currency)
        store.double.pay(made["url"])
        eventually(lambda b=before: store.granted(user) > b)  # type: ignore[misc]
        assert store.granted(user) - before == bought
    with store.gateway.database.connect() as connection:
        rows = connection.execute(
            "SELECT convert_from(state, 'UTF8')::jsonb ->> 'rate' FROM events "
            "WHERE topic = 'payment.started.v1' ORDER BY 1"
        ).fetchall()
    assert rows == [("0.0067",), ("1.08",)]


def test_declines_and_3d_secure(store: Shop) -> None:
    """A decline gives nothing and leaves the page open; who proves to be it has paid (P3)."""
    user = store.gateway.user(0)
    made = store.buy(user, 700, DECLINED)
    found = eventually(
        lambda: (row := store.payment(user, made))["status"] == "requires_payment_method" and row
    )
    assert found["failure"] == "card_declined" and found["failed_at"]
    assert store.granted(user) == 0
    time.sleep(1.1)  # Of two statuses of one second the higher one counts.
    store.double.pay(made["url"], SECURE)
    eventually(lambda: store.payment(user, made)["status"] == "requires_action")
    store.double.authenticate(made["url"])
    eventually(lambda: store.payment(user, made)["status"] == "completed")
    assert store.granted(user) == 7 * USD
    late = store.checkout(user)
    store.double.post(f"checkout/sessions/{late['session_id']}/expire")
    eventually(lambda: store.payment(user, late)["status"] == "canceled")


def test_under_one_key_there_is_one_payment(store: Shop) -> None:
    """Eight at once, and after a lost answer; other particulars are refused (P3, money rule 8)."""
    user, other = store.gateway.user(0), store.gateway.user(0)
    body = {"amount": 800, **BACK}
    with ThreadPoolExecutor(8) as threads:
        got = list(
            threads.map(lambda _: store.post(user, "checkout-session", body, "k-1"), range(8))
        )
    assert {each.status_code for each in got} == {200}, [each.text for each in got]
    assert len({each.json()["payment_id"] for each in got}) == 1
    assert len({each.json()["session_id"] for each in got}) == 1
    for more in ({"amount": 801}, {"currency": "eur"}):
        refused = store.post(user, "checkout-session", {**body, **more}, "k-1")
        assert told(refused) == (422, "idempotency_key_reused")
    theirs = store.post(other, "checkout-session", body, "k-1").json()
    assert theirs["payment_id"] != got[0].json()["payment_id"]
    store.double.server.outage = Outage.LOST
    lost = store.post(user, "checkout-session", body, "k-2")
    assert told(lost) == (503, "payments_unavailable")
    store.double.server.outage = Outage.NONE
    first = store.post(user, "checkout-session", body, "k-2").json()
    assert store.post(user, "checkout-session", body, "k-2").json() == first
    assert len(store.double.get("checkout/sessions", limit=100)["data"]) == 3
    reused = store.post(user, "payment-intent", {"amount": 800}, "k-2")
    assert reused.status_code == 200  # Another route is another scope.


BAD: list[dict[str, Any]] = [
    *({"amount": each} for each in (0, -1, 49, 100_000_000, 10**30)),
    *(
        {"amount": 1_000, "currency": each}
        for each in ("xyz", "gbp", "usdd", "", "\u0000\u0000\u0000")
    ),
    *({"amount": each} for each in (10.5, "10", None, True, (), 1e3)),
    {},
    {"amount": 1_000, "success_url": "javascript:alert(1)"},
    {"amount": 1_000, "cancel_url": "not an address"},
    {"amount": 1_000, "success_url": "https://example.com/" + "x" * 3_000},
    {"amount": 1_000, "customer_email": "no address"},
    {"amount": 1_000, "customer_email": "a@b\r\nbcc: c@d"},
    {"amount": 1_000, "metadata": {"a[b]": "c"}},
    {"amount": 1_000, "metadata": {str(n): "x" for n in range(30)}},
    {"amount": 1_000, "metadata": {"a": "x" * 600}},
    {"amount": 1_000, "metadata": {"a": {"b": "c"}}},
    {"amount": 1_000, "description": "x" * 600},
]


def test_what_cannot_be_paid_is_refused(store: Shop) -> None:
    """Zero, negative, huge, fractions of a cent, currencies, odd texts (rule: refuse clearly)."""
    user = store.gateway.user(0)
    for body in BAD:
        raw = json.dumps({**BACK, **body}).encode().replace(b"1000.0", b"1e3")
        got = store.post(user, "checkout-session", raw)
        assert got.status_code == 400, (body, got.text)
        assert len(got.text) < 1_000
    assert store.get(user, "payments").json()["total"] == 0
    assert store.double.get("checkout/sessions")["data"] == []


def test_one_sees_ones_own_payments(store: Shop) -> None:
    """In pages; those of others are refused, and what is none is not there (rule: access)."""
    ann, bob = store.gateway.user(0), store.gateway.user(0)
    made = [store.checkout(ann, 100 + n) for n in range(3)]
    page = store.get(ann, "payments", limit=2).json()
    assert [each["amount"] for each in page["payments"]] == [102, 101]
    assert (page["total"], page["limit"], page["offset"]) == (3, 2, 0)
    assert len(store.get(ann, "payments", offset=2).json()["payments"]) == 1
    assert store.get(bob, "payments").json()["payments"] == []
    one = made[0]
    assert told(store.get(bob, f"payments/{one['payment_id']}")) == (403, "not_your_payment")
    session = f"checkout-session/{one['session_id']}"
    assert told(store.get(bob, session)) == (403, "not_your_payment")
    for path in (
        "payments/none",
        f"payments/{uuid4()}",
        "checkout-session/cs_1",
        "payment-intent/x",
    ):
        assert told(store.get(ann, path)) == (404, "payment_not_found")
    for query in ({"limit": 0}, {"limit": 101}, {"offset": -1}):
        assert store.get(ann, "payments", **query).status_code == 422
    assert store.double.client.get(f"{store.gateway.url}/api/stripe/payments").status_code == 401


def test_an_organisations_key_buys_for_the_organisation(store: Shop) -> None:
    """Its account gets the credits; a developer's key of a project buys nothing (money rule 14)."""
    ann, bob = store.gateway.user(0), store.gateway.user(0)
    of, (owners, developers) = with_keys(store.gateway, ann, bob)
    with store.gateway.client(ann) as client:
        client.headers["authorization"] = f"Bearer {owners}"
        made = client.post("/api/stripe/checkout-session", json={"amount": 500, **BACK}).json()
        client.headers["authorization"] = f"Bearer {developers}"
        refused = client.post("/api/stripe/checkout-session", json={"amount": 500, **BACK})
        assert told(refused) == (403, "forbidden")
    store.double.pay(made["url"])
    store.settled()
    got = ask(store.gateway, ann, f"/organisations/{of}/balance").json()
    assert got["granted_nano_usd"] == USD + 5 * USD
    assert store.granted(ann) == 0


def test_too_many_payments_that_nobody_finishes(store: Shop) -> None:
    """A hundred in a day (rule: bounded)."""
    user = store.gateway.user(0)
    with store.gateway.database.connect() as connection:
        connection.execute(
            "INSERT INTO payment (payment_id, account_id, user_id, way, package, amount_minor, "
            "currency, credits_nano_usd, created_at, updated_at) SELECT gen_random_uuid(), %s, %s, "
            "'checkout', '', 100, 'usd', 1, now(), now() FROM generate_series(1, 100)",
            [user.account_id, user.user_id],
        )
    got = store.post(user, "checkout-session", {"amount": 800, **BACK})
    assert told(got) == (429, "too_many_payments")
    with store.gateway.database.connect_as_owner() as connection:
        connection.execute("DELETE FROM payment")


def test_stripe_away_costs_nothing_and_calls_go_on(store: Shop) -> None:
    """Named, to be tried again; the payment waits (P12, rule: refuse clearly)."""
    user = store.gateway.user()
    for outage in (Outage.REFUSED, Outage.SILENT):
        store.double.server.outage = outage
        got = store.post(user, "checkout-session", {"amount": 800, **BACK}, "k")
        assert told(got) == (503, "payments_unavailable")
        assert got.headers["retry-after"]
        assert store.gateway.chat(user, {}).status_code == 200
    store.double.server.outage = Outage.NONE
    assert store.post(user, "checkout-session", {"amount": 800, **BACK}, "k").status_code == 200
    assert store.get(user, "payments").json()["total"] == 1


def test_without_a_key_nobody_can_pay(gateway: RunningGateway) -> None:
    """What has to be set is said (rule: refuse clearly)."""
    user = gateway.user(0)
    with gateway.client(user) as client:
        got = client.post("/api/stripe/checkout-session", json={"amount": 1_000, **BACK})
        assert told(got) == (503, "payments_off")
        assert "GATEWAYZ_STRIPE_API_KEY" in got.text and "--demo" in got.text
        assert client.get("/api/stripe/payments").json()["payments"] == []
        assert client.get("/api/stripe/credit-packages").status_code == 200
        assert told(client.post("/api/stripe/webhook", content=b"{}")) == (503, "webhooks_off")
