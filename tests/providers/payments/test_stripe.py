"""Stripe as the port has it, against the double over real HTTP; and answers that are wrong."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from domain.payments.fiat import Fiat
from domain.payments.payment import Status
from providers.payments.http import REPLY_BYTES_MAX
from providers.payments.port import (
    PAYMENT_KEY,
    NotThereError,
    OtherRequestError,
    PaymentRefusedError,
    PaymentsUnavailableError,
    Wish,
)
from providers.payments.stripe_api import Stripe
from providers.payments.told import (
    ASYNC_FAILED,
    EVENT,
    INTENT,
    SESSION,
    WATCHED,
    UnreadableEventError,
    observed,
    read_notice,
)
from providers.stripe_double.handler import Outage
from tests.doubles.stripe import API_KEY, CARD, DECLINED, Double, check, stripe_double
from tests.support.harness import ScriptedUpstream, reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

BACK: Any = {"success_url": "https://example.com/paid", "cancel_url": "https://example.com/cart"}
WISH = Wish("p-1", Fiat(1_000, "usd"), "10 credits", email="ann@example.com", **BACK)


@pytest.fixture
def double() -> Iterator[Double]:
    """One that tells nobody."""
    with stripe_double() as made:
        yield made


def ask(url: str, work: Callable[[Stripe], Awaitable[Any]], key: str = API_KEY) -> Any:
    """What Stripe gives."""

    async def run() -> Any:
        asked = Stripe(key, url, reply_s=2)
        try:
            return await work(asked)
        finally:
            await asked.close()

    return asyncio.run(run())


def test_a_session_is_opened_once(double: Double) -> None:
    """Asked again it is the same; our payment is named on session and intent (P3)."""
    wish = Wish("p-2", Fiat(700, "eur"), "credits", metadata={"a": "b", PAYMENT_KEY: "x"}, **BACK)
    first, again = (ask(double.url, lambda s: s.open_session(wish)) for _ in range(2))
    assert first == again
    assert (first.status, first.payment_status, first.amount_total) == ("open", "unpaid", 700)
    double.pay(first.url)
    now = ask(double.url, lambda s: s.session(first.id))
    assert (now.payment_status, now.url) == ("paid", None)
    intent = ask(double.url, lambda s: s.intent(now.intent_id))
    assert (intent.payment_id, intent.received, intent.currency) == ("p-2", 700, "eur")
    with pytest.raises(OtherRequestError):
        other = Wish("p-2", Fiat(701, "eur"), "credits", **BACK)
        ask(double.url, lambda s: s.open_session(other))


def test_a_lost_answer_is_had_by_asking_again(double: Double) -> None:
    """The SDK tries three times under one key: one session in the end (P3)."""
    double.server.outage = Outage.LOST
    with pytest.raises(PaymentsUnavailableError):
        ask(double.url, lambda s: s.open_session(WISH))
    double.server.outage = Outage.NONE
    made = ask(double.url, lambda s: s.open_session(WISH))
    assert [each["id"] for each in double.get("checkout/sessions")["data"]] == [made.id]


def test_intents(double: Double) -> None:
    """With the caller's kinds of payment, or all that there are (money rule 18)."""
    wish = Wish("p-3", Fiat(900, "usd"), "credits", "for tests", "a@example.com")
    made = ask(double.url, lambda s: s.open_intent(wish))
    assert made.client_secret.startswith(made.id)
    kinds = Wish("p-4", Fiat(900, "usd"), "credits", method_types=("card",))
    asked = ask(double.url, lambda s: s.open_intent(kinds))
    thing = ask(double.url, lambda s: s.thing(INTENT, asked.id))
    assert thing["metadata"] == {PAYMENT_KEY: "p-4"}
    page = ask(double.url, lambda s: s.listed(INTENT, 0, 2**31))
    assert [each["id"] for each in page.rows] == [asked.id, made.id]
    older = ask(double.url, lambda s: s.listed(INTENT, 0, 2**31, asked.id))
    assert ([each["id"] for each in older.rows], older.more) == ([made.id], False)
    events = ask(double.url, lambda s: s.listed(EVENT, 0, 2**31, types=WATCHED))
    assert events.rows == []  # That one was made concerns no payment.


def test_refusals_are_told_apart(double: Double) -> None:
    """What is wrong, what is not there, and what is away; never our key (rule: refuse clearly)."""
    with pytest.raises(NotThereError):
        ask(double.url, lambda s: s.session("cs_none"))
    with pytest.raises(NotThereError):
        ask(double.url, lambda s: s.thing("invoice", "in_1"))
    with pytest.raises(PaymentRefusedError, match="at least"):
        small = Wish("p-5", Fiat(1, "usd"), "credits", **BACK)
        ask(double.url, lambda s: s.open_session(small))
    with pytest.raises(PaymentsUnavailableError) as wrong:
        ask(double.url, lambda s: s.session("cs_none"), "sk_wrong_key")
    assert "sk_wrong_key" not in str(wrong.value)
    for outage in (Outage.REFUSED, Outage.SILENT):
        double.server.outage = outage
        with pytest.raises(PaymentsUnavailableError):
            ask(double.url, lambda s: s.session("cs_none"))


