"""The guide to a first organisation, as somebody pastes it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import textwrap
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.harness import ASK, TIMEOUT_S, running_gateway
from tests.support.packages import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

GUIDE = ROOT / "docs/guides/first-organisation.md"
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)


def test_the_guide_does_what_it_says(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Each block of it, one after the other; the key at its end calls (rule: docs)."""
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        owner = gateway.user(0)
        known = {**os.environ, "GATEWAYZ_API_KEY": owner.api_key}
        blocks = [textwrap.dedent("   " + each) for each in BLOCK.findall(GUIDE.read_text())]
        assert len(blocks) == 4

        def pasted(block: str) -> dict[str, Any]:
            text = block.replace("http://127.0.0.1:8000", gateway.url)
            done = subprocess.run(
                ["bash", "-c", text], env=known, capture_output=True, check=True, timeout=TIMEOUT_S
            )
            answer: dict[str, Any] = json.loads(done.stdout)
            return answer

        made = pasted(blocks[0])
        known["ORGANISATION"] = made["id"]
        assert pasted(blocks[1])["role"] == "developer"
        known["PROJECT"] = pasted(blocks[2])["id"]
        key = pasted(blocks[3])["api_key"]
        headers = {"authorization": f"Bearer {key}"}
        with httpx.Client(base_url=gateway.url, headers=headers, timeout=TIMEOUT_S) as client:
            assert client.post("/v1/chat/completions", json=ASK).status_code == 402
            assert client.get("/user/balance").json()["available_nano_usd"] == 0
