"""Subscribing over HTTP, with the double in Stripe's place: a life of months by its clock."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from providers.stripe_double.handler import Outage
from tests.doubles.stripe import DECLINED
from tests.support.admins import ask, new_admin
from tests.support.harness import USD, eventually
from tests.support.payments import BACK, payment_work
from tests.support.subscribing import Club, club, second

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

ALWAYS_ASKED = "4000002760003184"
PRO, MAX = 20 * USD, 150 * USD


@pytest.fixture
def pub(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Club]:
    """A gateway that sells subscriptions."""
    with club(database, tmp_path / "home", upstream) as made:
        yield made
        made.store.gateway.verified()


def test_each_period_gives_its_allowance(pub: Club) -> None:
    """From 31 January over the end of February; each lot ends with its period (money rule 9)."""
    user = pub.store.gateway.user(0)
    assert pub.tier(user) == "basic"
    name = pub.join(user)
    assert pub.waits(1) == [(PRO, "2027-02-28T12:00:00.000000Z")]
    pub.until("2027-04-01")
    assert pub.waits(3) == [
        (PRO, "2027-02-28T12:00:00.000000Z"),
        (PRO, "2027-03-31T12:00:00.000000Z"),
        (PRO, "2027-04-30T12:00:00.000000Z"),
    ]
    seen = pub.shown(user)
    assert (seen["tier"], seen["allowance_nano_usd"], seen["has_saved_card"]) == ("pro", PRO, True)
    assert seen["subscriptions"][0]["current_period_end"] == "2027-04-30T12:00:00+00:00"
    (line, *_) = ask(pub.store.gateway, user, "/user/credit-transactions").json()["transactions"]
    assert (line["transaction_type"], line["amount_nano_usd"]) == ("allowance", PRO)
    got = pub.store.get(user, "invoices", limit=2).json()
    assert (len(got["invoices"]), got["has_more"]) == (2, True)
    after = pub.store.get(user, "invoices", starting_after=got["invoices"][-1]["id"]).json()
    (oldest,) = after["invoices"]
    assert (oldest["billing_reason"], oldest["amount_paid"]) == ("subscription_create", 1_500)
    assert oldest["hosted_invoice_url"].startswith("https://") and oldest["total_taxes"] == []
    tiers = pub.store.get(user, "subscription-tiers").json()["tiers"]
    assert {each["price_id"]: each["allowance_usd"] for each in tiers} == {
        "price_pro": 20,
        "price_max": 150,
    }
    assert pub.shown(user)["subscriptions"][0]["subscription_id"] == name


def test_whatever_stripe_repeats_and_shuffles_gives_once(pub: Club) -> None:
    """Copies under other ids, in an order of their own (P3)."""
    odd = pub.double.webhooks.misbehaviour
    odd.copies, odd.other_ids, odd.shuffle = 3, True, random.Random(7)
    user = pub.store.gateway.user(0)
    odd.paused = True
    url = pub.page(user)["url"]
    pub.double.pay(url)
    pub.double.server.advance_to(second("2027-03-01"))
    odd.paused = False
    assert [each[0] for each in pub.waits(2)] == [PRO, PRO]
    assert pub.tier(user) == "pro"


def test_a_card_that_fails_takes_the_tier(pub: Club) -> None:
    """Past due is basic, and so is what is cancelled after it; what was given stays (P2)."""
    user = pub.store.gateway.user(0)
    pub.join(user, "price_max", ALWAYS_ASKED)
    assert (pub.tier(user), pub.waits(1)[0][0]) == ("max", MAX)
    pub.until("2027-02-28T13:00:00")
    seen = pub.shown(user)
    assert (seen["tier"], seen["subscriptions"][0]["status"]) == ("basic", "past_due")
    assert seen["subscriptions"][0]["unpaid_invoice_id"].startswith("in_")
    pub.until("2027-03-06")
    assert pub.shown(user)["subscriptions"][0]["status"] == "canceled"
    assert pub.store.granted(user) == MAX
    # Who was here before may begin again.
    pub.join(user)
    assert pub.tier(user) == "pro"


def test_a_change_follows_the_money(pub: Club) -> None:
    """Up: the difference for the rest, at once. Down: from the next period on (P4)."""
    user = pub.store.gateway.user(0)
    name = pub.join(user)
    pub.until("2027-02-14T12:00:00")  # Half of the 28 days.
    up = pub.store.post(user, f"subscriptions/{name}/change", {"price_id": "price_max"})
    assert (up.status_code, up.json()["price_id"]) == (200, "price_max")
    assert [each[0] for each in pub.waits(2)] == [PRO, 65 * USD]
    assert pub.tier(user) == "max"
    again = pub.store.post(user, f"subscriptions/{name}/change", {"price_id": "price_max"})
    assert again.status_code == 200
    down = pub.store.post(user, f"subscriptions/{name}/change", {"price_id": "price_pro"})
    assert down.status_code == 200
    eventually(lambda: pub.tier(user) == "pro")
    pub.until("2027-03-01")
    assert [each[0] for each in pub.waits(3)] == [PRO, 65 * USD, PRO]
    assert {each[1] for each in pub.allowances()} == {
        "2027-02-28T12:00:00.000000Z",
        "2027-03-31T12:00:00.000000Z",
    }


def test_it_ends_with_its_period_or_at_once(pub: Club) -> None:
    """And goes on after all for who thinks again; the portal is its customer's (rule: contract)."""
    user, other = pub.store.gateway.user(0), pub.store.gateway.user(0)
    name = pub.join(user)
    for act, ends in (("cancel", True), ("resume", False), ("cancel", True)):
        got = pub.store.post(user, f"subscriptions/{name}/{act}", {})
        assert (got.status_code, got.json()["cancel_at_period_end"]) == (200, ends)
        eventually(lambda: _ends(pub, user) is ends)  # noqa: B023 - it is asked within the round
    with pub.store.gateway.client(user) as client:
        bare = client.post(f"/api/stripe/subscriptions/{name}/cancel")
    assert (bare.status_code, bare.json()["cancel_at_period_end"]) == (200, True)
    assert pub.tier(user) == "pro"
    pub.until("2027-03-01")
    assert (pub.tier(user), len(pub.allowances())) == ("basic", 1)
    late = pub.store.post(user, f"subscriptions/{name}/cancel", {})
    assert (late.status_code, late.json()["code"]) == (409, "subscription_not_active")
    name = pub.join(other)
    gone = pub.store.post(other, f"subscriptions/{name}/cancel", {"at_period_end": False})
    assert gone.json()["status"] == "canceled"
    eventually(lambda: pub.tier(other) == "basic")
    page = pub.store.post(other, "customer-portal", {"return_url": "https://example.com/me"})
    assert page.status_code == 200 and page.json()["url"].startswith(pub.double.url)


