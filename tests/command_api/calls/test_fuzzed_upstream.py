"""An upstream that answers anything at all, behind the whole gateway: the books stay right.

Hypothesis builds statuses, headers, bodies, the cut of the bytes and their ends. Whatever comes,
the caller gets an answer that is not a defect of ours, and the call is settled or void.
`GATEWAYZ_UPSTREAM_EXAMPLES` raises the number of upstreams that are tried.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.harness import (
    DONE,
    USD,
    RunningGateway,
    ScriptedUpstream,
    chunk,
    completion,
    running_gateway,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    import httpx

    from event_store.postgres.database import Database
    from tests.support.harness import Request

EXAMPLES = int(os.environ.get("GATEWAYZ_UPSTREAM_EXAMPLES", "150"))
KEY = "sk-very-secret-upstream-key"
SILENCE_S = 0.15

DULL_BYTES = st.sampled_from(
    [b"", b"{", b"null", b"<html>no</html>", b'"text"', b"7", b"[]", b" \n"]
)
NASTY_BYTES = st.sampled_from(
    [
        b"\xff\xfe",
        b'{"error":{"message":"\xff"}}',
        b"[" * 100_000,
        b'{"error":' * 3_000 + b"1" + b"}" * 3_000,
        b'{"error":"' + KEY.encode() + b'"}',
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 1, 3, 200, 429, 500, 10**12, 1e308, -0.5]),
    st.sampled_from(
        ["", "\u00b2", "429", "\u0663", "x", KEY, "\u0000", "stop", "insufficient_quota"]
    ),
    st.text(max_size=5),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    *("error", "message", "code", "type", "status", "details", "metadata"),
                    *("headers", "retry-after", "reason", "content", "tool_calls", "usage"),
                    *("function", "arguments", "choices", "delta", "index", "id", "text"),
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)


@st.composite
def spoilt(draw: st.DrawFn, plain: dict[str, Any]) -> dict[str, Any]:
    """A good object with some of its members, at any depth, replaced or gone."""
    made: dict[str, Any] = json.loads(json.dumps(plain))
    for _ in range(draw(st.integers(0, 2))):
        place: Any = made
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = place[key]
            if isinstance(inner, dict | list) and inner and draw(st.booleans()):
                place = inner
                continue
            place[key] = draw(VALUES)
            break
    if draw(st.integers(0, 3)) == 0:
        made["error"] = draw(VALUES)
    return made


def encoded(value: Any) -> bytes:
    """JSON, also of what JSON has no name for."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


PLAIN = json.loads(completion("Hello."))
PIECE = json.loads(chunk({"content": "Hello"}).removeprefix(b"data: "))
WHOLE = st.one_of(
    spoilt(PLAIN).map(encoded), VALUES.map(lambda v: encoded({"error": v})), NASTY_BYTES, DULL_BYTES
)
EVENT = st.one_of(
    spoilt(PIECE).map(lambda v: b"data: " + encoded(v) + b"\n\n"),
    st.just(chunk({"content": "Hello"})),
    st.just(chunk(None, usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})),
    VALUES.map(lambda v: b"data: " + encoded({"error": v}) + b"\n\n"),
    st.one_of(NASTY_BYTES, DULL_BYTES).map(lambda b: b"data: " + b + b"\n\n"),
    st.sampled_from([b": comment\n\n", b"event: x\n", b"data:\n\n", b"\r\n", DONE, b"\xff\n"]),
)
HEADERS = st.lists(
    st.sampled_from(
        [
            *(b"retry-after: 3", b"retry-after: \xb2", b"Retry-After: soon", b"x-request-id: 1"),
            b"retry-after: Mon, 99 Foo 99999 99:99:99 GMT",
            b"content-encoding: gzip",
            b"content-encoding: br",
            b"x: " + KEY.encode(),
        ]
    ),
    max_size=2,
)
RAW_HEADS = st.sampled_from(
    [b"", b"SSH-2.0-no\r\n\r\n", b"HTTP/1.1 999 X\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 2"]
)


@dataclass
class Upstream:
    """What it answers, as bytes and the pauses between them."""

    pieces: list[bytes] = field(default_factory=list)
    silent: bool = False

    def __call__(self, connection: socket.socket, _: Request) -> str:
        """Send it all, then close or be silent."""
        for piece in self.pieces:
            connection.sendall(piece)
            if len(self.pieces) > 1:
                time.sleep(0.002)
        if self.silent:
            time.sleep(SILENCE_S + 0.1)
        return "close"


