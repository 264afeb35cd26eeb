"""Bad input: a 4xx in OpenAI's envelope, nothing held, nothing of the prompt in a log."""

from __future__ import annotations

import json
import logging
import socket
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.harness import running_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

SECRET = "the prompt nobody may log"
PROMPT = '[{"role":"user","content":"' + SECRET + '"}]'

BODIES: list[tuple[str, bytes, int]] = [
    ("malformed", b'{"model":"local/m","messages":' + PROMPT.encode(), 400),
    ("empty", b"", 400),
    ("array", b"[]", 400),
    ("null", b"null", 400),
    ("no model", b'{"messages":' + PROMPT.encode() + b"}", 400),
    ("no messages", b'{"model":"local/m"}', 400),
    ("empty messages", b'{"model":"local/m","messages":[]}', 400),
    ("messages a string", b'{"model":"local/m","messages":"x"}', 400),
    ("content a number", b'{"model":"local/m","messages":[{"role":"user","content":1}]}', 400),
    ("no role", b'{"model":"local/m","messages":[{"content":"x"}]}', 400),
    ("unknown model", b'{"model":"local/none","messages":' + PROMPT.encode() + b"}", 404),
    ("unknown provider", b'{"model":"who/none","messages":' + PROMPT.encode() + b"}", 404),
    ("negative", b'{"model":"local/m","max_tokens":-1,"messages":' + PROMPT.encode() + b"}", 400),
    ("zero", b'{"model":"local/m","max_tokens":0,"messages":' + PROMPT.encode() + b"}", 400),
    ("float", b'{"model":"local/m","max_tokens":1.5,"messages":' + PROMPT.encode() + b"}", 400),
    ("huge", b'{"model":"local/m","max_tokens":1e30,"messages":' + PROMPT.encode() + b"}", 400),
    ("n", b'{"model":"local/m","n":0,"messages":' + PROMPT.encode() + b"}", 400),
    ("stream", b'{"model":"local/m","stream":"yes","messages":' + PROMPT.encode() + b"}", 400),
    ("NUL escape", b'{"model":"local/m","messages":[{"role":"user","content":"a\\u0000"}]}', 400),
    ("NUL byte", b'{"model":"local/m","messages":[{"role":"user","content":"a\x00"}]}', 400),
    ("surrogate", b'{"model":"local/m","messages":[{"role":"user","content":"\\ud800"}]}', 400),
    (
        "in a tool",
        b'{"model":"local/m","tools":["\\udfff"],"messages":' + PROMPT.encode() + b"}",
        400,
    ),
    ("not UTF-8", b'{"model":"local/m","messages":[{"role":"user","content":"\xff"}]}', 400),
    ("deep", b'{"model":"local/m","messages":' + b"[" * 100_000, 400),
    (
        "10 MB",
        b'{"model":"local/m","messages":[{"role":"user","content":"' + b"a" * 10_000_000 + b'"}]}',
        413,
    ),
]


@pytest.mark.parametrize(
    ("body", "status"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES]
)
def test_a_bad_body_is_refused(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture, body: bytes, status: int
) -> None:
    """Each names what is wrong; nothing is held, the provider is not asked, no prompt is logged
    (P10, rule: refuse clearly, rule: access).
    """
    caplog.set_level(logging.DEBUG)
    user = gateway.user()
    before = gateway.events()
    with gateway.client(user) as client:
        got = client.post("/v1/chat/completions", content=body)
    assert got.status_code == status, got.text
    error = got.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert error["code"]
    assert got.headers["x-gatewayz-call-id"]
    assert gateway.events() == before
    assert gateway.upstream.requests == []
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer gw_live_wrong", "Basic abc", "Bearer " + "x" * 2000]
)
def test_a_bad_key_is_refused(gateway: RunningGateway, header: str) -> None:
    """401 in OpenAI's envelope (rule: access)."""
    got = httpx.post(
        f"{gateway.url}/v1/chat/completions", headers={"Authorization": header}, json={}
    )
    assert got.status_code == 401
    assert got.json()["error"]["code"] == "invalid_api_key"


def test_a_revoked_key_is_refused_at_once(gateway: RunningGateway) -> None:
    """The gateway had cached the key; the log's notice makes it forget (rule: access)."""
    user = gateway.user()
    assert gateway.chat(user, {}).status_code == 200
    users = gateway.users()
    users.revoke_key(user.api_key, "test")
    users.revoke_key(user.key_id, "twice is fine")
    users.close()
    until = time.monotonic() + 2
    while gateway.chat(user, {}).status_code == 200:
        assert time.monotonic() < until
    got = gateway.chat(user, {})
    assert got.status_code == 401
    assert "revoked" in got.json()["error"]["message"]


def test_a_slow_body_is_cut_off(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """A body that drips in gets 408 after the named time, and nothing is held (rule: bounded)."""
    with running_gateway(database, tmp_path / "home", upstream, body_timeout_s=0.5) as gateway:
        user = gateway.user()
        port = int(gateway.url.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n"
                b"authorization: Bearer " + user.api_key.encode() + b"\r\n\r\n{"
            )
            received = b""
            while b"}}" not in received:
                piece = connection.recv(65_536)
                assert piece
                received += piece
        assert received.startswith(b"HTTP/1.1 408")
        body = json.loads(received.split(b"\r\n\r\n", 1)[1])
        assert body["error"]["code"] == "request_timeout"
        assert gateway.open_holds() == 0


DEAR = """
[[provider.model]]
id = "dear"
input_per_million = "1"
output_per_million = "1000000"
"""


def test_a_call_beyond_what_any_may_cost_is_refused(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """400 before any hold, whatever the account has (P10, rule: refuse clearly)."""
    with running_gateway(database, tmp_path, upstream, providers=DEAR) as gateway:
        user = gateway.user(grant=2 * 10**15)
        got = gateway.chat(user, {"model": "local/dear", "max_tokens": 1_000_001})
        assert got.status_code == 400
        assert got.json()["error"]["code"] == "call_too_large"
        assert upstream.requests == []
        assert gateway.open_holds() == 0
        assert gateway.chat(user, {"model": "local/dear", "max_tokens": 999_000}).status_code == 200


def test_errors_outside_v1_have_the_plain_envelope(gateway: RunningGateway) -> None:
    """{"detail", "code"}; and under /v1 unknown paths and methods are OpenAI's (rule: contract)."""
    with httpx.Client(base_url=gateway.url) as client:
        plain = client.get("/user/balance")
        assert plain.status_code == 401
        assert set(plain.json()) == {"detail", "code"}
        assert client.get("/nowhere").json()["code"] == "not_found"
        assert client.get("/v1/nowhere").json()["error"]["code"] == "not_found"
        assert client.get("/v1/chat/completions").status_code == 405
    user = gateway.user()
    with gateway.client(user) as client:
        bad = client.get("/user/credit-transactions", params={"limit": "0"})
        assert bad.status_code == 422
        assert client.get("/v1/calls/not-a-uuid").status_code == 404
