"""Messages that no honest caller sends, and dishonest upstreams: bounded, refused, or charged."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.command_api.calls.messages import (
    CLOSE,
    END,
    OPEN,
    PING,
    START,
    STOP,
    ask,
    asked_last,
    call,
    delta,
    event,
    events_of,
    message,
    plays,
    says,
    serving,
    stream_of,
)
from tests.support.harness import USD, begin_stream, eventually, reply, send_piece

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway

TEXT = {"type": "text", "text": "x"}


@pytest.fixture(scope="module")
def served(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with Anthropic, played by each test."""
    with serving(server, tmp_path_factory, body_bytes_max=48 * 2**20) as made:
        yield made
        assert made.open_holds() == 0


def said(*content: Any, role: str = "user") -> dict[str, Any]:
    """A body of one message."""
    return ask(messages=[{"role": role, "content": list(content)}])


def as_sent(body: Any) -> bytes:
    """A body's bytes."""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def without(name: str) -> dict[str, Any]:
    """A body that lacks a member."""
    return {each: value for each, value in ask().items() if each != name}


REFUSED: list[tuple[Any, str, str]] = [
    (ask(messages=[]), "empty_messages", "messages"),
    (ask(messages=[{"role": "tool", "content": "x"}]), "invalid_type", "messages[0].role"),
    (ask(messages=[{"role": "user"}]), "missing_required_parameter", "messages[0].content"),
    (ask(messages=[{"role": "user", "content": 7}]), "invalid_type", "messages[0].content"),
    (ask(messages=[{"role": "user", "content": "x"}] * 4_097), "too_many_messages", "messages"),
    (said(*[TEXT] * 100_001), "too_many_blocks", "messages"),
    (without("max_tokens"), "missing_required_parameter", "max_tokens"),
    (without("model"), "missing_required_parameter", "model"),
    (ask(max_tokens=0), "invalid_value", "max_tokens"),
    (ask(max_tokens=-5), "invalid_value", "max_tokens"),
    (ask(max_tokens=10**18), "invalid_value", "max_tokens"),
    (ask(max_tokens=1.5), "invalid_type", "max_tokens"),
    (ask(max_tokens="9"), "invalid_type", "max_tokens"),
    (ask(model=""), "missing_model", "model"),
    (ask(model="m" * 300), "invalid_value", "model"),
    (ask(system=7), "invalid_type", "system"),
    (ask(stop_sequences=["x"] * 9_000), "invalid_value", "stop_sequences"),
    (ask(messages=[{"role": "user", "content": "\0"}]), "invalid_text", ""),
    (b"{", "invalid_json", ""),
    (b"[]", "invalid_type", ""),
    (json.dumps(ask()).encode()[:-1] + b',"metadata":' + b"[" * 200_000, "invalid_json", ""),
    (b'{"model":"\xff"}', "invalid_json", ""),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_cannot_be_used_is_refused(served: RunningGateway, number: int) -> None:
    """With a 400 that names what is wrong, and nothing is sent (P10, rule: refuse clearly)."""
    body, code, param = REFUSED[number]
    got = call(served, served.user(), body)
    told = got.json()
    assert (got.status_code, told["type"], told["error"]["type"]) == (
        400,
        "error",
        "invalid_request_error",
    )
    assert (told["error"]["code"], told["error"].get("param") or "") == (code, param)
    assert not [each for each in served.upstream.requests if each.raw == as_sent(body)]


def test_a_million_blocks_are_refused_soon(served: RunningGateway) -> None:
    """Before they are looked at one by one (rule: bounded)."""
    blocks = b",".join([b'{"type":"text","text":"x"}'] * 1_000_000)
    raw = b'{"model":"anthropic/claude-test","max_tokens":9,"messages":[{"role":"user","content":['
    began = time.monotonic()
    got = call(served, served.user(), raw + blocks + b"]}]}")
    assert (got.status_code, got.json()["error"]["code"]) == (400, "too_many_blocks")
    assert time.monotonic() - began < 10


def test_unknown_blocks_and_wrong_signatures_are_anthropics_to_judge(
    served: RunningGateway,
) -> None:
    """They go on as they are, measured by their bytes (rule: wire, money rule 2)."""
    served.upstream.answer = says(message())
    user = served.user()
    plain = served.story(user, call(served, user, said(TEXT)))
    novel = {"type": "hologram", "text": 7, "scene": "y" * 4_000}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "not one of theirs"}
    hidden = {"type": "redacted_thinking", "data": "AAAA"}
    turns = [
        {"role": "user", "content": [novel]},
        {"role": "assistant", "content": [thought, hidden, TEXT]},
        {"role": "user", "content": "And?"},
    ]
    got = call(served, user, ask(messages=turns))
    assert got.status_code == 200
    assert asked_last(served).body["messages"] == turns
    held = served.story(user, got)["held_nano_usd"]
    assert held >= plain["held_nano_usd"] + 2_000 * 3_750