def test_who_leaves_is_charged_no_more(pub: Club) -> None:
    """A subscription is ended first, and top-ups end with the leaving (rule: refuse clearly)."""
    gateway = pub.store.gateway
    user = gateway.user(0)
    name = pub.join(user)
    wanted = {"enabled": True, "threshold": 0, "amount": 500, "monthly_cap": 500}
    with gateway.client(user) as client:
        assert client.put("/user/auto-top-up", json=wanted).status_code == 200
        got = _leave(client)
        assert (got.status_code, got.json()["code"]) == (409, "still_subscribed")
        pub.store.post(user, f"subscriptions/{name}/cancel", {})
        eventually(lambda: _ends(pub, user))
        assert _leave(client).status_code == 200
    with gateway.database.connect() as connection:
        row = connection.execute("SELECT enabled FROM auto_top_up").fetchone()
    assert row == (False,)


def _leave(client: httpx.Client) -> httpx.Response:
    body = {"confirmation": "DELETE_ACCOUNT"}
    return client.request("DELETE", "/user/account", json=body)


def _ends(pub: Club, user: object) -> bool:
    found: bool = pub.shown(user)["subscriptions"][0]["cancel_at_period_end"]  # type: ignore[arg-type]
    return found


HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({}, "invalid_value"),
    ({"price_id": "price_x"}, "price_not_offered"),
    ({"price_id": "price_pro", "product_id": "prod_max"}, "price_not_offered"),
    ({"price_id": "p" * 256}, "invalid_type"),
    ({"price_id": "price_pro", "mode": "payment"}, "invalid_value"),
    ({"price_id": "price_pro", "mode": "gift"}, "invalid_value"),
    ({"price_id": "price_pro", "mode": "setup"}, "invalid_value"),
    ({"price_id": "price_pro", "customer_email": "a@b\r\nbcc: c@d"}, "invalid_value"),
    ({"price_id": "price_pro", "success_url": "javascript:alert(1)"}, "invalid_value"),
    ({"price_id": "price_pro", "cancel_url": "http://[x"}, "invalid_value"),
    ({"price_id": "price_pro", "metadata": {"a[b]": "c"}}, "invalid_value"),
    ({"price_id": "price_pro", "metadata": {"a": {"b": 1}}}, "invalid_value"),
    ({"price_id": "price_pro", "metadata": {str(n): n for n in range(21)}}, "invalid_value"),
]


def test_hostile_requests_reach_nobody(pub: Club) -> None:
    """Foreign prices, other people's subscriptions, absurd bodies (rule: refuse clearly)."""
    user, other = pub.store.gateway.user(0), pub.store.gateway.user(0)
    for body, code in HOSTILE:
        got = pub.store.post(user, "subscription-checkout", {**BACK, **body})
        assert got.status_code == 400, (body, got.text)
        if code != "invalid_type":
            assert got.json()["code"] == code, (body, got.text)
    bare = pub.store.post(user, "subscription-checkout", {"price_id": "price_pro"})
    assert bare.status_code == 400
    assert pub.store.post(user, "customer-portal", {}).status_code == 400
    assert pub.store.get(user, "invoices").json() == {"invoices": [], "has_more": False}
    assert pub.store.get(user, "invoices", limit=101).status_code == 422
    name = pub.join(user)
    for act, body in (("change", {"price_id": "price_max"}), ("cancel", {}), ("resume", {})):
        got = pub.store.post(other, f"subscriptions/{name}/{act}", body)
        assert (got.status_code, got.json()["code"]) == (404, "subscription_not_found")
    foreign = pub.store.post(user, f"subscriptions/{name}/change", {"price_id": "price_x"})
    assert foreign.json()["code"] == "price_not_offered"
    twice = pub.store.post(user, "subscription-checkout", {"price_id": "price_max", **BACK})
    assert (twice.status_code, twice.json()["code"]) == (409, "already_subscribed")
    assert pub.tier(other) == "basic" and pub.store.granted(other) == 0


