"""Streams: bytes through, honest failures, exact charges."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.harness import (
    ASK,
    DONE,
    USAGE,
    USD,
    begin_stream,
    chunk,
    eventually,
    named,
    reply,
    running_gateway,
    send_piece,
    stream,
)

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway, ScriptedUpstream

ROLE = chunk({"role": "assistant", "content": ""})
HELLO = chunk({"content": "Hello"})
WORLD = chunk({"content": " world"})
END = chunk({}, finish="stop")
STREAM = {**ASK, "stream": True}


def test_bytes_pass_and_the_asked_for_usage_with_them(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """All passes; with include_usage a report too, with what is charged (rule: contract)."""
    upstream.answer = lambda connection, _: stream(connection, ROLE, HELLO, WORLD, END, USAGE, DONE)
    user = gateway.user()
    got = gateway.chat(user, {"stream": True, "stream_options": {"include_usage": True}})
    assert got.headers["content-type"].startswith("text/event-stream")
    passed = named(ROLE + HELLO + WORLD + END)
    assert got.content.startswith(passed)
    assert got.content.endswith(b"\n\n" + DONE)
    told = json.loads(got.content.removeprefix(passed).split(b"\n")[0][5:], parse_float=str)
    sent = json.loads(USAGE[5:])
    assert told == {**sent, "model": "local/m", "usage": {**sent["usage"], "cost": "0.0000045"}}
    assert gateway.story(user, got)["settled_nano_usd"] == 4_500


def test_usage_is_asked_for_and_kept_back(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """We ask for it, settle by it, and keep the extra chunk back (money rule 2, money rule 6)."""
    upstream.answer = lambda connection, _: stream(connection, ROLE, HELLO, END, USAGE, DONE)
    user = gateway.user()
    got = gateway.chat(user, {"stream": True, "stream_options": {"other": 1}})
    assert got.content == named(ROLE + HELLO + END) + DONE
    assert upstream.requests[0].body["stream_options"] == {"other": 1, "include_usage": True}
    assert gateway.story(user, got)["usage"]["source"] == "provider"


def test_a_clean_end_without_done_is_an_end(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Some providers never send [DONE]; we always close with it (rule: contract)."""
    upstream.answer = lambda connection, _: stream(connection, ROLE, HELLO, END, USAGE)
    user = gateway.user()
    got = gateway.chat(user, {"stream": True})
    assert got.content == named(ROLE + HELLO + END) + DONE
    assert gateway.story(user, got)["settled_nano_usd"] == 4_500