def test_a_picture_is_not_counted_as_text(served: RunningGateway) -> None:
    """Nor a PDF; each has its maximum (money rule 2)."""
    served.upstream.answer = says(message())
    user = served.user()
    data = "A" * 4_000_000
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": data},
    }
    pdf = {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": data},
    }
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image, TEXT]}
    costs = []
    for block in (TEXT, image, result, pdf):
        got = call(served, user, said(block))
        assert got.status_code == 200
        costs.append(served.story(user, got)["held_nano_usd"])
    assert costs[0] < costs[1] <= costs[2] < costs[3]
    assert costs[1] - costs[0] <= 4_784 * 3_750
    assert costs[3] - costs[0] <= 200_000 * 3_750


USAGES: list[Any] = [
    {"input_tokens": -1, "output_tokens": 5},
    {"input_tokens": 10, "output_tokens": 10**12},
    {"input_tokens": 10**15, "output_tokens": 5},
    {"input_tokens": "many", "output_tokens": 5},
    {"input_tokens": 0, "output_tokens": 0},
    [1, 2],
    "none",
]


@pytest.mark.parametrize("usage", USAGES)
@pytest.mark.parametrize("stream", [False, True])
def test_a_report_that_cannot_be_is_replaced(
    served: RunningGateway, usage: Any, stream: bool
) -> None:
    """By our own count, marked; the bytes stay Anthropic's (money rule 6)."""
    last = event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage)
    begin = event("message_start", message={"id": "m", "usage": None})
    pieces = [begin, OPEN, delta("Hello you"), CLOSE, last, STOP]
    served.upstream.answer = plays(*pieces) if stream else says(message(usage=usage))
    user = served.user()
    got = call(served, user, ask(stream=stream))
    assert got.content == (b"".join(pieces) if stream else message(usage=usage))
    story = served.story(user, got)
    assert (story["status"], story["usage"]["source"]) == ("settled", "estimated")
    assert 0 < story["usage"]["output_tokens"] < 10
    assert story["settled_nano_usd"] < USD / 1_000


BROKEN: list[list[bytes]] = [
    [START, OPEN, delta("one two three")],
    [START, OPEN, delta("one two three"), b'event: content_block_delta\ndata: {"type":"conte'],
    [START, OPEN, delta("one two three"), b"event: x\ndata: {nothing}\n\n"],
    [START, OPEN, delta("one two three"), b"event: x\ndata: [1]\n\n"],
    [START, OPEN, delta("one two three"), event("error", error={"type": "overloaded_error"})],
    [START, OPEN, delta("one two three"), CLOSE, END],
]


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_a_stream_that_breaks_ends_with_an_error_event(served: RunningGateway, number: int) -> None:
    """After what came, which is charged; and there is no end that looks like one
    (money rule 4, rule: contract).
    """
    pieces = BROKEN[number]
    served.upstream.answer = plays(*pieces)
    user = served.user()
    got = call(served, user, ask(stream=True))
    told = events_of(got.content)
    assert got.content.startswith(b"".join(pieces[:3]))
    assert told[-1]["type"] == "error"
    kind = "overloaded_error" if number == 4 else "api_error"
    assert told[-1]["error"]["type"] == kind
    assert told[-1]["request_id"] == got.headers["request-id"]
    assert "message_stop" not in {each["type"] for each in told}
    story = served.story(user, got)
    assert story["status"] == "settled"
    source = "provider" if number == 5 else "estimated"
    assert (story["usage"]["source"], story["usage"]["output_tokens"] > 2) == (source, True)


NOTHING: list[tuple[bytes, str]] = [
    (b"", "text/event-stream"),
    (b"<html>", "text/html"),
    (START + event("error", error={"type": "api_error", "message": "No"}), "text/event-stream"),
    (START + OPEN, "text/event-stream"),
    (PING * 40_000, "text/event-stream"),
    (b"data: " + b"x" * 17_000_000, "text/event-stream"),
    (message(), "application/json"),
    (b'{"type":"error","error":{"type":"api_error","message":"No"}}', "application/json"),
]


@pytest.mark.parametrize("number", range(len(NOTHING)))
def test_a_stream_without_output_is_an_honest_status(served: RunningGateway, number: int) -> None:
    """And free (money rule 4, rule: bounded)."""
    body, kind = NOTHING[number]

    def answer(connection: socket.socket, request: Request) -> str:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
            return ""
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)
        return "close"

    served.upstream.answer = answer
    user = served.user()
    got = call(served, user, ask(stream=True))
    assert got.status_code == 502
    assert got.json()["error"]["type"] == "api_error"
    assert served.story(user, got)["status"] == "voided"


WHOLE: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b'{"type":"message","content":"text"}',
    b'{"type":"message"}',
    b'{"type":"error","error":{"type":"api_error","message":"No"}}',
    b"[" * 100_000,
    b'{"content":[],"id":"\xff"}',
]


@pytest.mark.parametrize("raw", WHOLE)
def test_a_body_that_is_no_message_is_none(served: RunningGateway, raw: bytes) -> None:
    """502 and free (money rule 4)."""
    served.upstream.answer = says(raw)
    user = served.user()
    got = call(served, user, ask())
    assert (got.status_code, got.json()["error"]["type"]) == (502, "api_error")
    assert served.story(user, got)["status"] == "voided"


