"""The double's billing: by the calendar, held against Stripe's own document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from providers.stripe_double.billing.calendar import months_after
from tests.doubles.stripe import CARD, DECLINED, SECURE, Double, check
from tests.doubles.stripe import stripe_double as double_of

if TYPE_CHECKING:
    from collections.abc import Iterator

ALWAYS_ASKED, FAILS_LATER = "4000002760003184", "4000000000000341"


def at(text: str) -> int:
    """A second of Unix time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.fixture
def double() -> Iterator[Double]:
    """One that tells nobody, on the last day of January."""
    with double_of() as made:
        made.server.advance_to(at("2027-01-31T12:00:00"))
        yield made


def open_session(double: Double, mode: str = "subscription", price: str = "price_pro") -> Any:
    """A checkout session of a new customer."""
    customer = double.post("customers", email="a@example.com").json()["id"]
    line = {"line_items[0][price]": price, "line_items[0][quantity]": "1"}
    made = double.post(
        "checkout/sessions",
        mode=mode,
        customer=customer,
        success_url="https://example.com/paid",
        **(line if mode == "subscription" else {"currency": "usd"}),
    )
    assert made.status_code == 200, made.text
    return made.json()


def subscribed(double: Double, card: str = CARD) -> Any:
    """A subscription that is paid."""
    session = open_session(double)
    double.pay(session["url"], card)
    if card in {SECURE, ALWAYS_ASKED}:
        double.authenticate(session["url"])
    done = double.get(f"checkout/sessions/{session['id']}")
    assert done["status"] == "complete"
    return double.get(f"subscriptions/{done['subscription']}")


def kinds(double: Double) -> list[str]:
    """The types of all events, the oldest first."""
    told = double.get("events", limit=100)["data"]
    for each in told:
        check(each)
    return [each["type"] for each in reversed(told)]


def period(subscription: Any) -> tuple[int, int]:
    """The period it is in."""
    item = subscription["items"]["data"][0]
    return item["current_period_start"], item["current_period_end"]


@pytest.mark.parametrize(
    ("begun", "follow"),
    [
        ("2027-01-31", ["2027-02-28", "2027-03-31", "2027-04-30"]),
        ("2028-01-31", ["2028-02-29", "2028-03-31", "2028-04-30"]),
        ("2028-02-29", ["2028-03-29", "2028-04-29", "2028-05-29"]),
        ("2027-11-30", ["2027-12-30", "2028-01-30", "2028-02-29"]),
    ],
)
def test_months_are_counted_from_the_anchor(begun: str, follow: list[str]) -> None:
    """A short month shortens its own day alone (rule: contract)."""
    assert [months_after(at(begun), n) for n in (1, 2, 3)] == [at(each) for each in follow]


def test_a_subscription_is_paid_and_renewed(double: Double) -> None:
    """From 31 January to 28 February, to 31 March; each with its invoice (rule: contract)."""
    made = subscribed(double)
    assert period(made) == (at("2027-01-31T12:00:00"), at("2027-02-28T12:00:00"))
    assert made["status"] == "active"
    double.server.advance_to(at("2027-03-01"))
    renewed = double.get(f"subscriptions/{made['id']}")
    assert period(renewed) == (at("2027-02-28T12:00:00"), at("2027-03-31T12:00:00"))
    invoices = double.get("invoices", customer=made["customer"])["data"]
    assert [each["billing_reason"] for each in invoices] == [
        "subscription_cycle",
        "subscription_create",
    ]
    for each in invoices:
        check(each)
        assert (each["status"], each["amount_paid"]) == ("paid", 1_500)
        check(each["lines"]["data"][0])
    assert kinds(double)[-4:] == [
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice.paid",
        "customer.subscription.updated",
    ]


def test_a_card_that_fails_later_ends_it(double: Double) -> None:
    """Three tries, then it is cancelled; one that is asked each time cannot renew (rule: wire)."""
    made = subscribed(double, ALWAYS_ASKED)
    double.server.advance_to(at("2027-02-28T13:00:00"))
    assert double.get(f"subscriptions/{made['id']}")["status"] == "past_due"
    double.server.advance_to(at("2027-03-05"))
    assert double.get(f"subscriptions/{made['id']}")["status"] == "canceled"
    told = kinds(double)
    assert told.count("invoice.payment_failed") == 3
    assert told.count("customer.subscription.deleted") == 1
    renews = subscribed(double, SECURE)
    double.server.advance_to(at("2027-04-06"))
    assert double.get(f"subscriptions/{renews['id']}")["status"] == "active"


