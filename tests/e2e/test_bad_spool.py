"""Whatever lies in the spool, the background process goes on, and so do the read models (P2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from event_store.append.outcome_files import quarantined
from event_store.ids import new_uuid7
from tests.support import entries
from tests.support.harness import USD, eventually
from tests.support.processes import Server, gatewayz

if TYPE_CHECKING:
    from pathlib import Path

QUICK = {"GATEWAYZ_SWEEP_INTERVAL_S": "0.2", "GATEWAYZ_SPOOL_RESERVE_FILES": "8"}


def test_a_bad_spool_stops_nothing(tmp_path: Path) -> None:
    """Torn, hidden, foreign, broken: put aside or passed over, under the same process (P2, P7)."""
    with Server(tmp_path / "home", environment=QUICK) as server:
        user = gatewayz(server.home, "user", "create", "--email", "a@example.com", "--grant", "10")
        (background,) = server.children("background")
        call, account = new_uuid7(), new_uuid7()
        broken = msgspec.structs.replace(entries.settle(call, account, 5), state=b'{"id":"x')
        dead = server.home / "spool" / str(new_uuid7())
        dead.mkdir(parents=True)
        (dead / f"{new_uuid7()}-3.json").write_bytes(b'{"kind":3,"str')
        (dead / f".{new_uuid7()}-3.json").write_bytes(b"{")
        (dead / f"{call}-3.json").write_bytes(msgspec.json.encode(broken))
        (dead / "notes.json").write_bytes(b"?")
        (server.home / "spool" / "somebody").mkdir()
        (server.home / "spool" / "somebody" / f"{new_uuid7()}-3.json").write_bytes(b"?")
        eventually(lambda: len(quarantined(server.home)) == 2)
        assert server.chat(user["api_key"]).status_code == 200
        eventually(
            lambda: (
                server.get(user["api_key"], "/user/balance")["available_nano_usd"] == 10 * USD - 900
            )
        )
        assert server.children("background") == [background]
    assert "is in quarantine" in server.text()
    assert "met a defect" not in server.text()
