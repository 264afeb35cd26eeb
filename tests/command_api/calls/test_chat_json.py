"""JSON calls: what reaches the provider, what comes back, and what is charged."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest

from command_api.money.debits import Debit, Debits
from domain.events.ledger import HoldSettled
from domain.ledger.lots import DebitKind
from event_store.log.reading import read_after
from tests.support.harness import ASK, USD, completion, eventually, reply

if TYPE_CHECKING:
    import socket

    from tests.support.harness import Request, RunningGateway, ScriptedUpstream


def test_the_hold_precedes_the_provider_and_the_settlement_the_reply(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """While the provider works there is a durable hold, with the reply a charge (P2)."""
    seen: list[int] = []

    def answer(connection: socket.socket, _: Request) -> None:
        seen.append(gateway.open_holds())
        reply(connection, completion())

    upstream.answer = answer
    user = gateway.user()
    got = gateway.chat(user, {})
    assert got.status_code == 200
    assert seen == [1]
    assert gateway.open_holds() == 0
    story = gateway.story(user, got)
    assert story["status"] == "settled"
    # 10 × 150 + 5 × 600 nano-USD.
    assert story["settled_nano_usd"] == 4_500
    assert story["usage"]["source"] == "provider"
    assert [event["type"] for event in story["events"]] == [
        "ledger.hold_placed.v1",
        "ledger.hold_settled.v1",
    ]
    gateway.verified()


def test_the_body_reaches_the_provider_unchanged_but_for_the_model(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """All the caller sends, numbers and unknown members included (money rule 2, rule: contract)."""
    raw = (
        b'{"model":"local/org/long/name", "messages":[{"role":"user","content":"\\u00e9"}],'
        b'"temperature":1.0,"top_p":0.10,"seed":123456789012345678901234567890,"logprobs":true,'
        b'"response_format":{"type":"json_object"},"tools":[{"type":"function","function":'
        b'{"name":"f","parameters":{}}}],"made_up":{"b":1,"a":[1e5]}}'
    )
    user = gateway.user()
    with gateway.client(user) as client:
        got = client.post(
            "/v1/chat/completions", content=raw, headers={"content-type": "application/json"}
        )
    assert got.status_code == 200
    sent = upstream.requests[0]
    expected = raw.replace(b"local/org/long/name", b"org/long/name").replace(b'", "m', b'","m')
    assert sent.raw == expected
    assert sent.path == "/v1/chat/completions"
    assert sent.headers["authorization"] == "Bearer sk-up"


def test_replies_carry_their_ids(gateway: RunningGateway) -> None:
    """x-request-id is the caller's where sane; call id and provider are named (rule: contract)."""
    user = gateway.user()
    got = gateway.chat(user, {}, **{"x-request-id": "mine-1"})
    assert got.headers["x-request-id"] == "mine-1"
    assert got.headers["x-gatewayz-provider"] == "local"
    story = gateway.story(user, got)
    again = gateway.story(user, gateway.chat(user, {}, **{"x-request-id": "mine-1"}))
    assert story["correlation_id"] == again["correlation_id"]
    assert re.fullmatch(r"request-[0-9a-f]{32}", story["correlation_id"])
    other = gateway.user()
    others = gateway.story(other, gateway.chat(other, {}, **{"x-request-id": "mine-1"}))
    assert others["correlation_id"] != story["correlation_id"]
    plain = gateway.story(user, gateway.chat(user, {}))
    assert plain["correlation_id"] == plain["id"]
    refused = gateway.chat(user, {"model": "nope"})
    assert refused.status_code == 404
    assert refused.headers["x-gatewayz-call-id"]


