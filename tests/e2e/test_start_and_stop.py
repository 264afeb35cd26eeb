"""`gatewayz up` and the command line, as a person meets them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from projections.all import PROJECTIONS
from tests.support.harness import eventually
from tests.support.processes import Server, alive, gatewayz

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_first_start_prints_a_command_that_works(tmp_path: Path) -> None:
    """Pasted, it answers; later starts grant nothing (money rule 10, rule: two commands)."""
    home = tmp_path / "home"
    with Server(home) as server:
        assert time.monotonic() - server.began < 60
        text = server.text()
        assert f"{server.url}/v1" in text
        command = re.search(r"^  curl .*?\}'$", text, re.MULTILINE | re.DOTALL)
        assert command, text
        pasted = subprocess.run(
            ["bash", "-c", f"curl -s {command[0].strip()[5:]}"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert '"content":"Hello!"' in pasted
        key = server.key()
        balance = server.get(key, "/user/balance")
        assert balance["status"] == "trial"
        assert balance["granted_nano_usd"] == 10_000_000_000
        assert server.stop(signal.SIGINT) == 0
    assert not (home / "postgres/data/postmaster.pid").exists()
    with Server(home) as again:
        assert again.text().count("API key") == 1
        assert "gatewayz user create" in again.text()
        assert again.get(key, "/user/balance")["granted_nano_usd"] == 10_000_000_000
    assert gatewayz(home, "ledger", "verify")["ok"]


def test_a_user_has_exactly_what_was_granted(tmp_path: Path) -> None:
    """0 when absent, never a trial, with a server running or not (money rule 8, rule: contract)."""
    home = tmp_path / "home"
    before = gatewayz(home, "user", "create", "--email", "a@example.com", "--grant", "0.5")
    with Server(home) as server:
        beside = gatewayz(home, "user", "create", "--email", "b@example.com")
        assert server.get(before["api_key"], "/user/balance")["available_nano_usd"] == 500_000_000
        empty = server.get(beside["api_key"], "/user/balance")
        assert (empty["available_nano_usd"], empty["status"]) == (0, "active")
        assert server.chat(beside["api_key"]).status_code == 402
        for _ in range(2):
            gatewayz(home, "grant", "b@example.com", "2", "--idempotency-key", "once")
        assert server.get(beside["api_key"], "/user/balance")["credits"] == 2.0
        assert server.chat(beside["api_key"]).status_code == 200
        second = gatewayz(home, "key", "create", "--user", beside["user_id"], "--name", "ci")
        assert server.chat(second["api_key"]).status_code == 200
        gatewayz(home, "key", "revoke", second["key_id"])
        eventually(lambda: server.chat(second["api_key"]).status_code == 401)
        assert server.chat(beside["api_key"]).status_code == 200
        assert gatewayz(home, "ledger", "verify")["ok"]


def test_mistakes_are_told_in_a_line(tmp_path: Path) -> None:
    """Exit 1 and what to do, never a traceback (rule: refuse clearly)."""
    home = tmp_path / "home"
    gatewayz(home, "user", "create", "--email", "a@example.com")
    wrong = [
        ("user", "create", "--email", "a@example.com"),
        ("user", "create", "--email", "nonsense"),
        ("user", "create", "--email", "c@example.com", "--grant", "-1"),
        ("user", "create", "--email", "d@example.com", "--grant", "0.0000000001"),
        ("grant", "nobody@example.com", "1"),
        ("grant", "a@example.com", "0"),
        ("grant", "a@example.com", "1", "--expires-at", "2027-01-01"),
        ("key", "revoke", "nonsense"),
        ("ledger", "replay", "--stream", "nonsense"),
    ]
    for arguments in wrong:
        said = gatewayz(home, *arguments, status=1)
        assert said.startswith("gatewayz: "), said
        assert "Traceback" not in said
    assert "does not exist" in gatewayz(
        home, "up", status=1, GATEWAYZ_PROVIDERS_FILE="/nowhere.toml"
    )
    assert "cannot be read" in gatewayz(
        home, "up", status=1, GATEWAYZ_GUARDRAILS_FILE="/nowhere.toml"
    )
    assert "GATEWAYZ_PORT" in gatewayz(home, "up", status=1, GATEWAYZ_PORT="x")


def test_replay_prints_the_log_and_its_balances(tmp_path: Path) -> None:
    """As of a position, and one stream alone (P6)."""
    home = tmp_path / "home"
    user = gatewayz(home, "user", "create", "--email", "a@example.com", "--grant", "3")
    gatewayz(home, "grant", "a@example.com", "2")
    assert gatewayz(home, "ledger", "replay")["balance"]["granted_nano_usd"] == 5_000_000_000
    then = gatewayz(home, "ledger", "replay", "--to", "3")
    assert then["balance"]["granted_nano_usd"] == 3_000_000_000
    stream = f"user-{user['user_id']}"
    shown = gatewayz(home, "ledger", "replay", "--stream", stream)
    assert shown["balance"]["account_id"] == user["account_id"]


def test_read_models_are_listed_rebuilt_and_verified_beside_calls(tmp_path: Path) -> None:
    """From the command line, while the server serves (P8, rule: refuse clearly)."""
    home = tmp_path / "home"
    with Server(home) as server:
        key = server.key()
        for _ in range(5):
            assert server.chat(key).status_code == 200
        before = server.get(key, "/user/balance")
        listed = gatewayz(home, "projections", "list")
        assert {"name", "version", "position", "lag_events"} <= set(listed[0])
        assert len(listed) == len(PROJECTIONS)
        assert gatewayz(home, "projections", "rebuild", "account_balances")["version"] == 2
        assert gatewayz(home, "projections", "rebuild", "all")["version"] == 2
        assert server.get(key, "/user/balance") == before
        assert server.chat(key).status_code == 200
        assert server.get(key, "/user/balance")["settled_nano_usd"] > before["settled_nano_usd"]
        report = gatewayz(home, "projections", "verify")
        assert report["ok"]
        assert all(t["live"] == t["rebuilt"] for p in report["projections"] for t in p["tables"])
        versions = {each["name"]: each["version"] for each in gatewayz(home, "projections", "list")}
        assert versions["account_balances"] == 3
    for wrong in (("rebuild", "nothing"), ("assign", "journal", "somebody")):
        error = gatewayz(home, "projections", *wrong, status=1)
        assert error.startswith("gatewayz: ")
        assert error.count("\n") == 1


def test_verify_names_a_difference(tmp_path: Path) -> None:
    """Exit 1 with the account, when a derived table was tampered with (P8)."""
    from event_store.postgres.embedded import EmbeddedPostgres

    home = tmp_path / "home"
    user = gatewayz(home, "user", "create", "--email", "a@example.com", "--grant", "3")
    with EmbeddedPostgres(home).running() as database, database.connect() as connection:
        connection.execute("UPDATE credit_account SET available = 1, granted = 1")
    report = gatewayz(home, "ledger", "verify", status=1)
    assert not report["ok"]
    assert user["account_id"] in report["differences"][0]


def test_one_server_a_home_and_a_port(tmp_path: Path) -> None:
    """The second start says so, and leaves the first alone (rule: refuse clearly)."""
    with Server(tmp_path / "home") as server:
        assert "runs already" in gatewayz(server.home, "up", status=1)
        other = tmp_path / "other"
        said = gatewayz(other, "up", "--port", str(server.port), status=1)
        assert "--port" in said
        assert server.chat(server.key()).status_code == 200


def test_a_killed_supervisor_leaves_nothing_that_hinders_the_next(tmp_path: Path) -> None:
    """kill -9: its children end by themselves, its database is adopted (rule: two commands)."""
    server = Server(tmp_path / "home")
    server.await_health()
    key = server.key()
    children = server.children("worker") + server.children("background")
    assert len(children) == 2
    postgres = server.postgres()
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    with Server(server.home, port=server.port) as again:
        # An orphan may still have answered the first look at /health.
        eventually(lambda: not any(alive(pid) for pid in children))
        eventually(lambda: len(again.children("worker")) == 1)
        assert again.postgres() == postgres
        assert again.chat(key).status_code == 200
    assert not alive(postgres)


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    """With two workers the port stays open all the while (rule: two commands)."""
    with Server(tmp_path / "home", "--workers", "2") as server:
        key = server.key()
        os.kill(server.children("worker")[0], signal.SIGKILL)
        eventually(lambda: len(server.children("worker")) == 2)
        assert server.chat(key).status_code == 200


def test_the_secret_of_a_home_is_rotated_and_a_wrong_one_does_not_serve(tmp_path: Path) -> None:
    """As the page tells it: stop, rotate, start; the old key calls (P5, rule: refuse clearly)."""
    home = tmp_path / "home"
    with Server(home) as server:
        key = server.key()
        assert "stop all gateways" in gatewayz(home, "secrets", "rotate", status=1)
    before = gatewayz(home, "secrets", "show")
    assert before["matches"]
    after = gatewayz(home, "secrets", "rotate")
    assert after["users"] == 1
    assert gatewayz(home, "secrets", "show")["fingerprint"] == after["fingerprint"]
    with Server(home, port=server.port) as server:
        assert server.chat(key).status_code == 200
        assert gatewayz(home, "user", "create", "--email", "b@example.com")["api_key"]
    wrong = "not the secret of this home"
    for verb in (("up", "--port", "0"), ("user", "create", "--email", "c@example.com")):
        said = gatewayz(home, *verb, status=1, GATEWAYZ_SECRET_KEY=wrong)
        assert "is not that of this database" in said
        assert said.count("\n") == 1
        assert wrong not in said
    assert not gatewayz(home, "secrets", "show", status=1, GATEWAYZ_SECRET_KEY=wrong)["matches"]
    (home / "secret.key").rename(tmp_path / "lost")
    assert "is missing" in gatewayz(home, "up", "--port", "0", status=1)
    assert not (home / "secret.key").exists()
    assert gatewayz(home, "ledger", "verify")["ok"]
