"""A start that is told to stop, or is killed, at any of its moments; and the start after it."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.harness import eventually
from tests.support.processes import Server, alive, gatewayz

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STOP_S = 20.0
MOMENTS: dict[str, Callable[[Server], object]] = {
    "the home is made": lambda server: (server.home / "server.lock").exists(),
    "initdb works": lambda server: list(server.home.glob("postgres/data.*/base")),
    "the data is there": lambda server: (server.home / "postgres/data").exists(),
    "PostgreSQL starts": lambda server: (server.home / "postgres/data/postmaster.pid").exists(),
    "it migrates": lambda server: (server.home / "postgres/ready").exists(),
    "a worker starts": lambda server: server.children("worker"),
}
"""What can be seen from outside, in the order of a first start."""


def begun(home: Path, moment: str) -> Server:
    """A server that starts, at this moment of it."""
    server = Server(home, environment={"GATEWAYZ_LOG_LEVEL": "info"})
    eventually(lambda: MOMENTS[moment](server) or server.process.poll() is not None, STOP_S)
    return server


def postmaster(home: Path) -> int | None:
    """The database server that a home has, if any."""
    try:
        pid = int((home / "postgres/data/postmaster.pid").read_text().split()[0])
    except (FileNotFoundError, IndexError):
        return None
    return pid if alive(pid) else None


@pytest.mark.timeout(600)
def test_sigterm_ends_a_start_at_any_moment(tmp_path: Path) -> None:
    """At once, without a traceback or a server left behind; the next start goes on
    (rule: two commands).
    """
    home = tmp_path / "home"
    for moment in MOMENTS:
        server = begun(home, moment)
        told = time.monotonic()
        assert server.stop(signal.SIGTERM) == 0, (moment, server.text())
        assert time.monotonic() - told < STOP_S, moment
        assert "Traceback" not in server.text(), moment
        assert postmaster(home) is None, moment
        assert not list(home.glob("postgres/data.*")), moment
    with Server(home) as server:
        assert server.chat(server.key()).status_code == 200
    assert gatewayz(home, "ledger", "verify")["ok"]


@pytest.mark.timeout(600)
def test_a_start_after_a_kill_at_any_moment_succeeds(tmp_path: Path) -> None:
    """kill -9 of the supervisor, and a start in the moment after (rule: two commands)."""
    home = tmp_path / "home"
    for moment in MOMENTS:
        server = begun(home, moment)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
    with Server(home) as server:
        assert server.chat(server.key()).status_code == 200
        assert len(server.children("worker")) == 1
    assert gatewayz(home, "ledger", "verify")["ok"]
    assert postmaster(home) is None


def test_a_start_after_everything_was_killed_succeeds(tmp_path: Path) -> None:
    """Supervisor, workers and database at once, as when a container is (rule: two commands)."""
    server = Server(tmp_path / "home")
    server.await_health()
    key = server.key()
    dead = [server.process.pid, *server.children("worker"), *server.children("background")]
    for pid in [*dead, server.postgres()]:
        os.kill(pid, signal.SIGKILL)
    server.process.wait()
    with Server(server.home, port=server.port) as again:
        assert again.chat(key).status_code == 200