def test_a_declined_card_begins_nothing(double: Double) -> None:
    """The page stays open, and takes another one (rule: wire)."""
    session = open_session(double)
    for card in (DECLINED, FAILS_LATER):
        assert double.pay(session["url"], card).status_code == 402
    assert double.pay(session["url"], "1").json()["error"]["code"] == "incorrect_number"
    assert b"15.00 USD" in httpx.get(session["url"]).content
    assert double.get("subscriptions")["data"] == []
    assert double.pay(session["url"], SECURE).json()["status"] == "requires_action"
    assert double.authenticate(session["url"], approve=False).status_code == 402
    assert double.pay(session["url"]).json()["status"] == "complete"


def test_a_change_is_prorated_exactly(double: Double) -> None:
    """Half of a period on: half of each price; without proration nothing is taken (P4)."""
    made = subscribed(double)
    begins, ends = period(made)
    double.server.advance_to((begins + ends) // 2)
    item = made["items"]["data"][0]["id"]
    asked = {"items[0][id]": item, "items[0][price]": "price_max"}
    changed = double.post(
        f"subscriptions/{made['id']}", proration_behavior="always_invoice", **asked
    )
    assert changed.json()["items"]["data"][0]["price"]["id"] == "price_max"
    invoice = double.get(f"invoices/{changed.json()['latest_invoice']}")
    assert [each["amount"] for each in invoice["lines"]["data"]] == [-750, 6_000]
    assert invoice["amount_paid"] == 5_250
    back = {**asked, "items[0][price]": "price_pro"}
    double.post(f"subscriptions/{made['id']}", proration_behavior="none", **back)
    assert len(double.get("invoices")["data"]) == 2
    for hostile in ({"items[0][id]": "si_x"}, {"items[0][price]": "price_x"}):
        got = double.post(f"subscriptions/{made['id']}", **{**asked, **hostile})
        assert got.status_code in {400, 404}


def test_it_ends_at_once_or_with_its_period(double: Double) -> None:
    """By the API, and by the portal's page (rule: contract)."""
    made = subscribed(double)
    portal = double.post(
        "billing_portal/sessions", customer=made["customer"], return_url="https://example.com"
    ).json()
    assert made["id"].encode() in httpx.get(portal["url"]).content
    assert b"ends with its period" in httpx.post(f"{portal['url']}/cancel").content
    assert httpx.get(f"{double.url}/p/session/bps_x").status_code == 404
    assert double.get(f"subscriptions/{made['id']}")["cancel_at_period_end"] is True
    double.server.advance_to(at("2027-02-28T13:00:00"))
    assert double.get(f"subscriptions/{made['id']}")["status"] == "canceled"
    other = subscribed(double)
    gone = double.client.delete(f"/v1/subscriptions/{other['id']}")
    check(gone.json())
    assert gone.json()["status"] == "canceled"
    assert double.client.delete(f"/v1/subscriptions/{other['id']}").status_code == 400


def test_a_saved_card_is_charged_while_its_owner_is_away(double: Double) -> None:
    """It works, is declined, or wants its owner (rule: wire)."""
    for card, status, code in (
        (CARD, 200, None),
        (FAILS_LATER, 402, "card_declined"),
        (ALWAYS_ASKED, 402, "authentication_required"),
    ):
        session = open_session(double, "setup")
        double.pay(session["url"], card)
        if card == ALWAYS_ASKED:
            double.authenticate(session["url"])
        done = double.get(f"checkout/sessions/{session['id']}")
        intent = double.get(f"setup_intents/{done['setup_intent']}")
        double.get(f"payment_methods/{intent['payment_method']}")
        paid = double.post(
            "payment_intents",
            amount="500",
            currency="usd",
            customer=session["customer"],
            payment_method=intent["payment_method"],
            off_session="true",
            confirm="true",
        )
        assert paid.status_code == status, paid.text
        assert code is None or paid.json()["error"]["code"] == code
    assert {each["id"] for each in double.get("products")["data"]} == {"prod_pro", "prod_max"}
    for each in double.get("prices")["data"]:
        check(each)
