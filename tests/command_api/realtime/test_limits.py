"""Sessions within their callers' limits and under guards, and a gateway that is killed."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.command_api.limits.test_gate import key_of, limit
from tests.command_api.realtime.provider import answering, ask, call_of, session, talking, until
from tests.support.harness import eventually
from tests.support.processes import Server, gatewayz

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database

GUARDS = """
[[guard]]
name = "house-words"
kind = "blocked_terms"
fail = "closed"
terms = ["project nightjar"]
"""


def refusal(failed: pytest.ExceptionInfo[InvalidStatus]) -> tuple[int, str]:
    """The status and the code of an upgrade that was refused."""
    answer = failed.value.response
    assert answer.body is not None
    return answer.status_code, json.loads(answer.body)["error"]["code"]


def test_calls_at_once_count_sessions(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A session is a call under way until it ends (P1, rule: bounded)."""
    with talking(server, tmp_path_factory) as (gateway, talker):
        talker.behave = answering
        user = gateway.user()
        limit(gateway, key_of(user), concurrency=1)
        with session(gateway, user) as caller:
            until(caller, "session.created")
            with pytest.raises(InvalidStatus) as failed:
                session(gateway, user)
            assert refusal(failed)[0] == 429
        eventually(lambda: gateway.open_holds() == 0)
        with session(gateway, user) as caller:
            until(caller, "session.created")


def test_guards_cannot_be_gone_around(
    server: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nobody can look at what is said, so who is guarded has no session (rule: refuse clearly)."""
    file = tmp_path_factory.mktemp("guards") / "guards.toml"
    file.write_text(GUARDS)
    with (
        talking(server, tmp_path_factory, guardrails_file=file) as (gateway, _),
        pytest.raises(InvalidStatus) as failed,
    ):
        session(gateway, gateway.user())
    assert refusal(failed) == (403, "realtime_guarded")


def test_a_killed_gateway_leaves_no_hold(tmp_path: Path) -> None:
    """The next one expires it once its life is over, and the books are right; the session is the
    simulator's, on the embedded defaults (P2, money rule 11).
    """
    short = {
        "GATEWAYZ_CALL_DEADLINE_S": "1",
        "GATEWAYZ_HOLD_GRACE_S": "1",
        "GATEWAYZ_LEASE_S": "3",
        "GATEWAYZ_HEARTBEAT_S": "1",
        "GATEWAYZ_SWEEP_INTERVAL_S": "1",
    }
    with Server(tmp_path, environment=short) as server:
        made = gatewayz(tmp_path, "user", "create", "--email", "a@example.com", "--grant", "10")
        url = server.url.replace("http", "ws") + "/v1/realtime?model=simulator/talk"
        headers = {"Authorization": f"Bearer {made['api_key']}"}
        with connect(url, additional_headers=headers) as caller:
            call = call_of(caller)
            ask(caller)
            until(caller, "response.done")
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait(20)
            with pytest.raises(ConnectionClosed):
                while True:
                    caller.recv(20)
    with Server(tmp_path, environment=short, port=server.port) as again:

        def story() -> dict[str, Any]:
            told: dict[str, Any] = httpx.get(
                f"{again.url}/v1/calls/{call}", headers=headers, timeout=20
            ).json()
            return told

        eventually(lambda: story().get("status") == "expired", 60)
        assert story()["settled_nano_usd"] == 0
    assert gatewayz(tmp_path, "ledger", "verify")["ok"]
