"""Streams of providers that speak another API, cut short or left: charged by their own counts."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.harness import (
    RunningGateway,
    ScriptedUpstream,
    begin_stream,
    eventually,
    running_gateway,
    send_piece,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request

PROVIDER = """
[[provider]]
name = "{name}"
base_url = "{base_url}"
api_key = "k"
[[provider.model]]
id = "m"
input_per_million = "1"
output_per_million = "2"
"""


@pytest.fixture
def served(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """A gateway with Vertex AI and Anthropic, both played by one upstream."""
    text = "".join(
        PROVIDER.format(name=name, base_url=upstream.base_url)
        for name in ("google-vertex", "anthropic")
    )
    with running_gateway(database, tmp_path / "home", upstream, providers=text) as made:
        yield made
        made.verified()


def gemini(text: str, output: int) -> bytes:
    """One reply of a stream, with the counts so far."""
    usage = {"promptTokenCount": 40, "candidatesTokenCount": output, "thoughtsTokenCount": 3}
    body = {"candidates": [{"content": {"parts": [{"text": text}]}}], "usageMetadata": usage}
    return b"data: " + json.dumps({**body, "responseId": "r"}).encode() + b"\n\n"


def anthropic(kind: str, **more: Any) -> bytes:
    """One event of a stream."""
    data = json.dumps({"type": kind, **more})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def test_a_cut_stream_is_charged_by_the_providers_last_count(served: RunningGateway) -> None:
    """Gemini counts as it goes; the error is told in the stream (money rule 4)."""

    def answer(connection: socket.socket, request: Request) -> str:
        if request.method == "GET":
            return "close"
        begin_stream(connection)
        send_piece(connection, gemini("one", 5))
        send_piece(connection, gemini(" two", 9))
        connection.sendall(b"0\r\n\r\n")
        return ""

    served.upstream.answer = answer
    user = served.user()
    got = served.chat(user, {"model": "google-vertex/m", "stream": True})
    assert '"error"' in got.text
    assert got.text.endswith("data: [DONE]\n\n")
    story = served.story(user, got)
    assert (story["status"], story["usage"]["source"]) == ("settled", "provider")
    assert (story["usage"]["input_tokens"], story["usage"]["output_tokens"]) == (40, 12)


@pytest.mark.parametrize(
    ("model", "source"), [("google-vertex/m", "provider"), ("anthropic/m", "estimated")]
)
def test_a_stream_that_is_left_is_charged_for_what_was_made(
    served: RunningGateway, model: str, source: str
) -> None:
    """By the provider's count where it gave one, else by ours, marked so (P11, money rule 5)."""

    def answer(connection: socket.socket, request: Request) -> str:
        if request.method == "GET":
            return "close"
        begin_stream(connection)
        if model.startswith("google"):
            send_piece(connection, gemini("one", 5))
        else:
            usage = {"input_tokens": 40, "output_tokens": 1}
            send_piece(connection, anthropic("message_start", message={"usage": usage}))
            delta = {"type": "text_delta", "text": "one two three"}
            send_piece(connection, anthropic("content_block_delta", index=0, delta=delta))
        time.sleep(3)
        return "close"

    served.upstream.answer = answer
    user = served.user()
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    with (
        served.client(user) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as got,
    ):
        assert b"one" in next(got.iter_raw())
        call_id = got.headers["x-gatewayz-call-id"]
    story = eventually(lambda: (found := served.story(user, call_id))["status"] != "held" and found)
    assert (story["status"], story["usage"]["source"]) == ("settled", source)
    assert story["reason"] == "client_disconnected"


def test_an_error_event_before_output_is_a_failure(served: RunningGateway) -> None:
    """Anthropic overloaded inside its stream: 503, voided, nothing passed on (money rule 4)."""

    def answer(connection: socket.socket, request: Request) -> str:
        if request.method == "GET":
            return "close"
        begin_stream(connection)
        send_piece(connection, anthropic("message_start", message={"id": "m"}))
        error = {"type": "overloaded_error", "message": "Overloaded"}
        send_piece(connection, anthropic("error", error=error))
        return "close"

    served.upstream.answer = answer
    user = served.user()
    got = served.chat(user, {"model": "anthropic/m", "stream": True})
    assert (got.status_code, got.json()["error"]["code"]) == (503, "upstream_unavailable")
    assert served.story(user, got)["status"] == "voided"
