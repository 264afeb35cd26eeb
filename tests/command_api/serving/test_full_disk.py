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


UPLOADS: dict[str, tuple[dict[str, str], str]] = {
    "/v1/files": ({"purpose": "batch"}, "file"),
    "/v1/audio/transcriptions": ({"model": "simulator/listen"}, "file"),
    "/v1/images/edits": ({"model": "simulator/paint", "prompt": "x"}, "image"),
    "/v1/images/variations": ({"model": "simulator/paint"}, "image"),
}


def test_uploads_that_a_full_disk_does_not_take_are_refused_alone(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Before anything is held or stored; other calls go on, and so do uploads once there is room:
    what was begun gave its own back (P2, rule: refuse clearly).
    """
    with (
        small_disk(tmp_path / "uploads", 256) as uploads,
        running_gateway(database, tmp_path / "home", upstream, upload_dir=uploads) as gateway,
    ):
        upstream.answer = lambda connection, _: reply(connection, completion())
        user = gateway.user()
        # Some have begun to write when the disk is full, and others find it full.
        for filled in (False, True):
            filler = fill_up(uploads) if filled else None
            for path, (fields, name) in UPLOADS.items():
                for _ in range(3):
                    content = {name: ("x.wav", bytes(2**20), "audio/wav")}
                    with gateway.client(user) as client:
                        got = client.post(path, data=fields, files=content)
                    assert (got.status_code, got.json()["error"]["code"]) == (
                        503,
                        "too_many_bodies",
                    )
                    assert got.headers["retry-after"]
            assert gateway.chat(user, {}).status_code == 200
            if filler is not None:
                filler.unlink()
        with gateway.client(user) as client:
            lines = {"file": ("x.jsonl", b"{}\n")}
            assert client.post("/v1/files", data=UPLOADS["/v1/files"][0], files=lines).is_success
            assert len(client.get("/v1/files").json()["data"]) == 1
        assert gateway.open_holds() == 0
        assert gateway.verified().settled_nano_usd == 2 * 4_500