def test_an_end_by_closing_is_an_end(gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    """A body without length or chunks ends with its connection (rule: wire)."""

    def answer(connection: socket.socket, _: Request) -> str:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
        connection.sendall(head + HELLO + END + USAGE)
        return "close"

    upstream.answer = answer
    user = gateway.user()
    got = gateway.chat(user, {"stream": True})
    assert got.content == named(HELLO + END) + DONE


def test_comments_and_bare_roles_wait_for_output(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Nothing is sent before output, so an error after them is an honest status (money rule 4)."""
    waiting = b": PROCESSING\n\n"
    error = b'data: {"error":{"message":"later","code":429}}\n\n'
    upstream.answer = lambda connection, _: stream(
        connection, waiting, ROLE, waiting, error, pause_s=0.05
    )
    user = gateway.user()
    got = gateway.chat(user, {"stream": True})
    assert got.status_code == 429
    assert gateway.story(user, got)["status"] == "voided"
    upstream.answer = lambda connection, _: stream(
        connection, waiting, ROLE, waiting, HELLO, waiting, END, USAGE, DONE
    )
    got = gateway.chat(user, {"stream": True})
    assert got.content == named(ROLE + HELLO + waiting + END) + DONE


OUTPUTS: list[dict[str, Any]] = [
    {"content": "x"},
    {"reasoning": "x"},
    {"reasoning_content": "x"},
    {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}}]},
    {"refusal": "x"},
]


@pytest.mark.parametrize("how", ["error chunk", "cut", "not json"])
def test_a_failure_after_output_is_told_in_the_stream_and_settled(
    gateway: RunningGateway, upstream: ScriptedUpstream, how: str
) -> None:
    """Text, reasoning and tool calls are output; the call is charged by count (money rule 4)."""
    bad = {
        "error chunk": b'event: error\ndata: {"error":{"message":"boom","code":500}}\n\n',
        "not json": b"data: {broken\n\n",
        "cut": b"",
    }[how]

    for delta in OUTPUTS:

        def answer(connection: socket.socket, _: Request, d: dict[str, Any] = delta) -> str:
            begin_stream(connection)
            send_piece(connection, ROLE + chunk(d))
            if bad:
                send_piece(connection, bad)
            return "close"

        upstream.answer = answer
        user = gateway.user()
        got = gateway.chat(user, {"stream": True})
        assert got.status_code == 200
        assert got.content.startswith(named(ROLE + chunk(delta)))
        assert got.content.endswith(DONE)
        told = json.loads(got.content.split(b"data: ")[-2])
        assert told["error"]["message"]
        story = gateway.story(user, got)
        assert story["status"] == "settled"
        assert story["usage"]["source"] == "estimated"
        assert story["settled_nano_usd"] > 0
        assert story["attempts"][0]["error"]
    gateway.verified()


def test_usage_before_a_failure_is_what_is_charged(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """The provider's last report wins; reports are never summed (money rule 4, money rule 6)."""
    first = chunk({"content": "a"}, usage={"prompt_tokens": 10, "completion_tokens": 1})
    second = chunk({"content": "b"}, usage={"prompt_tokens": 10, "completion_tokens": 2})
    error = b'data: {"error":{"message":"boom"}}\n\n'
    upstream.answer = lambda connection, _: stream(connection, first, second, error)
    user = gateway.user()
    story = gateway.story(user, gateway.chat(user, {"stream": True}))
    assert story["settled_nano_usd"] == 10 * 150 + 2 * 600
    assert story["usage"]["source"] == "provider"


EMPTY = [b"", b": comment\n\n", DONE, ROLE, ROLE + DONE]


def test_a_stream_without_anything_is_void(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """An empty 200 is a failure, whatever comments it held (money rule 4)."""
    user = gateway.user()
    for body in EMPTY:
        upstream.answer = lambda connection, _, b=body: (
            stream(connection, b) if b else stream(connection)
        )
        got = gateway.chat(user, {"stream": True})
        assert got.status_code == 502, body
        assert gateway.story(user, got)["status"] == "voided"


def test_a_finished_but_empty_answer_is_an_answer(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """A model may say nothing: it is charged by the provider's count (money rule 6)."""
    upstream.answer = lambda connection, _: stream(connection, ROLE, END, USAGE, DONE)
    user = gateway.user()
    got = gateway.chat(user, {"stream": True})
    assert got.content == named(ROLE + END) + DONE
    assert gateway.story(user, got)["settled_nano_usd"] == 4_500


def hang_up(gateway: RunningGateway, user: NewUser, after: bytes, **headers: str) -> str:
    """Read until `after` has come, then hang up; returns the call id."""
    with (
        gateway.client(user, **headers) as client,
        client.stream("POST", "/v1/chat/completions", json=STREAM) as got,
    ):
        call_id: str = got.headers["x-gatewayz-call-id"]
        seen = b""
        for piece in got.iter_raw():
            seen += piece
            if after in seen:
                break
    return call_id


def slow_stream(gone: threading.Event, *, end: int = 40) -> Any:
    """A stream that would go on for two seconds; sets `gone` when it is cut off."""

    def answer(connection: socket.socket, _: Request) -> str:
        try:
            begin_stream(connection)
            send_piece(connection, ROLE + HELLO)
            for _piece in range(end):
                time.sleep(0.05)
                send_piece(connection, WORLD)
            send_piece(connection, END + USAGE + DONE)
            connection.sendall(b"0\r\n\r\n")
        except OSError:
            gone.set()
        return "close"

    return answer


def test_a_hang_up_after_output_pays_for_what_was_made(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """The provider's call is cancelled and settled by our count (P11, money rule 5)."""
    gone = threading.Event()
    upstream.answer = slow_stream(gone)
    user = gateway.user()
    call_id = hang_up(gateway, user, b"world")
    assert gone.wait(5)
    story = eventually(
        lambda: next((s for s in [gateway.story(user, call_id)] if s["status"] != "held"), None),
        timeout_s=2,
    )
    assert story["status"] == "settled"
    assert story["usage"]["source"] == "estimated"
    assert story["usage"]["input_tokens"] >= 1
    assert story["reason"] == "client_disconnected"
    gateway.verified()


def test_a_hang_up_before_output_is_void(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Nothing was made, nothing is charged (P11, money rule 5)."""
    gone = threading.Event()

    def answer(connection: socket.socket, _: Request) -> str:
        begin_stream(connection)
        send_piece(connection, ROLE)
        connection.settimeout(5)
        gone.set() if connection.recv(1) == b"" else None
        return "close"

    upstream.answer = answer
    user = gateway.user()
    with pytest.raises(httpx.ReadTimeout), gateway.client(user) as client:
        client.post("/v1/chat/completions", json=STREAM, timeout=0.3)
    assert gone.wait(5)
    eventually(lambda: gateway.open_holds() == 0)
    assert gateway.balance(user)["available_nano_usd"] == 10 * USD
    gateway.verified()


def test_a_stream_with_a_key_runs_to_its_end(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """A hang-up does not cancel it, and the whole answer can be replayed (P3, money rule 5)."""
    upstream.answer = slow_stream(threading.Event(), end=6)
    user = gateway.user()
    hang_up(gateway, user, b"Hello", **{"Idempotency-Key": "k"})
    eventually(lambda: gateway.open_holds() == 0)
    got = gateway.chat(user, {"stream": True}, **{"Idempotency-Key": "k"})
    assert got.headers["idempotent-replayed"] == "true"
    assert got.content == named(ROLE + HELLO + WORLD * 6 + END) + DONE
    assert gateway.verified().settled_nano_usd == 4_500


def test_an_unread_stream_pauses_the_provider(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """What the client does not read is not piled up in the gateway (rule: bounded)."""
    big = chunk({"content": "x" * 60_000})
    sent = [0]

    def answer(connection: socket.socket, _: Request) -> str:
        begin_stream(connection)
        connection.settimeout(1)
        try:
            for _piece in range(400):
                send_piece(connection, big)
                sent[0] += 1
        except OSError:
            return "close"
        return "close"

    upstream.answer = answer
    user = gateway.user()
    with (
        gateway.client(user) as client,
        client.stream("POST", "/v1/chat/completions", json={**STREAM, "max_tokens": 16_000}),
    ):
        time.sleep(1.5)
        assert sent[0] < 390
    eventually(lambda: gateway.open_holds() == 0)
    gateway.verified()


def test_a_long_stream_extends_its_hold(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """Without a maximum of the caller's, the hold grows as the stream does (money rule 2)."""
    piece = chunk({"content": "word " * 400})
    usage = {"prompt_tokens": 10, "completion_tokens": 6_000, "total_tokens": 6_010}
    upstream.answer = lambda connection, _: stream(
        connection, *[piece] * 12, END, chunk(None, usage=usage), DONE, pause_s=0.01
    )
    user = gateway.user()
    story = gateway.story(user, gateway.chat(user, {"stream": True}))
    types = [event["type"] for event in story["events"]]
    assert "ledger.hold_extended.v1" in types
    assert story["settled_nano_usd"] == 10 * 150 + 6_000 * 600
    assert story["house_loss_nano_usd"] == 0
    gateway.verified()


def test_a_stream_that_cannot_extend_its_hold_ends_there(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """An insufficient_credits chunk, [DONE], the charge for what was made (P1, money rule 2)."""
    piece = chunk({"content": "word " * 400})
    upstream.answer = lambda connection, _: stream(
        connection, *[piece] * 40, END, USAGE, DONE, pause_s=0.02
    )
    user = gateway.user(grant=3_000_000)
    got = gateway.chat(user, {"stream": True})
    assert got.status_code == 200
    events = [line[6:] for line in got.content.split(b"\n\n") if line]
    assert json.loads(events[-2])["error"]["code"] == "insufficient_credits"
    assert events[-1] == b"[DONE]"
    story = gateway.story(user, got)
    assert story["status"] == "settled"
    assert 0 < story["settled_nano_usd"] <= 3_000_000
    gateway.verified()


def test_a_json_answer_to_a_stream_is_a_failure(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """A provider that does not stream when asked to gives the caller no stream (rule: contract)."""
    upstream.answer = lambda connection, _: reply(connection, b'{"choices":[]}')
    user = gateway.user()
    got = gateway.chat(user, {"stream": True})
    assert got.status_code == 502


def test_drain_lets_a_stream_run_out(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """With on_disconnect = drain a hang-up is settled by the provider's count (money rule 5)."""
    upstream.answer = slow_stream(threading.Event(), end=6)
    with running_gateway(database, tmp_path / "home", upstream, on_disconnect="drain") as gateway:
        user = gateway.user()
        call_id = hang_up(gateway, user, b"Hello")
        eventually(lambda: gateway.open_holds() == 0)
        story = gateway.story(user, call_id)
        assert (story["settled_nano_usd"], story["usage"]["source"]) == (4_500, "provider")


def test_strict_holds_send_the_bound_upstream(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """The provider is told the maximum that is held, when the caller gave none (money rule 2)."""
    upstream.answer = lambda connection, _: stream(connection, HELLO, END, USAGE, DONE)
    with running_gateway(database, tmp_path / "home", upstream, strict_holds=True) as gateway:
        user = gateway.user()
        gateway.chat(user, {"stream": True})
        gateway.chat(user, {"stream": True, "max_completion_tokens": 7})
    assert upstream.requests[0].body["max_tokens"] == 4_096
    assert "max_tokens" not in upstream.requests[1].body


def test_the_time_to_the_first_output_is_on_record(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    """A stream's attempt says when output began; analysts read it hourly (rule: observable)."""

    def answer(connection: socket.socket, _: Request) -> None:
        time.sleep(0.05)
        stream(connection, chunk({"content": "a"}), chunk({"content": "b"}), USAGE, DONE)

    upstream.answer = answer
    user = gateway.user()
    told = gateway.chat(user, {"stream": True})
    attempt = gateway.story(user, told)["attempts"][0]
    assert 50 <= attempt["first_output_ms"] <= attempt["duration_ms"]
