"""`gatewayz up --demo`: credits are bought on a fresh machine, whatever is killed in between."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.harness import USD, eventually
from tests.support.processes import TIMEOUT_S, Server, gatewayz

if TYPE_CHECKING:
    from pathlib import Path

CARD = "4242424242424242"


def checkout(server: Server, key: str, idempotency_key: str = "") -> dict[str, Any]:
    """A session for a starter package."""
    headers = {"authorization": f"Bearer {key}"}
    if idempotency_key:
        headers["idempotency-key"] = idempotency_key
    url = f"{server.url}/api/stripe/checkout-session"
    got = httpx.post(url, json={"package_id": "starter"}, headers=headers, timeout=TIMEOUT_S)
    assert got.status_code == 200, got.text
    made: dict[str, Any] = got.json()
    return made


def pay(made: dict[str, Any], card: str = CARD) -> httpx.Response:
    """Pay on a session's page."""
    return httpx.post(f"{made['url']}/pay", json={"card": card}, timeout=TIMEOUT_S)


def granted(server: Server, key: str) -> int:
    """What was given to a key's account in all; nothing while the read models trail."""
    got = httpx.get(
        f"{server.url}/user/balance",
        headers={"authorization": f"Bearer {key}"},
        timeout=TIMEOUT_S,
    )
    return int(got.json()["granted_nano_usd"]) if got.status_code == 200 else 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_credits_are_bought_as_the_start_says(tmp_path: Path) -> None:
    """Pasted, the commands buy credits; a start without it takes none (rule: two commands)."""
    home = tmp_path / "home"
    with Server(home, "--demo") as server:
        key = server.key()
        text = eventually(lambda: "Demo payments" in server.text() and server.text())
        after = text.split("Demo payments")[1]
        first, second = re.findall(r"^  (curl (?:[^\n\\]|\\\n)*)", after, re.MULTILINE)
        known = {**os.environ, "GATEWAYZ_API_KEY": key}

        def pasted(command: str) -> dict[str, Any]:
            done = subprocess.run(
                ["bash", "-c", command.replace("curl ", "curl -s ", 1)],
                env=known,
                capture_output=True,
                check=True,
                timeout=TIMEOUT_S,
            )
            answer: dict[str, Any] = json.loads(done.stdout)
            return answer

        made = pasted(first)
        assert "?" not in made["url"]
        declined = pay(made, "4000000000000002")
        assert declined.status_code == 402
        known["URL"] = made["url"]
        assert pasted(second)["status"] == "complete"
        eventually(lambda: granted(server, key) == 20 * USD)
        assert gatewayz(home, "reconcile", "stripe")["matched"] == 1
    with Server(home) as plain:
        headers = {"authorization": f"Bearer {key}"}
        body = {"package_id": "starter"}
        url = f"{plain.url}/api/stripe/checkout-session"
        assert httpx.post(url, json=body, headers=headers).json()["code"] == "payments_off"
        assert granted(plain, key) == 20 * USD
    assert gatewayz(home, "ledger", "verify")["ok"]


def test_killed_at_each_step_of_a_purchase(tmp_path: Path) -> None:
    """`kill -9` of everything before and after each: credits once, books that match (P2, P3)."""
    home = tmp_path / "home"
    server = Server(home, "--demo")
    server.await_health()
    key = server.key()

    def killed() -> Server:
        children = [
            pid for kind in ("worker", "background", "double") for pid in server.children(kind)
        ]
        for pid in (server.process.pid, *children):
            os.kill(pid, signal.SIGKILL)
        server.process.wait(TIMEOUT_S)
        again = Server(home, "--demo", port=server.port)
        again.await_health()
        return again

    try:
        began = checkout(server, key, "k-1")
        server = killed()  # After it was begun: asked again, it is the same, on the same page.
        again = checkout(server, key, "k-1")
        assert (again["session_id"], again["url"]) == (began["session_id"], began["url"])
        assert pay(began).status_code == 200
        server = killed()  # After it was paid: the webhook comes, or is asked for.
        eventually(lambda: granted(server, key) == 20 * USD, TIMEOUT_S)
        server = killed()  # After the credits were given.
        made = checkout(server, key)
        for pid in server.children("background"):
            os.kill(pid, signal.SIGKILL)
        assert pay(made).status_code == 200
        eventually(lambda: granted(server, key) == 30 * USD, TIMEOUT_S)
        for pid in server.children("double"):
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: httpx.get(made["url"], timeout=TIMEOUT_S).status_code == 200)
        found = gatewayz(home, "reconcile", "stripe", "--poll")
        assert (found["ok"], found["matched"]) == (True, 2)
        assert granted(server, key) == 30 * USD
        assert server.stop() == 0
        assert gatewayz(home, "ledger", "verify")["ok"]
    finally:
        server.stop(signal.SIGKILL)
