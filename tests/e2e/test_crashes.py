"""Whatever dies, every call ends settled, voided or expired, and the books are right (P2, P12)."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from event_store.locks import Lock
from event_store.postgres.embedded import EmbeddedPostgres
from tests.support.harness import (
    DONE,
    PROVIDERS,
    USAGE,
    USD,
    begin_stream,
    chunk,
    completion,
    eventually,
    reply,
    send_piece,
)
from tests.support.processes import Server, gatewayz

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    import psycopg

    from tests.support.harness import Request, ScriptedUpstream

QUICK = {
    "GATEWAYZ_CALL_DEADLINE_S": "2",
    "GATEWAYZ_HOLD_GRACE_S": "1",
    "GATEWAYZ_LEASE_S": "1",
    "GATEWAYZ_HEARTBEAT_S": "0.2",
    "GATEWAYZ_SWEEP_INTERVAL_S": "0.2",
    "GATEWAYZ_SHUTDOWN_GRACE_S": "1",
}
"""Short lives, so that a test can wait for them."""
STEPS = ["before hold", "after hold", "mid-stream", "after provider end", "before settle"]


class Stepper:
    """An upstream that stops where the test wants the gateway to die."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        upstream.answer = self.answer
        self.reached = threading.Event()
        self.go_on = threading.Event()
        self.step = ""

    def answer(self, connection: socket.socket, request: Request) -> str | None:
        if self.step == "after hold":
            self.reached.set()
            self.go_on.wait(20)
        if not request.body.get("stream"):
            reply(connection, completion())
            self.reached.set()
            return None
        begin_stream(connection)
        send_piece(connection, chunk({"content": "made"}))
        if self.step == "mid-stream":
            self.reached.set()
            self.go_on.wait(20)
        send_piece(connection, USAGE + DONE)
        connection.sendall(b"0\r\n\r\n")
        self.reached.set()
        return None


def waiting_for_the_lock(connection: psycopg.Connection[Any]) -> bool:
    """Whether an append waits for the lock that the test holds."""
    row = connection.execute(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = %s AND NOT granted",
        [Lock.APPEND],
    ).fetchone()
    return bool(row and row[0])


def start(tmp_path: Path, upstream: ScriptedUpstream, home: str = "home", **more: str) -> Server:
    """A server whose provider is the test's own; `more` are settings beside the short lives."""
    file = tmp_path / "providers.toml"
    file.write_text(PROVIDERS.format(base_url=upstream.base_url))
    environment = {"GATEWAYZ_PROVIDERS_FILE": str(file), **QUICK, **more}
    server = Server(tmp_path / home, environment=environment)
    server.await_health()
    return server


@pytest.mark.parametrize("step", STEPS)
def test_the_gateway_is_killed(tmp_path: Path, upstream: ScriptedUpstream, step: str) -> None:
    """kill -9 of supervisor and worker at each step of a call, restart, verify.

    The hold is visible until its life is over; then it expires, its estimated cost is house loss,
    and the customer has everything back. Nothing is charged without an outcome (P2, money rule 11).
    """
    stepper = Stepper(upstream)
    stepper.step = step
    server = start(tmp_path, upstream)
    user = gatewayz(server.home, "user", "create", "--email", "a@example.com", "--grant", "10")
    key = user["api_key"]
    stream = step in ("mid-stream", "before settle")

    def call() -> None:
        with pytest.raises(httpx.TransportError):
            server.chat(key, model="local/m", stream=stream)

    with EmbeddedPostgres(server.home).running() as database:
        locker = database.connect()
        if step == "before hold":
            # Warm the key cache, so that nothing but the hold is between the call and the lock.
            server.chat(key, model="none")
            locker.execute("SELECT pg_advisory_lock(%s)", [Lock.APPEND])
        client = threading.Thread(target=call)
        if step in ("after provider end", "before settle"):
            stepper.step = "after hold"
        client.start()
        if step == "before hold":
            eventually(lambda: waiting_for_the_lock(locker))
        elif step in ("after provider end", "before settle"):
            assert stepper.reached.wait(20)
            locker.execute("SELECT pg_advisory_lock(%s)", [Lock.APPEND])
            stepper.go_on.set()
            eventually(lambda: waiting_for_the_lock(locker))
        else:
            assert stepper.reached.wait(20)
            if step == "mid-stream":
                time.sleep(0.2)
        workers = server.children("worker")
        os.kill(server.process.pid, signal.SIGKILL)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        server.process.wait()
        client.join()
        stepper.go_on.set()
        locker.close()
    again = start(tmp_path, upstream)
    try:
        assert gatewayz(again.home, "ledger", "verify")["ok"]
        report = eventually(
            lambda: next(
                (r for r in [gatewayz(again.home, "ledger", "verify")] if r["open_holds"] == 0),
                None,
            )
        )
        assert report["ok"]
        assert report["settled_nano_usd"] in (0, 4_500)
        balance = again.get(key, "/user/balance")
        assert balance["held_nano_usd"] == 0
        assert balance["available_nano_usd"] == 10 * USD - report["settled_nano_usd"]
        stepper.step = ""
        assert again.chat(key, model="local/m").status_code == 200
    finally:
        again.stop()