def test_an_account_is_one_customer(pub: Club) -> None:
    """Whoever asks at once, for whatever; a key has one page (P3)."""
    user = pub.store.gateway.user(0)
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: pub.page(user)["customer_id"], range(8)))
    assert len(set(made)) == 1
    bought = pub.store.checkout(user, 700, customer_email="ann@example.com")
    session = pub.double.get(f"checkout/sessions/{bought['session_id']}")
    assert session["customer"] == made[0]
    assert pub.double.get(f"customers/{made[0]}")["email"] == "ann@example.com"
    asked = {"price_id": "price_pro", **BACK}
    pages = [pub.store.post(user, "subscription-checkout", asked, "k").json() for _ in range(2)]
    assert pages[0] == pages[1]
    other = pub.store.post(user, "subscription-checkout", {**asked, "price_id": "price_max"}, "k")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    with pub.store.gateway.database.connect() as connection:
        (count,) = connection.execute("SELECT count(*) FROM payment_customer").fetchone() or (0,)
    assert (count, len(pub.double.get("customers")["data"])) == (1, 1)


def test_a_card_is_saved(pub: Club) -> None:
    """By a page that takes nothing (rule: contract)."""
    user = pub.store.gateway.user(0)
    url = pub.page(user, "", mode="setup")["url"]
    pub.double.pay(url)
    pub.store.settled()
    eventually(lambda: pub.shown(user)["has_saved_card"])
    assert (pub.tier(user), pub.store.granted(user)) == ("basic", 0)


def test_a_decline_begins_nothing(pub: Club) -> None:
    """The page stays; nobody has a tier for it (P10)."""
    user = pub.store.gateway.user(0)
    url = pub.page(user)["url"]
    assert pub.double.pay(url, DECLINED).status_code == 402
    assert pub.shown(user)["subscriptions"] == []


def test_while_stripe_is_away_what_it_told_is_handled(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Nobody can begin; months that were told late are given once, in order (P12, P3)."""
    with club(database, tmp_path / "home", upstream, work=False) as made:
        user = made.store.gateway.user(0)
        made.double.pay(made.page(user)["url"])
        made.double.server.advance_to(second("2027-04-01"))
        eventually(lambda: made.double.server.shelf.waiting() == 0)
        made.double.server.outage = Outage.REFUSED
        got = made.store.post(user, "subscription-checkout", {"price_id": "price_pro", **BACK})
        assert (got.status_code, got.json()["code"]) == (503, "payments_unavailable")
        with payment_work(made.store.gateway.settings, database):
            eventually(lambda: [each[0] for each in made.allowances()] == [PRO] * 3)
            # What Stripe took of it is asked for once it is there again.
            assert "waiting" in made.store.inbox()
            made.double.server.outage = Outage.NONE
            made.store.settled()
        assert made.tier(user) == "pro"
        made.store.gateway.verified()


def test_the_tier_is_told_wherever_it_is_asked_for(pub: Club) -> None:
    """By the profile, and to an admin by the count of users; until it is over (rule: contract)."""
    gateway = pub.store.gateway
    user, admin = gateway.user(0), new_admin(gateway)
    gateway.user(0)

    def told() -> tuple[Any, ...]:
        seen = ask(gateway, user, "/user/profile").json()
        count = ask(gateway, admin, "/admin/users").json()["statistics"]["subscription_breakdown"]
        names = ("tier", "tier_display_name", "subscription_status", "subscription_end_date")
        return (*(seen[name] for name in names), count)

    assert told() == ("basic", "Basic", "inactive", None, {"basic": 3, "pro": 0, "max": 0})
    name = pub.join(user)
    ends = "2027-02-28T12:00:00.000000Z"
    assert told() == ("pro", "Pro", "active", ends, {"basic": 2, "pro": 1, "max": 0})
    path = f"subscriptions/{name}"
    assert pub.store.post(user, f"{path}/change", {"price_id": "price_max"}).status_code == 200
    pub.store.settled()
    assert told() == ("max", "Max", "active", ends, {"basic": 2, "pro": 0, "max": 1})
    ended = pub.store.post(user, f"{path}/cancel", {"at_period_end": False})
    assert ended.status_code == 200, ended.text
    pub.store.settled()
    assert told()[0] == "basic"
    assert told()[3:] == (None, {"basic": 3, "pro": 0, "max": 0})
