"""SIGTERM: no new calls, those under way end within the grace, and nothing is left held."""

from __future__ import annotations

import json
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.harness import (
    ASK,
    DONE,
    PROVIDERS,
    USAGE,
    ScriptedUpstream,
    begin_stream,
    chunk,
    eventually,
    send_piece,
    stream,
)
from tests.support.processes import Server, gatewayz

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.harness import Request

GRACE_S = 4


class Slow:
    """Streams that end when the test says so, and streams that never do."""

    def __init__(self) -> None:
        self.finish, self.came, self.left = threading.Event(), 0, 0

    def __call__(self, connection: socket.socket, request: Request) -> str | None:
        """As the first message asks; background responses never end either."""
        text = json.dumps(request.body)
        self.came += 1
        if "short" in text:
            begin_stream(connection)
            send_piece(connection, chunk({"content": "made "}))
            self.finish.wait(30)
            for each in (chunk({}, finish="stop"), USAGE, DONE):
                send_piece(connection, each)
            connection.sendall(b"0\r\n\r\n")
            return None
        if "quick" in text:
            stream(connection, chunk({"content": "x"}), USAGE, DONE)
            return None
        begin_stream(connection)
        try:
            while True:
                send_piece(connection, chunk({"content": "and on "}))
                time.sleep(0.05)
        except OSError:
            self.left += 1
            return "close"


@pytest.fixture
def slow() -> Iterator[tuple[ScriptedUpstream, Slow]]:
    """An upstream."""
    answer = Slow()
    upstream = ScriptedUpstream(answer)
    yield upstream, answer
    upstream.close()


def asked(content: str) -> dict[str, Any]:
    """A streamed call."""
    return {**ASK, "messages": [{"role": "user", "content": content}], "stream": True}


def test_sigterm_ends_calls_and_leaves_nothing_held(
    tmp_path: Path, slow: tuple[ScriptedUpstream, Slow]
) -> None:
    """A stream that ends in time is whole, one that does not is told and settled, a response in the
    background too; nobody new is served (P2, money rule 5, rule: two commands).
    """
    upstream, answer = slow
    home = tmp_path / "home"
    home.mkdir()
    file = tmp_path / "providers.toml"
    file.write_text(PROVIDERS.format(base_url=upstream.base_url))
    environment = {
        "GATEWAYZ_PROVIDERS_FILE": str(file),
        "GATEWAYZ_SHUTDOWN_GRACE_S": str(GRACE_S),
    }
    calls: dict[str, str] = {}
    with Server(home, environment=environment) as server, ThreadPoolExecutor() as pool:
        key = server.key()
        client = httpx.Client(
            base_url=server.url, headers={"authorization": f"Bearer {key}"}, timeout=60
        )

        def call(content: str) -> bytes:
            with client.stream("POST", "/v1/chat/completions", json=asked(content)) as reply:
                calls[content] = reply.headers["x-gatewayz-call-id"]
                return b"".join(reply.iter_raw())

        made = client.post(
            "/v1/responses", json={"model": "local/m", "input": "behind", "background": True}
        )
        assert made.status_code == 200, made.text
        calls["behind"] = made.headers["x-gatewayz-call-id"]
        short, endless = (pool.submit(call, each) for each in ("short", "endless"))
        assert eventually(lambda: answer.came == 3)
        assert eventually(lambda: len(calls) == 3)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{server.url}/v1/chat/completions", json=asked("quick"), timeout=5)
        assert not short.done()
        answer.finish.set()
        assert short.result(20).endswith(b"data: [DONE]\n\n")
        assert b'"gateway_stopping"' in endless.result(20)
        assert server.process.wait(30) == 0, server.text()
        assert GRACE_S - 1 < time.monotonic() - began < GRACE_S + 15
        client.close()
    assert eventually(lambda: answer.left == 2)
    assert gatewayz(home, "ledger", "verify")["ok"]
    with Server(home, environment=environment) as again:
        told = {name: again.get(key, f"/v1/calls/{each}") for name, each in calls.items()}
        assert {name: each["status"] for name, each in told.items()} == dict.fromkeys(
            calls, "settled"
        )
        assert told["short"]["usage"]["source"] == "provider"
        for name in ("endless", "behind"):
            assert told[name]["reason"] == "gateway_stopped"
            assert told[name]["usage"]["source"] == "estimated"
            assert told[name]["settled_nano_usd"] > 0
        assert again.get(key, "/user/balance")["held_nano_usd"] == 0
