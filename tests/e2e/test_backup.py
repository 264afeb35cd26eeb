"""Back up and restore, as the page tells to."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from event_store.postgres.embedded import EmbeddedPostgres
from tests.support.packages import ROOT
from tests.support.processes import PROGRAM, gatewayz

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/operating/backup.md").read_text(), re.DOTALL)


@pytest.mark.timeout(300)
def test_what_was_backed_up_is_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's two blocks: the same log, the same balances, the same keys (P2, rule: docs)."""
    monkeypatch.delenv("GATEWAYZ_DATABASE_URL", raising=False)
    home, new, backup = tmp_path / "home", tmp_path / "new", tmp_path / "backup"
    backup.mkdir()
    user = gatewayz(home, "user", "create", "--email", "a@example.com", "--grant", "3")
    environment = {
        **os.environ,
        "PATH": f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}",
        "BACKUP": str(backup),
        "NEW": str(new),
    }

    def pasted(block: str, **more: str) -> str:
        done = subprocess.run(
            ["bash", "-e", "-c", block],
            cwd=ROOT,
            env={**environment, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
        return done.stdout

    assert len(BLOCKS) == 2
    with EmbeddedPostgres(home).running():
        pasted(BLOCKS[0], GATEWAYZ_HOME=str(home))
        before = gatewayz(home, "ledger", "verify")
    (home / "postgres").rename(tmp_path / "lost")
    said = pasted(BLOCKS[1])
    assert "the books are right" in said
    after = gatewayz(new, "ledger", "verify")
    assert after == before
    assert gatewayz(new, "secrets", "show")["matches"] is True
    key = gatewayz(new, "key", "revoke", user["api_key"])
    assert key == {"key_id": user["key_id"], "status": "revoked"}
