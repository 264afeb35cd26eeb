"""A gateway whose home lies on a full disk, and whose ledger is away: a paid call is answered."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.harness import completion, eventually, reply, running_gateway
from tests.support.outages import away
from tests.support.small_disk import fill_up, small_disk

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request, ScriptedUpstream

CALLS = 4


@pytest.mark.parametrize("reserved", [8, 0])
def test_a_paid_call_is_answered_on_a_full_disk(
    database: Database, server: Database, tmp_path: Path, upstream: ScriptedUpstream, reserved: int
) -> None:
    """Its outcome is kept in the reserve, or in memory, and charged once (P2, P3, P12)."""
    go_on = threading.Event()

    def answer(connection: socket.socket, _: Request) -> None:
        go_on.wait(60)
        reply(connection, completion())

    upstream.answer = answer
    with (
        small_disk(tmp_path / "home", 256) as home,
        running_gateway(database, home, upstream, spool_reserve_files=reserved) as gateway,
        ThreadPoolExecutor(CALLS) as pool,
    ):
        user = gateway.user()
        calls = [pool.submit(gateway.chat, user, {}) for _ in range(CALLS)]
        eventually(lambda: len(upstream.requests) == CALLS)  # Each has its hold by now.
        fill_up(home)
        with away(database, server):
            go_on.set()
            assert [call.result().status_code for call in calls] == [200] * CALLS
        eventually(lambda: gateway.open_holds() == 0)
        assert gateway.verified().settled_nano_usd == CALLS * 4_500
        assert not list((home / "spool").rglob("*.json"))
