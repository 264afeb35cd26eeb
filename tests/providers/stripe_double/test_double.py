"""The double does what Stripe documents, as its own SDK and its own document see it."""

from __future__ import annotations

import asyncio
import json
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import stripe

from providers.payments.http import BoundedHttp
from providers.stripe_double.forms import FormError, read_form
from providers.stripe_double.handler import Outage
from tests.doubles.stripe import API_KEY, DECLINED, SECURE, WEBHOOK_SECRET, Double, check
from tests.doubles.stripe import stripe_double as double_of
from tests.support.harness import ScriptedUpstream, eventually, reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.harness import Request


@pytest.fixture
def double() -> Iterator[Double]:
    """One that tells nobody."""
    with double_of() as made:
        yield made


class Inbox(ScriptedUpstream):
    """Takes webhooks, or refuses them."""

    def __init__(self) -> None:
        self.status = 200
        super().__init__(lambda connection, _: reply(connection, b"{}", status=self.status))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def types(self) -> list[str]:
        """What came."""
        return [each.body["type"] for each in self.requests]


def genuine(request: Request) -> stripe.Event:
    """A webhook as the SDK reads it; it raises for one that is not signed so."""
    header = request.headers["stripe-signature"]
    event: stripe.Event = stripe.Webhook.construct_event(request.raw, header, WEBHOOK_SECRET)
    check(json.loads(request.raw))
    return event


def kinds(double: Double) -> list[str]:
    """The types of all events, the oldest first."""
    return [each["type"] for each in reversed(double.get("events", limit=100)["data"])]


def test_a_session_is_paid_on_its_page(double: Double) -> None:
    """One charge, the events in order, and the page leads back (rule: contract)."""
    session = double.session(1_000, client_reference_id="p-1")
    assert session["url"].startswith(double.url) and "?" not in session["url"]
    assert b"10.00 USD" in httpx.get(session["url"]).content
    paid = double.pay(session["url"])
    assert paid.json()["redirect"] == f"https://example.com/paid?id={session['id']}"
    now = double.get(f"checkout/sessions/{session['id']}")
    assert (now["status"], now["payment_status"], now["url"]) == ("complete", "paid", None)
    intent = double.get(f"payment_intents/{now['payment_intent']}")
    assert (intent["status"], intent["amount_received"]) == ("succeeded", 1_000)
    assert kinds(double) == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
    ]
    assert double.pay(session["url"]).status_code == 400
    assert b"complete" in httpx.get(session["url"]).content
    form = httpx.post(f"{double.session()['url']}/pay", data={"card": "4242 4242 4242 4242"})
    assert form.status_code == 303


def test_cards_do_what_stripe_documents(double: Double) -> None:
    """A decline leaves the session open; 3-D Secure asks; a wrong number is none (rule: wire)."""
    url = double.session()["url"]
    declined = double.pay(url, DECLINED)
    check(declined.json())
    assert declined.status_code == 402
    assert declined.json()["error"]["decline_code"] == "generic_decline"
    assert double.pay(url, "1234").json()["error"]["code"] == "incorrect_number"
    asked = double.pay(url, SECURE)
    assert asked.json()["status"] == "requires_action"
    assert double.authenticate(url, approve=False).status_code == 402
    assert double.pay(url, SECURE).json()["status"] == "requires_action"
    assert double.authenticate(url).json()["status"] == "complete"
    told = kinds(double)
    assert told.count("payment_intent.payment_failed") == 2
    assert told.count("payment_intent.requires_action") == 2
    assert told.count("payment_intent.succeeded") == 1


def test_an_idempotency_key_has_one_answer(double: Double) -> None:
    """Eight at once make one; another body is refused; a decline is repeated too (P3)."""
    asked = {"amount": "700", "currency": "usd"}
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: double.post("payment_intents", "k", **asked), range(8)))
    assert len({each.text for each in made}) == 1
    assert sum(each.headers.get("idempotent-replayed") == "true" for each in made) == 7
    other = double.post("payment_intents", "k", amount="701", currency="usd")
    assert (other.status_code, other.json()["error"]["type"]) == (400, "idempotency_error")
    pay = {**asked, "confirm": "true", "payment_method": "pm_card_chargeDeclined"}
    first, again = (double.post("payment_intents", "k2", **pay) for _ in range(2))
    assert (first.status_code, first.text) == (402, again.text)
    assert len(double.get("payment_intents")["data"]) == 2


def test_money_goes_back(double: Double) -> None:
    """Refunds up to what was paid; disputes withdraw and reinstate (money rule 18)."""
    made = double.post(
        *("payment_intents", "a"),
        amount="1000",
        currency="usd",
        confirm="true",
        payment_method="pm_card_visa",
    ).json()
    part = double.post("refunds", payment_intent=made["id"], amount="300")
    assert part.json()["amount"] == 300
    too_much = double.post("refunds", payment_intent=made["id"], amount="701")
    assert too_much.status_code == 400
    charge = double.get(f"charges/{made['latest_charge']}")
    assert (charge["amount_refunded"], charge["refunded"]) == (300, False)
    double.post("refunds", payment_intent=made["id"])
    assert double.get(f"charges/{made['latest_charge']}")["refunded"] is True
    url = double.session()["url"]
    double.pay(url, "4000000000000259")
    (dispute,) = double.get("disputes")["data"]
    assert dispute["status"] == "needs_response"
    with double.server.shelf.act():
        double.server.api.payments.returns.close_dispute(dispute["id"], won=True)
    assert kinds(double)[-3:] == [
        "checkout.session.completed",
        "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
    ]


