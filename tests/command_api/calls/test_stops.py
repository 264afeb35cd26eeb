"""Calls that the end of the process meets: one outcome, and the truth about it."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.support.harness import (
    DONE,
    begin_stream,
    chunk,
    eventually,
    running_gateway,
    send_piece,
)

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway, ScriptedUpstream

HELLO = chunk({"content": "Hello"})


def outcomes(gateway: RunningGateway) -> list[str]:
    """The ends of all holds, and what came after them."""
    with gateway.database.connect() as connection:
        return [
            row[0]
            for row in connection.execute(
                "SELECT topic FROM events WHERE topic IN ('ledger.hold_settled.v1', "
                "'ledger.hold_voided.v1', 'ledger.hold_expired.v1', 'ledger.house_loss_booked.v1') "
                "ORDER BY notification_id"
            )
        ]


@pytest.mark.parametrize("grace_s", [0, 1])
def test_a_stream_ends_openly_when_its_process_stops(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, grace_s: int
) -> None:
    """Past the grace: an error chunk, [DONE], one settlement (P2, money rule 4)."""
    begun = threading.Event()

    def endless(connection: socket.socket, _: Request) -> str:
        begin_stream(connection)
        for _piece in range(200):
            send_piece(connection, HELLO)
            begun.set()
            time.sleep(0.05)
        return "close"

    upstream.answer = endless
    with ThreadPoolExecutor(1) as pool:
        with running_gateway(
            database, tmp_path / "home", upstream, shutdown_grace_s=grace_s
        ) as gateway:
            user = gateway.user()
            answer = pool.submit(gateway.chat, user, {"stream": True})
            assert begun.wait(5)
        got = answer.result()
    assert b"Hello" in got.content
    assert got.content.endswith(DONE)
    assert b'"gateway_stopping"' in got.content
    assert b"What was made is charged" in got.content
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        eventually(lambda: gateway.open_holds() == 0)
        story = gateway.story(user, got)
        assert (story["status"], story["reason"]) == ("settled", "gateway_stopped")
        assert outcomes(gateway) == ["ledger.hold_settled.v1"]
        gateway.verified()


def test_what_had_no_output_when_the_process_stops_is_free_and_says_so(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Streamed or whole: 503, to be repeated, and a void (P2, money rule 4)."""
    asked = threading.Semaphore(0)

    def silent(_: socket.socket, __: Request) -> str:
        asked.release()
        time.sleep(4)
        return "close"

    upstream.answer = silent
    with ThreadPoolExecutor(2) as pool:
        with running_gateway(database, tmp_path / "home", upstream) as gateway:
            user = gateway.user()
            answers = [pool.submit(gateway.chat, user, {"stream": each}) for each in (True, False)]
            assert asked.acquire(timeout=5)
            assert asked.acquire(timeout=5)
        for answer in answers:
            got = answer.result()
            assert (got.status_code, got.headers["retry-after"]) == (503, "2")
            assert got.json()["error"]["code"] == "gateway_stopping"
            assert "Nothing was charged" in got.json()["error"]["message"]
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        eventually(lambda: gateway.open_holds() == 0)
        assert outcomes(gateway) == ["ledger.hold_voided.v1"] * 2
        gateway.verified()
