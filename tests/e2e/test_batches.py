"""A batch outlives the process that runs it, and no line of it is charged twice."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import httpx

from tests.command_api.batches.making import CHAT, jsonl
from tests.command_api.batches.test_hostile import Gate, many
from tests.e2e.test_background import start
from tests.support.harness import eventually
from tests.support.processes import gatewayz

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.harness import ScriptedUpstream


def test_a_killed_process_leaves_its_batch_to_the_next(
    tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """kill -9 of supervisor and worker while lines are under way: the next start goes on. What was
    settled is never called again; what was in flight is expired by the ledger's rule, and is a new
    attempt of the same call (P2, P3, money rule 11).
    """
    provider = upstream.answer = Gate()
    provider.go_on.set()
    server = start(tmp_path, upstream, "2")
    user = gatewayz(server.home, "user", "create", "--email", "a@example.com", "--grant", "10")
    key = user["api_key"]
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=20) as client:
        file = client.post(
            "/v1/files", files={"file": jsonl(*many(30))}, data={"purpose": "batch"}
        ).json()
        body = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h"}
        provider.stop_after = 10
        batch = client.post("/v1/batches", json=body).json()
        place = f"/v1/batches/{batch['id']}"
        eventually(lambda: client.get(place).json()["request_counts"]["completed"] == 10)
    eventually(lambda: len(provider.asked) == 18)  # Eight are under way.
    workers = server.children("worker")
    os.kill(server.process.pid, signal.SIGKILL)
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    server.process.wait()
    provider.stop_after = None
    provider.go_on.set()
    again = start(tmp_path, upstream, "2")
    try:

        def told() -> dict[str, Any] | None:
            found: dict[str, Any] = again.get(key, place)
            return found if found["status"] == "completed" else None

        done = eventually(told, 60)
        assert done["request_counts"] == {"total": 30, "completed": 30, "failed": 0}
        asked = {text: provider.asked.count(text) for text in provider.asked}
        assert sum(asked.values()) == 38
        assert max(asked.values()) == 2
        text = httpx.get(
            f"{again.url}/v1/files/{done['output_file_id']}/content", headers=headers
        ).text
        assert len(text.splitlines()) == 30
        balance = again.get(key, "/user/balance")
        assert balance["held_nano_usd"] == 0
        assert balance["settled_nano_usd"] == 30 * (10 * 150 + 5 * 600)
        assert gatewayz(again.home, "ledger", "verify")["ok"]
    finally:
        again.stop()