def test_bad_requests_are_stripes_errors(double: Double) -> None:
    """By amount, currency, path, key and size; nothing is made (rule: refuse clearly)."""
    for amount in ("0", "-5", "49", "1.5", "x", "100000000", "9" * 5_000):
        bad = double.post("payment_intents", amount=amount, currency="usd")
        assert (bad.status_code, bad.json()["error"]["param"]) == (400, "amount"), amount
    assert double.post("payment_intents", amount="100", currency="us").status_code == 400
    assert double.post("payment_intents/pi_none/confirm").status_code == 404
    assert double.post("nothing").status_code == 404
    assert double.get("payment_intents/pi_none")["error"]["code"] == "resource_missing"
    assert httpx.get(f"{double.url}/v1/events").status_code == 401
    large = double.client.post("/v1/customers", content=b"name=" + b"x" * 300_000)
    assert large.status_code == 413
    assert double.get("payment_intents")["data"] == []
    with pytest.raises(FormError):
        read_form(b"a=1&a[b]=2")
    with pytest.raises(FormError):
        read_form(b"a" + b"[b]" * 20 + b"=1")


def test_lists_are_paged(double: Double) -> None:
    """Newest first, from a cursor on, by time and type (rule: contract)."""
    for number in range(5):
        double.post("customers", name=str(number), email=f"{number}@example.com")
        double.session()
    assert [each["name"] for each in double.get("customers", limit=2)["data"]] == ["4", "3"]
    first = double.get("customers", limit=2)
    rest = double.get("customers", limit=2, starting_after=first["data"][-1]["id"])
    assert ([each["name"] for each in rest["data"]], rest["has_more"]) == (["2", "1"], True)
    assert double.get("customers", **{"created[gte]": 2**40})["data"] == []
    assert "error" in double.get("customers", limit=1_000)


def test_webhooks_are_signed_and_sent_again() -> None:
    """The SDK believes them; what is not taken comes again, under the same id (rule: wire)."""
    inbox = Inbox()
    inbox.status = 500
    with double_of(inbox.url) as double:
        double.pay(double.session()["url"])
        eventually(lambda: len(inbox.requests) > 4)
        inbox.status = 200
        eventually(lambda: double.server.shelf.waiting() == 0)
        events = [genuine(each) for each in inbox.requests]
    assert len({each.id for each in events}) == 4 < len(events)
    inbox.close()


def test_webhooks_misbehave_as_told() -> None:
    """Twice, under other ids, late, in any order (rule: wire)."""
    inbox = Inbox()
    with double_of(inbox.url) as double:
        odd = double.webhooks.misbehaviour
        odd.copies, odd.other_ids, odd.delay_s = 2, True, 0.2
        odd.paused, odd.shuffle = True, random.Random(5)
        double.pay(double.session()["url"])
        assert double.server.shelf.waiting() == 8
        odd.paused = False
        eventually(lambda: len(inbox.requests) == 8)
    assert len({genuine(each).id for each in inbox.requests}) == 8
    assert inbox.types() != sorted(inbox.types(), key=inbox.types().index)
    inbox.close()


def test_it_knows_everything_after_a_restart(tmp_path: Path) -> None:
    """Objects, keys and webhooks that were not taken (P2)."""
    inbox, place = Inbox(), tmp_path / "double.sqlite"
    with double_of(inbox.url, place) as double:
        double.webhooks.misbehaviour.paused = True
        session = double.session(key="k")
        double.pay(session["url"])
    with double_of(inbox.url, place) as double:
        eventually(lambda: "checkout.session.completed" in inbox.types())
        now = double.get(f"checkout/sessions/{session['id']}")
        assert now["payment_status"] == "paid"
    inbox.close()


def test_sessions_expire(double: Double) -> None:
    """At their time, and on demand; nobody can pay any more (money rule 18)."""
    session, other = double.session(), double.session()
    double.post(f"checkout/sessions/{other['id']}/expire")
    assert double.pay(other["url"]).status_code == 400
    now = double.webhooks.now
    double.webhooks.now = lambda: now() + 90_000
    assert double.pay(session["url"]).status_code == 400
    assert double.get(f"checkout/sessions/{session['id']}")["status"] == "expired"


def test_the_sdk_reads_every_answer(double: Double) -> None:
    """Sessions, intents, lists, errors; a lost answer is had by trying again (P3)."""

    async def ask() -> None:
        http = BoundedHttp(5)
        client = stripe.StripeClient(
            API_KEY,
            base_addresses={"api": double.url},
            http_client=http,
            max_network_retries=0,
        )
        params: Any = {"amount": 900, "currency": "usd", "metadata": {"a": "1"}}
        double.server.outage = Outage.LOST
        with pytest.raises(stripe.APIConnectionError):
            await client.v1.payment_intents.create_async(params, {"idempotency_key": "x"})
        double.server.outage = Outage.NONE
        made = await client.v1.payment_intents.create_async(params, {"idempotency_key": "x"})
        assert (made.amount, made.status) == (900, "requires_payment_method")
        listed = await client.v1.payment_intents.list_async({"limit": 10})
        assert [each.id for each in listed.data] == [made.id]
        with pytest.raises(stripe.CardError) as declined:
            await client.v1.payment_intents.confirm_async(
                made.id, {"payment_method": "pm_card_chargeDeclinedInsufficientFunds"}
            )
        assert declined.value.code == "card_declined"
        for outage in (Outage.REFUSED, Outage.SILENT):
            double.server.outage = outage
            with pytest.raises(stripe.StripeError):
                await client.v1.events.list_async()
        await http.close_async()

    asyncio.run(ask())