def answers_again(statuses: list[int], before: int) -> bool:
    """Whether calls succeed once more, well after the kill."""
    return 200 in statuses[before + 50 :]


def test_postgres_is_killed_under_load(tmp_path: Path) -> None:
    """It is started again; a 200 is charged once, a 503 not at all (P2, P3, P12)."""
    with Server(tmp_path / "home", "--workers", "2") as server:
        user = gatewayz(server.home, "user", "create", "--email", "a@example.com", "--grant", "10")
        stop = threading.Event()
        statuses: list[int] = []

        def load() -> None:
            while not stop.is_set():
                got = server.chat(user["api_key"])
                statuses.append(got.status_code)
                if got.status_code == 503:
                    assert got.headers["retry-after"]
                    time.sleep(0.05)

        with ThreadPoolExecutor(8) as pool:
            futures = [pool.submit(load) for _ in range(8)]
            for _ in range(2):
                time.sleep(1.0)
                before = len(statuses)
                os.kill(server.postgres(), signal.SIGKILL)
                eventually(partial(answers_again, statuses, before), timeout_s=40)
            stop.set()
            for future in futures:
                future.result()
        assert set(statuses) <= {200, 503}
        report = eventually(
            lambda: next(
                (r for r in [gatewayz(server.home, "ledger", "verify")] if not r["open_holds"]),
                None,
            ),
            timeout_s=60,
        )
        assert report["ok"]
        # "Hello!" costs 2 tokens in and 1 out.
        assert report["settled_nano_usd"] == statuses.count(200) * (2 * 150 + 600)


def test_calls_in_flight_outlive_the_database(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    """A held call finishes without PostgreSQL; its settlement is spooled and appended later.

    Also when the process that spooled it is gone (P2, P12).
    """
    go_on = threading.Event()

    def answer(connection: socket.socket, _: Request) -> None:
        go_on.wait(30)
        reply(connection, completion())

    upstream.answer = answer
    # A call that meets the outage waits for the ledger; the held one has to outlive that wait.
    with start(tmp_path, upstream, GATEWAYZ_CALL_DEADLINE_S="30") as server:
        user = gatewayz(server.home, "user", "create", "--email", "a@example.com", "--grant", "10")
        key = user["api_key"]
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(server.chat, key, model="local/m")
            eventually(lambda: upstream.requests)
            # The supervisor would start it again: it is stopped for as long as the outage lasts.
            os.kill(server.process.pid, signal.SIGSTOP)
            try:
                server.kill_postgres()
                assert server.chat(key).status_code == 503
                go_on.set()
                assert call.result().status_code == 200
                assert len(list((server.home / "spool").rglob("*.json"))) == 1
                for worker in server.children("worker"):
                    os.kill(worker, signal.SIGKILL)
            finally:
                os.kill(server.process.pid, signal.SIGCONT)
        eventually(lambda: not list((server.home / "spool").rglob("*.json")), timeout_s=40)
        report = gatewayz(server.home, "ledger", "verify")
        assert (report["ok"], report["open_holds"]) == (True, 0)
        assert report["settled_nano_usd"] == 4_500


def test_a_live_stream_is_never_swept(tmp_path: Path) -> None:
    """Past its hold's life, under a sweeper that always looks: it settles (P2, money rule 11)."""
    lives = {"GATEWAYZ_CALL_DEADLINE_S": "30", "GATEWAYZ_LEASE_S": "10"}
    environment = {**QUICK, **lives}
    with Server(tmp_path / "home", environment=environment) as server:
        user = gatewayz(server.home, "user", "create", "--email", "a@example.com", "--grant", "10")
        with (
            EmbeddedPostgres(server.home).running() as database,
            database.connect() as connection,
            ThreadPoolExecutor(1) as pool,
        ):
            call = pool.submit(
                server.chat,
                user["api_key"],
                stream=True,
                simulator={"chunk_ms": 300, "output_tokens": 10},
            )
            # A hold is past its life long after its process has heard of it, never before.
            eventually(lambda: connection.execute("SELECT FROM open_hold").fetchall())
            time.sleep(0.3)
            eventually(
                lambda: connection.execute(
                    "UPDATE open_hold SET expires_at = clock_timestamp() RETURNING call_id"
                ).fetchone()
            )
            got = call.result()
        assert got.content.endswith(DONE)
        story = server.get(user["api_key"], f"/v1/calls/{got.headers['x-gatewayz-call-id']}")
        assert story["status"] == "settled"
        assert gatewayz(server.home, "ledger", "verify")["ok"]