def test_white_space_before_the_reply_is_legal(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Line breaks keep some connections alive; the reply passes, with the model's full id and its
    exact cost (rule: wire, rule: contract).
    """
    body = b"\n\n  \n" + completion(made_up={"b": 1.50, "a": [1e5]})
    upstream.answer = lambda connection, _: reply(connection, body)
    got = gateway.chat(gateway.user(), {})
    assert got.status_code == 200
    sent, told = json.loads(body, parse_float=str), json.loads(got.content, parse_float=str)
    assert told.pop("model") == "local/m"
    assert told["usage"].pop("cost") == "0.0000045"
    assert told == {name: value for name, value in sent.items() if name != "model"}


def test_without_usage_the_call_is_settled_by_our_own_count(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Marked estimated, prompt and output at least one token each (money rule 6)."""
    body = json.loads(completion("eight characters, four tokens"))
    del body["usage"]
    upstream.answer = lambda connection, _: reply(connection, json.dumps(body).encode())
    user = gateway.user()
    story = gateway.story(user, gateway.chat(user, {}))
    assert story["status"] == "settled"
    assert story["usage"]["source"] == "estimated"
    assert story["usage"]["output_tokens"] == 8
    assert story["usage"]["input_tokens"] >= 1


def test_too_little_credit_says_what_was_needed_and_what_could_be_had(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """402 in OpenAI's envelope, nothing held, no provider called (P1, rule: refuse clearly)."""
    user = gateway.user(grant=1_000_000)
    got = gateway.chat(user, {"max_tokens": 10_000})
    assert got.status_code == 402
    error = got.json()["error"]
    assert error["code"] == "insufficient_credits"
    assert error["available_nano_usd"] == 1_000_000
    assert error["needed_nano_usd"] > 1_000_000
    assert upstream.requests == []
    assert gateway.open_holds() == 0
    affordable = error["max_tokens_affordable"]
    assert gateway.chat(user, {"max_tokens": affordable}).status_code == 200
    gateway.verified()
    with gateway.client(user) as client:
        refused = got.headers["x-gatewayz-call-id"]
        assert client.get(f"/v1/calls/{refused}").status_code == 404


def test_who_owes_is_told_what(gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    """402 with the debt, until what comes has paid it (money rule 15, rule: refuse clearly)."""
    user = gateway.user(grant=1_000_000)
    taken = Debit(
        account_id=UUID(user.account_id),
        debit_key="k",
        amount=3_000_000,
        kind=DebitKind.REFUND,
        reason="refunded",
    )
    asyncio.run(Debits(gateway.database, actor="test").take(taken))
    error = gateway.chat(user, {}).json()["error"]
    assert (error["code"], error["owed_nano_usd"]) == ("insufficient_credits", 2_000_000)
    assert "This account owes 0.002000000 USD" in error["message"]
    assert upstream.requests == []
    with gateway.client(user) as client:
        balance = client.get("/user/balance").json()
        assert (balance["owed_usd"], balance["debited_usd"]) == ("0.002000000", "0.003000000")
        lines = client.get("/user/credit-transactions").json()["transactions"]
    assert lines[0]["description"] == "refunded (0.002000000 USD of it owed)"
    gateway.verified()


def test_a_cost_above_the_hold_is_taken_from_what_is_available(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """As reasoning beyond the maximum is: then house loss, never below zero (P1, money rule 3)."""
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 70,
        "total_tokens": 80,
        "completion_tokens_details": {"reasoning_tokens": 60},
    }
    upstream.answer = lambda connection, _: reply(connection, completion(usage=usage))
    user = gateway.user(grant=20_000)
    story = gateway.story(user, gateway.chat(user, {"max_tokens": 10}))
    assert story["held_nano_usd"] < story["settled_nano_usd"] == 20_000
    assert story["house_loss_nano_usd"] == 10 * 150 + 70 * 600 - 20_000
    assert gateway.balance(user)["available_nano_usd"] == 0
    gateway.verified()


def test_a_cost_that_no_call_can_have_leaves_no_hold(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """However absurd the provider's report, the call ends and the next is served (P2, P4)."""
    user = gateway.user()
    for tokens in (10**15, 10**18, 2**64 - 1):
        usage = {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": tokens}
        upstream.answer = lambda connection, _, usage=usage: reply(
            connection, completion(usage=usage)
        )
        story = gateway.story(user, gateway.chat(user, {"max_tokens": 10}))
        assert story["status"] in {"settled", "voided"}
        assert gateway.open_holds() == 0
    gateway.verified()


def test_a_free_model_leaves_two_events(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """A hold and a settlement of 0, even for an empty account (money rule 7)."""
    user = gateway.user(grant=0)
    story = gateway.story(user, gateway.chat(user, {"model": "local/free"}))
    assert story["status"] == "settled"
    assert story["held_nano_usd"] == story["settled_nano_usd"] == 0
    assert len(story["events"]) == 2
    gateway.verified()


def test_cached_tokens_are_priced_as_such(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """The arithmetic is shown term by term, and adds up to the charge (P4, money rule 1)."""
    usage = {
        "prompt_tokens": 1_001,
        "completion_tokens": 7,
        "total_tokens": 1_008,
        "prompt_tokens_details": {"cached_tokens": 1_000},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    upstream.answer = lambda connection, _: reply(connection, completion(usage=usage))
    user = gateway.user()
    story = gateway.story(user, gateway.chat(user, {}))
    assert story["settled_nano_usd"] == 150 + 1_000 * 75 + 7 * 600
    terms = {term["term"]: term["tokens"] for term in story["arithmetic"]["terms"]}
    assert terms == {"input": 1, "cached_input": 1_000, "output": 4, "reasoning": 3}


FAILURES = [
    (400, b'{"error":{"message":"bad","type":"x"}}', {}, 400),
    (404, b'{"detail":"no such model"}', {}, 404),
    (413, b"too large", {}, 413),
    (422, b'{"detail":[{"loc":["a"],"msg":"wrong"}]}', {}, 422),
    (429, b'{"error":{"message":"slow down"}}', {"retry-after": "17"}, 429),
    (401, b'{"error":{"message":"your key"}}', {}, 502),
    (402, b'{"error":{"message":"pay"}}', {}, 502),
    (403, b'{"error":{"message":"no"}}', {}, 502),
    (500, b"<html>oops</html>", {}, 502),
    (503, b"", {}, 503),
    (504, b"", {}, 504),
    (418, b"{}", {}, 502),
    (200, b'{"error":{"message":"limit","code":429}}', {}, 429),
    (200, b'{"error":{"message":"odd"}}', {}, 502),
    (200, b'{"error":"plain"}', {}, 502),
    (200, b"", {}, 502),
    (200, b"not json", {}, 502),
    (200, b'{"choices":[]}', {}, 502),
    (200, b"[1]", {}, 502),
]


@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_before_output_is_void_and_normalised(
    gateway: RunningGateway, upstream: ScriptedUpstream, stream: bool
) -> None:
    """Nothing charged, status and envelope are honest, JSON and stream (money rule 4)."""
    user = gateway.user()
    for status, body, headers, expected in FAILURES:
        upstream.answer = lambda connection, _, s=status, b=body, h=headers: reply(
            connection, b, status=s, headers=h
        )
        got = gateway.chat(user, {"stream": stream})
        assert got.status_code == expected, (status, body, got.text)
        error = got.json()["error"]
        assert set(error) >= {"message", "type", "code", "param"}
        assert got.headers.get("retry-after") == headers.get("retry-after")
        story = gateway.story(user, got)
        assert story["status"] == "voided"
        assert story["settled_nano_usd"] == 0
        assert story["usage"] is None
        assert len(story["attempts"]) == 1
        assert story["attempts"][0]["error"]
    assert gateway.balance(user)["available_nano_usd"] == 10 * USD
    gateway.verified()


def test_a_reply_cut_short_is_a_failure(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """A sized body that ends early, and no connection at all, are voided (money rule 4)."""

    def cut(connection: socket.socket, _: Request) -> str:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + completion())
        return "close"

    upstream.answer = cut
    user = gateway.user()
    got = gateway.chat(user, {})
    assert got.status_code == 502
    assert gateway.story(user, got)["status"] == "voided"
    upstream.close()
    # The accepting thread may take one more connection before it sees the close.
    got = eventually(
        lambda: next((r for r in [gateway.chat(user, {})] if r.status_code == 503), None)
    )
    assert gateway.story(user, got)["attempts"][0]["error"] == "connect_error"
    gateway.verified()


def test_a_hang_up_does_not_stop_a_json_call(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """It runs to its end and settles exactly (money rule 5)."""
    began = threading.Event()

    def slow(connection: socket.socket, _: Request) -> None:
        began.set()
        time.sleep(0.6)
        reply(connection, completion())

    upstream.answer = slow
    user = gateway.user()
    with pytest.raises(httpx.ReadTimeout), gateway.client(user) as client:
        client.post("/v1/chat/completions", json=ASK, timeout=0.2)
    assert began.is_set()
    eventually(lambda: gateway.open_holds() == 0)
    report = gateway.verified()
    assert report.settled_nano_usd == 4_500


def test_a_model_list_is_openais_and_complete(gateway: RunningGateway) -> None:
    """GET /v1/models lists all; ids may hold slashes; unknown ones are 404 (rule: contract)."""
    with httpx.Client(base_url=gateway.url) as client:
        listed = client.get("/v1/models").json()
        assert listed["object"] == "list"
        ids = [model["id"] for model in listed["data"]]
        assert ids == [
            *("local/free", "local/m", "local/org/long/name"),
            *("simulator/echo", "simulator/embed", "simulator/listen", "simulator/moderate"),
            *("simulator/paint", "simulator/rank", "simulator/recite", "simulator/speak"),
            "simulator/talk",
        ]
        one: dict[str, Any] = client.get("/v1/models/local/org/long/name").json()
        assert one["object"] == "model"
        assert one["owned_by"] == "local"
        assert client.get("/v1/models/local/none").status_code == 404


@pytest.mark.parametrize(
    ("headers", "app"),
    [
        ({}, None),
        ({"HTTP-Referer": "https://chat.example.com/path?user=1"}, "https://chat.example.com"),
        ({"Referer": "http://me:pw@localhost:3000/"}, "http://localhost:3000"),
        ({"X-Title": "My app"}, "My app"),
        ({"HTTP-Referer": "not a url", "X-Title": "Named"}, "Named"),
        ({"HTTP-Referer": "https://[bad", "X-Title": "x" * 200}, "x" * 100),
    ],
)
def test_the_app_that_calls_is_named_on_the_charge(
    gateway: RunningGateway, headers: dict[str, str], app: str | None
) -> None:
    """The origin of the referer, else the title; never a path, a query or a password.

    The charge has a keyed hash of it, the name stands where it can be deleted (P5).
    """
    user = gateway.user()
    for _ in range(2):
        gateway.chat(user, {}, **headers)
    with gateway.database.connect() as connection:
        events = [each.event for each in read_after(connection, 0, 100)]
        apps = {each.app for each in events if isinstance(each, HoldSettled)}
        if app is None:
            assert apps == {""}
            return

        def kept() -> list[Any]:
            return connection.execute("SELECT app_id, name FROM app_name").fetchall()

        assert eventually(kept) == [(*apps, app)]
        written = b"".join(
            bytes(state) for (state,) in connection.execute("SELECT state FROM events")
        )
    for secret in (*headers.values(), app):
        assert secret.encode() not in written
