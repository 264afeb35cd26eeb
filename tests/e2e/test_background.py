"""A response in the background outlives its caller, and its end is told, whatever dies."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import httpx

from tests.command_api.background.playing import Waiting
from tests.support.harness import PROVIDERS, USD, eventually
from tests.support.processes import Server, gatewayz

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.harness import ScriptedUpstream

QUICK = {
    "GATEWAYZ_CALL_DEADLINE_S": "20",
    "GATEWAYZ_HOLD_GRACE_S": "1",
    "GATEWAYZ_LEASE_S": "1",
    "GATEWAYZ_HEARTBEAT_S": "0.2",
    "GATEWAYZ_SWEEP_INTERVAL_S": "0.2",
    "GATEWAYZ_SHUTDOWN_GRACE_S": "1",
    "GATEWAYZ_BACKGROUND_RUN_S": "3",
}


def start(tmp_path: Path, upstream: ScriptedUpstream, deadline_s: str) -> Server:
    """A server whose provider is the test's own."""
    file = tmp_path / "providers.toml"
    file.write_text(PROVIDERS.format(base_url=upstream.base_url))
    environment = {
        **QUICK,
        "GATEWAYZ_PROVIDERS_FILE": str(file),
        "GATEWAYZ_CALL_DEADLINE_S": deadline_s,
    }
    server = Server(tmp_path / "home", environment=environment)
    server.await_health()
    return server


def test_a_killed_process_leaves_no_response_behind(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """kill -9 of supervisor and worker while it runs: after the next start it is told as failed,
    and its hold is swept as any other, so that the customer has all of it back
    (P2, money rule 11).
    """
    provider = upstream.answer = Waiting()
    server = start(tmp_path, upstream, "2")
    user = gatewayz(server.home, "user", "create", "--email", "a@example.com", "--grant", "10")
    key = user["api_key"]
    made = httpx.post(
        f"{server.url}/v1/responses",
        headers={"Authorization": f"Bearer {key}"},
        json={"model": "local/m", "input": "Hi", "background": True, "stream": False},
        timeout=20,
    ).json()
    assert made["status"] == "queued", made
    assert provider.begun.acquire(timeout=20)
    assert server.get(key, f"/v1/responses/{made['id']}")["status"] == "in_progress"
    workers = server.children("worker")
    os.kill(server.process.pid, signal.SIGKILL)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    server.process.wait()
    provider.go_on.set()
    again = start(tmp_path, upstream, "2")
    try:

        def told() -> dict[str, Any] | None:
            found: dict[str, Any] = again.get(key, f"/v1/responses/{made['id']}")
            return found if found["status"] == "failed" else None

        found = eventually(told)
        assert found["error"]["gatewayz_code"] == "background_lost"
        eventually(lambda: again.get(key, "/user/balance")["held_nano_usd"] == 0)
        assert again.get(key, "/user/balance")["available_nano_usd"] == 10 * USD
        found = again.get(key, f"/v1/responses/{made['id']}")
        assert found["error"]["message"].endswith("Nothing was charged.")
        assert gatewayz(again.home, "ledger", "verify")["ok"]
    finally:
        again.stop()


def test_any_worker_tells_and_cancels_it(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """Whichever of them a request reaches (rule: contract)."""
    provider = upstream.answer = Waiting()
    file = tmp_path / "providers.toml"
    file.write_text(PROVIDERS.format(base_url=upstream.base_url))
    environment = {**QUICK, "GATEWAYZ_PROVIDERS_FILE": str(file), "GATEWAYZ_BACKGROUND_RUN_S": "20"}
    with Server(tmp_path / "home", "--workers", "2", environment=environment) as server:
        user = gatewayz(server.home, "user", "create", "--email", "a@example.com", "--grant", "10")
        headers = {"Authorization": f"Bearer {user['api_key']}"}
        body = {"model": "local/m", "input": "Hi", "background": True}
        url = f"{server.url}/v1/responses"
        made = httpx.post(url, headers=headers, json=body, timeout=20).json()
        assert provider.begun.acquire(timeout=20)
        for _ in range(10):  # Each on a connection of its own, so that both workers are asked.
            got = httpx.get(f"{url}/{made['id']}", headers=headers, timeout=20).json()
            assert got["status"] == "in_progress"
        before = time.monotonic()
        for _ in range(5):
            done = httpx.post(f"{url}/{made['id']}/cancel", headers=headers, timeout=20)
            assert (done.status_code, done.json()["status"]) == (200, "cancelled")
        assert time.monotonic() - before < 10
        assert provider.gone.wait(20)
