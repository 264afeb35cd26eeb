"""`gatewayz up --demo`: from a registration by a code to both bonuses, whatever is killed."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from command_api.managers.table import LEASE_S
from tests.support.harness import USD, eventually
from tests.support.processes import TIMEOUT_S, Server, gatewayz

if TYPE_CHECKING:
    from pathlib import Path

CARD = "4242424242424242"


def ask(server: Server, method: str, path: str, key: str = "", **body: Any) -> dict[str, Any]:
    """One request of somebody."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    url, sent = f"{server.url}{path}", body or None
    got = httpx.request(method, url, headers=headers, json=sent, timeout=TIMEOUT_S)
    assert got.status_code == 200, got.text
    answer: dict[str, Any] = got.json()
    return answer


def granted(server: Server, key: str) -> int:
    """What was given in all; nothing while the read models trail."""
    headers = {"authorization": f"Bearer {key}"}
    got = httpx.get(f"{server.url}/user/balance", headers=headers, timeout=TIMEOUT_S)
    return int(got.json()["granted_nano_usd"]) if got.status_code == 200 else 0


@pytest.mark.timeout(600)
def test_who_brings_somebody_gets_a_bonus(tmp_path: Path) -> None:
    """One process and the embedded database; the background process is killed on the way, and
    what it left is done once (P2, P3, P8).
    """
    home = tmp_path / "home"
    with Server(home, "--demo") as server:
        ann = ask(server, "POST", "/auth/register", email="ann@example.com", username="ann")
        code = ask(server, "GET", "/referral/code", ann["api_key"])["referral_code"]
        came = {"email": "bob@example.com", "username": "bob", "referral_code": code}
        bob = ask(server, "POST", "/auth/register", **came)
        assert bob["referral"]["accepted"]
        keys = [each["api_key"] for each in (ann, bob)]
        made = ask(server, "POST", "/api/stripe/checkout-session", keys[1], package_id="starter")
        for pid in server.children("background"):
            os.kill(pid, signal.SIGKILL)
        paid = httpx.post(f"{made['url']}/pay", json={"card": CARD}, timeout=TIMEOUT_S)
        assert paid.status_code == 200
        eventually(lambda: granted(server, keys[1]) >= 10 * USD, TIMEOUT_S)
        for pid in server.children("background"):
            os.kill(pid, signal.SIGKILL)
        wanted = [10 * USD, 20 * USD]
        # What the dead process had begun is another's once its lease is over.
        eventually(lambda: [granted(server, each) for each in keys] == wanted, 2 * LEASE_S)
        stats = ask(server, "GET", "/referral/stats", keys[0])
        assert (stats["completed_bonuses"], stats["total_earned"]) == (1, 10)
        found = gatewayz(home, "managers", "list")
        assert {each["name"] for each in found["managers"]} == {"referrals", "reminders", "top_ups"}
        assert found["troubled"] == []
        gatewayz(home, "projections", "rebuild", "all")
        assert [granted(server, each) for each in keys] == wanted
        mails = home / "mail"
        eventually(
            lambda: sum("were added" in each.read_text() for each in mails.glob("*.eml")) == 2,
            TIMEOUT_S,
        )
    assert gatewayz(home, "ledger", "verify")["ok"]