@st.composite
def upstreams(draw: st.DrawFn, *, stream: bool) -> Upstream:
    """One answer."""
    if draw(st.integers(0, 9)) == 0:
        return Upstream([draw(RAW_HEADS)], silent=draw(st.booleans()))
    status = draw(st.sampled_from([200, 200, 200, 200, 400, 401, 404, 429, 500, 503, 599, 204]))
    if stream and status == 200:
        body = b"".join(draw(st.lists(EVENT, max_size=5)))
        kind = draw(st.sampled_from([b"text/event-stream"] * 3 + [b"application/json"]))
    else:
        body, kind = draw(WHOLE), b"application/json"
    lines = [b"HTTP/1.1 %d X" % status, b"content-type: " + kind, *draw(HEADERS)]
    how = draw(st.sampled_from(["sized", "chunked", "closed", "short"]))
    if how == "chunked":
        lines.append(b"transfer-encoding: chunked")
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    elif how != "closed":
        lines.append(b"content-length: %d" % (len(body) + 10 * (how == "short")))
    raw = b"\r\n".join(lines) + b"\r\n\r\n" + body
    cuts = sorted(draw(st.lists(st.integers(0, min(len(raw), 400)), max_size=3)))
    edges = [0, *cuts, len(raw)]
    pieces = [raw[a:b] for a, b in itertools.pairwise(edges) if a < b]
    return Upstream(pieces, silent=how == "short" and draw(st.booleans()))


@st.composite
def calls(draw: st.DrawFn) -> tuple[dict[str, Any], Upstream]:
    """What is asked, and what comes of it."""
    stream = draw(st.booleans())
    path = "chat" if stream else draw(st.sampled_from(["chat", "chat", "embeddings"]))
    body: dict[str, Any] = (
        {"model": "fuzz/m", "input": "Hi"}
        if path == "embeddings"
        else {"model": "fuzz/m", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    )
    return body, draw(upstreams(stream=stream))


@pytest.fixture(scope="module")
def gateway(server: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """One gateway for all of it."""
    from tests.conftest import fresh_database

    upstream = ScriptedUpstream()
    providers = f"""
[[provider]]
name = "fuzz"
base_url = "{upstream.base_url}"
api_key = "{KEY}"
[[provider.model]]
id = "m"
input_per_million = "1"
output_per_million = "2"
context_length = 1000
max_output_tokens = 500
"""
    with (
        fresh_database(server) as database,
        running_gateway(
            database,
            tmp_path_factory.mktemp("home"),
            upstream,
            providers=providers,
            upstream_silence_s=SILENCE_S,
            breaker_failures=1_000_000,
        ) as made,
    ):
        yield made
    upstream.close()


@pytest.fixture(scope="module")
def client(gateway: RunningGateway) -> Iterator[httpx.Client]:
    """Who calls: 10 USD, and one connection."""
    with gateway.client(gateway.user()) as made:
        yield made


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 150,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(call=calls())
def test_whatever_an_upstream_sends_the_call_ends_and_the_books_are_right(
    gateway: RunningGateway,
    client: httpx.Client,
    caplog: pytest.LogCaptureFixture,
    call: tuple[dict[str, Any], Upstream],
) -> None:
    """An honest answer, one outcome, no key of ours in it (P2, P12, money rule 4, rule: wire)."""
    caplog.clear()
    body, gateway.upstream.answer = call
    before = client.get("/user/balance").json()["available_nano_usd"]
    path = "/v1/embeddings" if "input" in body else "/v1/chat/completions"
    got = client.post(path, json=body)
    story = client.get(f"/v1/calls/{got.headers['x-gatewayz-call-id']}").json()
    charged = story["settled_nano_usd"]
    assert before - client.get("/user/balance").json()["available_nano_usd"] == charged
    assert charged <= 1_000 * 1_000 + 500 * 2_000, "what the model can make, and not more"
    if got.status_code == 200:
        assert story["status"] == "settled"
        check_answer(got, story, stream=bool(body.get("stream")))
    else:
        assert (story["status"], charged) == ("voided", 0)
        assert got.status_code != 500, got.text
        assert "Nothing was charged" in got.json()["error"]["message"]
        assert KEY not in got.text
    assert [each["provider"] for each in story["attempts"]] == ["fuzz"]
    assert KEY not in caplog.text
    assert not [r for r in caplog.records if r.exc_info], "nothing is a surprise"


def check_answer(got: httpx.Response, story: dict[str, Any], *, stream: bool) -> None:
    """A stream ends openly; a failure in it says that what was made is charged."""
    if not stream:
        got.json()
        return
    assert got.content.endswith(DONE)
    if story["reason"] != "completed":
        error = json.loads(got.content.split(b"data: ")[-2])["error"]
        assert "Nothing was charged" not in error["message"]
        assert KEY not in error["message"]


def test_the_books_are_right_after_all_of_it(gateway: RunningGateway, client: httpx.Client) -> None:
    """No hold is open, no balance off, whichever of them ran before (P1, P2)."""
    assert gateway.open_holds() == 0
    assert client.get("/user/balance").json()["available_nano_usd"] <= 10 * USD
    gateway.verified()
