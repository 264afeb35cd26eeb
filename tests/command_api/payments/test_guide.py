"""The guide to a first payment, as somebody pastes it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import textwrap
from typing import TYPE_CHECKING, Any

from tests.support.harness import TIMEOUT_S, USD, eventually
from tests.support.packages import ROOT
from tests.support.payments import shop

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

GUIDE = ROOT / "docs/guides/first-payment.md"
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)
RETURN = "http://127.0.0.1:8000/"


def test_the_guide_does_what_it_says(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Each block of it, one after the other; credits are there at its end (rule: docs)."""
    with shop(database, tmp_path / "home", upstream, payment_return_url=RETURN) as store:
        user = store.gateway.user(0)
        known = {**os.environ, "GATEWAYZ_API_KEY": user.api_key}
        blocks = [textwrap.dedent("   " + each) for each in BLOCK.findall(GUIDE.read_text())]
        assert len(blocks) == 4

        def pasted(block: str) -> dict[str, Any]:
            text = block.replace("http://127.0.0.1:8000", store.gateway.url)
            done = subprocess.run(
                ["bash", "-c", text], env=known, capture_output=True, check=True, timeout=TIMEOUT_S
            )
            answer: dict[str, Any] = json.loads(done.stdout)
            return answer

        known["URL"] = pasted(blocks[0])["url"]
        assert pasted(blocks[1])["error"]["code"] == "card_declined"
        assert pasted(blocks[2])["redirect"].startswith(RETURN)
        eventually(lambda: store.granted(user) == 10 * USD)
        (payment,) = pasted(blocks[3])["payments"]
        assert payment["status"] == "completed"