def test_an_answer_without_blocks_is_one(served: RunningGateway) -> None:
    """Anthropic may have nothing to say (rule: wire)."""
    usage = {"input_tokens": 10, "output_tokens": 2}
    served.upstream.answer = says(message(content=[], usage=usage))
    user = served.user()
    got = call(served, user, ask())
    assert got.status_code == 200
    assert served.story(user, got)["usage"]["output_tokens"] == 2
    pieces = [START, END, STOP]
    served.upstream.answer = plays(*pieces)
    streamed = call(served, user, ask(stream=True))
    assert streamed.content == b"".join(pieces)
    assert served.story(user, streamed)["status"] == "settled"


def test_an_endless_stream_is_cut_at_its_maximum(served: RunningGateway) -> None:
    """The open block and the message are closed, and no more is charged than was asked for
    (P1, money rule 2).
    """

    def answer(connection: socket.socket, request: Request) -> str:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
            return ""
        begin_stream(connection)
        send_piece(connection, START + OPEN)
        for _ in range(400):
            send_piece(connection, delta("word " * 400))
            time.sleep(0.001)
        return "close"

    served.upstream.answer = answer
    user = served.user()
    got = call(served, user, ask(stream=True, max_tokens=20))
    told = events_of(got.content)
    assert [each["type"] for each in told[-3:]] == [
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert told[-2]["delta"]["stop_reason"] == "max_tokens"
    story = served.story(user, got)
    assert story["usage"]["output_tokens"] <= 20
    assert story["attempts"][0]["error"] == "maximum_ignored"


def test_a_hang_up_after_output_is_charged_for_it(served: RunningGateway) -> None:
    """And cancelled at Anthropic (P11, money rule 5)."""

    def answer(connection: socket.socket, request: Request) -> str:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
            return ""
        begin_stream(connection)
        send_piece(connection, START + OPEN + delta("one two three four"))
        time.sleep(3)
        return "close"

    served.upstream.answer = answer
    user = served.user()
    with (
        served.client(user) as client,
        client.stream("POST", "/v1/messages", json=ask(stream=True)) as got,
    ):
        assert b"one" in next(got.iter_raw())
        call_id = got.headers["x-gatewayz-call-id"]
    story = eventually(lambda: (found := served.story(user, call_id))["status"] != "held" and found)
    assert (story["status"], story["reason"]) == ("settled", "client_disconnected")
    assert story["usage"]["source"] == "estimated"


def test_a_hang_up_before_output_is_free(served: RunningGateway) -> None:
    """Anthropic said no more than that it begins (P11, money rule 5)."""

    def answer(connection: socket.socket, request: Request) -> str:
        if request.method == "GET":
            reply(connection, b'{"data":[]}')
            return ""
        begin_stream(connection)
        send_piece(connection, START + OPEN + PING)
        time.sleep(2)
        return "close"

    served.upstream.answer = answer
    user = served.user()
    with served.client(user) as client, pytest.raises(httpx.ReadTimeout):
        client.post("/v1/messages", json=ask(stream=True), timeout=0.5)
    eventually(lambda: served.open_holds() == 0)
    balance = served.balance(user)
    assert balance["settled_nano_usd"] == 0


def test_errors_before_the_call_have_the_envelope_too(served: RunningGateway) -> None:
    """Wrong keys, wrong methods, keys in the address, heads that are too large
    (rule: contract).
    """
    url, key = f"{served.url}/v1/messages", served.user().api_key
    wrong = httpx.post(url, json=ask(), headers={"x-api-key": "sk-ant-theirs"})
    none = httpx.post(url, json=ask())
    method = httpx.get(url, headers={"x-request-id": "mine"})
    missing = httpx.get(f"{url}/batches")
    in_url = httpx.post(f"{url}?key={key}", json=ask())
    large = httpx.post(url, json=ask(), headers={"x-padding": "x" * 100_000})
    for got, status, kind in (
        (wrong, 401, "authentication_error"),
        (none, 401, "authentication_error"),
        (method, 405, "invalid_request_error"),
        (missing, 404, "not_found_error"),
        (in_url, 400, "invalid_request_error"),
        (large, 431, "invalid_request_error"),
    ):
        told = got.json()
        assert (got.status_code, told["type"], told["error"]["type"]) == (status, "error", kind)
        assert told["request_id"]
        assert got.headers["request-id"] == told["request_id"]
    assert method.json()["request_id"] == "mine"


def test_a_query_does_not_matter(served: RunningGateway) -> None:
    """Anthropic's client for betas asks `?beta=true` (rule: contract)."""
    served.upstream.answer = plays(*stream_of("Hi"))
    user = served.user()
    with served.client(user) as client:
        got = client.post("/v1/messages?beta=true", json=ask(stream=True))
    assert got.content == b"".join(stream_of("Hi"))
    assert json.loads(asked_last(served).raw)["model"] == "claude-test"
