"""Realtime sessions whose process is killed: nothing stays held, and the books are right (P2)."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.command_api.realtime.provider import ask, call_of, until
from tests.support.harness import USD, eventually
from tests.support.processes import Server, gatewayz

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

QUICK = {
    "GATEWAYZ_CALL_DEADLINE_S": "1",
    "GATEWAYZ_HOLD_GRACE_S": "1",
    "GATEWAYZ_LEASE_S": "1",
    "GATEWAYZ_HEARTBEAT_S": "0.2",
    "GATEWAYZ_SWEEP_INTERVAL_S": "0.2",
}
"""Short lives, so that a test can wait for them."""
ESTABLISHED = "01"
SESSIONS = 16
"""So many that two workers have some each: that one has none of them is one in 65,536."""


def open_session(stack: ExitStack, server: Server, headers: dict[str, str]) -> ClientConnection:
    """A session of the simulator in which a response was made."""
    url = server.url.replace("http", "ws") + "/v1/realtime?model=simulator/talk"
    caller = stack.enter_context(connect(url, additional_headers=headers))
    ask(caller)
    until(caller, "response.done")
    return caller


def serving(server: Server, caller: ClientConnection) -> int:
    """The worker that has the other end of a caller's connection (proc(5), net/tcp)."""
    port = caller.socket.getsockname()[1]
    inodes = set[str]()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        here, there = (int(each.split(":")[1], 16) for each in fields[1:3])
        if (here, there, fields[3]) == (server.port, port, ESTABLISHED):
            inodes.add(f"socket:[{fields[9]}]")
    assert inodes, "the connection is not there"
    return next(
        worker
        for worker in server.children("worker")
        if inodes & {_link(each) for each in Path(f"/proc/{worker}/fd").iterdir()}
    )


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except FileNotFoundError:
        return ""


def ended(caller: ClientConnection) -> None:
    """The connection is lost."""
    with pytest.raises(ConnectionClosed):
        while True:
            caller.recv(20)


def story(server: Server, headers: dict[str, str], call: str) -> dict[str, Any]:
    """What the log tells of a call."""
    told: dict[str, Any] = httpx.get(
        f"{server.url}/v1/calls/{call}", headers=headers, timeout=20
    ).json()
    return told


def expired(server: Server, headers: dict[str, str], call: str) -> None:
    """Without an outcome the hold is released by its rule, and the customer has everything back."""
    eventually(lambda: story(server, headers, call).get("status") == "expired", 60)
    told = story(server, headers, call)
    assert told["settled_nano_usd"] == 0
    assert told["released_nano_usd"] == told["held_nano_usd"] > 0


def test_killed_sessions_leave_no_hold(tmp_path: Path) -> None:
    """kill -9 of the worker that serves a session: the others go on, with their sessions, and one
    of them expires its hold once that is over; a session that lasts longer than a hold's life keeps
    its own. Then kill -9 of the whole gateway: the next one does. What was reported and not settled
    dies with its process, so nothing is charged for it (P1, P2, money rule 11).
    """
    with (
        Server(tmp_path, "--workers", "2", environment=QUICK) as server,
        ExitStack() as stack,
    ):
        made = gatewayz(tmp_path, "user", "create", "--email", "a@example.com", "--grant", "10")
        headers = {"Authorization": f"Bearer {made['api_key']}"}
        doomed = open_session(stack, server, headers)
        worker = serving(server, doomed)
        others = [open_session(stack, server, headers) for _ in range(SESSIONS)]
        living, finished = [each for each in others if serving(server, each) != worker][:2]
        os.kill(worker, signal.SIGKILL)
        ended(doomed)
        expired(server, headers, call_of(doomed))
        ask(living)
        until(living, "response.done")
        assert story(server, headers, call_of(living))["status"] == "held"
        finished.close()
        eventually(lambda: story(server, headers, call_of(finished))["status"] == "settled")
        os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait(20)
        ended(living)
    with Server(tmp_path, environment=QUICK, port=server.port) as again:
        expired(again, headers, call_of(living))
        report = eventually(
            lambda: next(
                (r for r in [gatewayz(tmp_path, "ledger", "verify")] if r["open_holds"] == 0), None
            )
        )
        assert report["ok"]
        balance = httpx.get(f"{again.url}/user/balance", headers=headers, timeout=20).json()
        assert balance["held_nano_usd"] == 0
        assert balance["available_nano_usd"] == 10 * USD - report["settled_nano_usd"]
