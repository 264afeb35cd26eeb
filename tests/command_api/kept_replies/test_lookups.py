"""Look-ups whose database does not answer: an answered call does not wait for its data key."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from command_api.kept_replies import lookups as module
from command_api.kept_replies.lookups import Lookups
from tests.support.harness import DONE, USAGE, chunk, eventually, reply, running_gateway, stream
from tests.support.harness import completion as completed

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway, ScriptedUpstream

SLACK_S = 2.5
"""What a machine that does other things may take besides."""
CALLS = 6


def settled(gateway: RunningGateway) -> int:
    """Calls that were charged."""
    with gateway.database.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM events WHERE topic = 'ledger.hold_settled.v1'"
        ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("streamed", [False, True])
def test_answered_calls_do_not_wait_for_data_keys_one_after_the_other(
    gateway: RunningGateway, upstream: ScriptedUpstream, database: Database, streamed: bool
) -> None:
    """Together: charged about a second after the answer, without the reply (P2, P3)."""
    upstream.answer = lambda connection, _: (
        stream(connection, chunk({"content": "x"}), USAGE, DONE)
        if streamed
        else reply(connection, completed())
    )
    users = [gateway.user() for _ in range(CALLS // 2)] * 2
    with database.connect_as_owner() as locker, locker.transaction():
        locker.execute("LOCK TABLE user_secret IN ACCESS EXCLUSIVE MODE")

        def ask(number: int) -> float:
            began = time.monotonic()
            key = {"Idempotency-Key": f"order-{number}"}
            assert gateway.chat(users[number], {"stream": streamed}, **key).status_code == 200
            return time.monotonic() - began

        with ThreadPoolExecutor(CALLS) as pool:
            took = list(pool.map(ask, range(CALLS)))
        assert settled(gateway) == CALLS
    assert max(took) < module.DATA_KEY_WAIT_S + SLACK_S
    again = gateway.chat(users[0], {"stream": streamed}, **{"Idempotency-Key": "order-0"})
    assert again.status_code == 409
    assert gateway.verified().open_holds == 0


def test_the_data_key_is_there_when_the_provider_answers(
    gateway: RunningGateway, upstream: ScriptedUpstream, database: Database
) -> None:
    """It is asked for while the provider works: what comes afterwards takes no reply away (P3)."""
    go_on = threading.Event()

    def answer(connection: socket.socket, _: Request) -> None:
        assert go_on.wait(20)
        reply(connection, completed())

    upstream.answer = answer
    user = gateway.user()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(gateway.chat, user, {}, **{"Idempotency-Key": "order-1"})
        eventually(lambda: upstream.requests)
        time.sleep(1)
        with database.connect_as_owner() as locker, locker.transaction():
            locker.execute("LOCK TABLE user_secret IN ACCESS EXCLUSIVE MODE")
            go_on.set()
            first = call.result()
    assert first.status_code == 200
    again = gateway.chat(user, {}, **{"Idempotency-Key": "order-1"})
    assert (again.status_code, again.content) == (200, first.content)


def test_a_stop_after_the_answer_charges_the_call(
    database: Database,
    tmp_path: Path,
    upstream: ScriptedUpstream,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A provider was paid: what it answered is settled, and not voided (P2, money rule 4)."""
    monkeypatch.setattr(module, "DATA_KEY_WAIT_S", 30.0, raising=False)
    monkeypatch.setattr(module, "LOOKUP_TIMEOUT_S", 6.0)
    with (
        ThreadPoolExecutor(1) as pool,
        running_gateway(database, tmp_path / "home", upstream) as gateway,
        database.connect_as_owner() as locker,
        locker.transaction(),
    ):
        user = gateway.user()
        locker.execute("LOCK TABLE user_secret IN ACCESS EXCLUSIVE MODE")
        call = pool.submit(gateway.chat, user, {}, **{"Idempotency-Key": "order-1"})
        eventually(lambda: upstream.requests)
        time.sleep(0.5)
        gateway.stop()
        got = call.result()
    assert got.status_code in (200, 503)
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        eventually(lambda: gateway.open_holds() == 0)
        story = gateway.story(user, got)
        assert (story["status"], story["reason"]) == ("settled", "gateway_stopped")
        assert [each["status"] for each in story["attempts"]] == [200]
        gateway.verified()


def test_a_pooled_connection_that_stands_still_is_given_up(database: Database) -> None:
    """Nothing waits for its word, and another takes over in the time of a look-up (P12)."""

    async def run() -> float:
        lookups = Lookups(database)
        row = await lookups.fetch("SELECT pg_backend_pid()", [])
        assert row is not None
        os.kill(row[0], signal.SIGSTOP)
        began = time.monotonic()
        try:
            other = await lookups.fetch("SELECT pg_backend_pid()", [])
            assert other is not None
            assert other != row
            return time.monotonic() - began
        finally:
            os.kill(row[0], signal.SIGCONT)
            await lookups.close()

    assert asyncio.run(run()) < module.LOOKUP_TIMEOUT_S + SLACK_S


def test_a_look_up_whose_server_stands_still_has_an_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its time, and not when the server has heard of it (P12)."""
    monkeypatch.setattr(module, "LOOKUP_TIMEOUT_S", 2.0)

    async def run() -> float:
        lookups = Lookups(database)
        loop = asyncio.get_running_loop()
        row = await lookups.fetch("SELECT pg_backend_pid()", [])
        assert row is not None
        loop.call_later(0.5, os.kill, row[0], signal.SIGSTOP)
        began = time.monotonic()
        try:
            with pytest.raises(psycopg.OperationalError):
                await lookups.fetch("SELECT pg_sleep(60)", [])
            return time.monotonic() - began
        finally:
            os.kill(row[0], signal.SIGCONT)
            await lookups.close()

    assert asyncio.run(run()) < 2.0 + SLACK_S