ODD = [b"", b"[]", b"<html>", b"{", b'{"a": 1}', b"x" * (REPLY_BYTES_MAX + 1)]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_odd_answers_are_an_outage(body: bytes) -> None:
    """No JSON, another object, endless (rule: bounded, rule: wire)."""
    upstream = ScriptedUpstream(lambda connection, _: reply(connection, body))
    try:
        with pytest.raises(PaymentsUnavailableError):
            ask(upstream.base_url.removesuffix("/v1"), lambda s: s.session("cs_1"))
    finally:
        upstream.close()


def test_what_stripe_tells_is_read(double: Double) -> None:
    """Every event of a purchase with a decline, as it comes (money rule 18)."""
    session = ask(double.url, lambda s: s.open_session(WISH))
    double.pay(session.url, DECLINED)
    double.pay(session.url, CARD)
    seen = []
    for event in reversed(double.get("events")["data"]):
        notice = read_notice(json.dumps(event).encode())
        assert notice.thing is not None
        found = observed(notice.thing, notice.happened_at, notice.type)
        if found is not None:
            seen.append((found.status, found.failure, found.paid))
    assert seen == [
        (Status.REQUIRES_PAYMENT_METHOD, "card_declined", None),
        (Status.COMPLETED, "", Fiat(1_000, "usd")),
        (Status.COMPLETED, "", Fiat(1_000, "usd")),
    ]


def test_thin_and_odd_events() -> None:
    """A thin one names what to ask for; what is none is refused (rule: wire)."""
    thin = {
        "id": "evt_1",
        "object": "v2.core.event",
        "type": "v1.payment_intent.succeeded",
        "created": "2027-01-01T00:00:10Z",
        "related_object": {"id": "pi_1", "type": "payment_intent", "url": "/v1/…"},
    }
    notice = read_notice(json.dumps(thin).encode())
    assert (notice.kind, notice.name, notice.thing) == (INTENT, "pi_1", None)
    assert notice.happened_at == 1_798_761_610
    for created in ("soon", -5, 1.5, None, 10**12, True):
        assert read_notice(json.dumps({**thin, "created": created}).encode()).happened_at == 0
    bare = {"id": "evt_2", "object": "event", "type": "x", "data": {"object": {"id": "pi_1"}}}
    assert read_notice(json.dumps(bare).encode()).thing is None
    odd: Any
    for odd in ({}, {"id": 5}, {**bare, "object": "charge"}, {**bare, "id": "x" * 300}, []):
        with pytest.raises(UnreadableEventError):
            read_notice(json.dumps(odd).encode())
    for raw in (b"", b"\xff", b"[" * 100_000, b"null"):
        with pytest.raises(UnreadableEventError):
            read_notice(raw)


SESSIONS = [
    ({"status": "complete", "payment_status": "unpaid"}, "", Status.PROCESSING),
    ({"status": "complete", "payment_status": "unpaid"}, ASYNC_FAILED, Status.FAILED),
    ({"status": "expired", "payment_status": "unpaid"}, "", Status.CANCELED),
    ({"status": "open", "payment_status": "unpaid"}, "", None),
    ({"status": "complete", "payment_status": "paid", "amount_total": True}, "", Status.COMPLETED),
]


@pytest.mark.parametrize(("thing", "told", "status"), SESSIONS)
def test_sessions_say_where_a_payment_is(
    thing: dict[str, Any], told: str, status: Status | None
) -> None:
    """By their two statuses; an amount that is none is none (money rule 18)."""
    found = observed({"object": SESSION, **thing}, 1, told)
    assert (found and found.status) == status
    assert found is None or found.paid is None


@pytest.mark.parametrize("status", ["processing", "requires_action", "canceled", "odd", 5, None])
def test_intents_say_where_a_payment_is(status: Any) -> None:
    """By their status, where it counts (money rule 18)."""
    found = observed({"object": INTENT, "status": status, "id": 7}, 1)
    assert (found.status if found else None) == (status if status in list(Status) else None)
    assert observed({"object": "charge", "status": status}, 1) is None


def test_the_double_fits_the_document(double: Double) -> None:
    """What the adapter asked for is what Stripe's document has (rule: contract)."""
    session = ask(double.url, lambda s: s.thing(SESSION, s_id(double)))
    check(session)


def s_id(double: Double) -> str:
    """The id of a new session."""
    return str(double.session()["id"])
