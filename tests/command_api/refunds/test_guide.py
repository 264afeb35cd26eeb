"""The guide to refunds, as somebody pastes it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import textwrap
from typing import TYPE_CHECKING, Any

from tests.support.admins import new_admin
from tests.support.harness import TIMEOUT_S
from tests.support.packages import ROOT
from tests.support.payments import shop

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

GUIDE = ROOT / "docs/guides/refund-a-payment.md"
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)


def test_the_guide_does_what_it_says(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Each block of it, one after the other; the credits are gone at its end (rule: docs)."""
    with shop(database, tmp_path / "home", upstream) as store:
        user, admin = store.gateway.user(0), new_admin(store.gateway)
        store.bought(user)
        keys = {"GATEWAYZ_API_KEY": user.api_key, "GATEWAYZ_ADMIN_KEY": admin.api_key}
        known = {**os.environ, **keys}
        blocks = [textwrap.dedent("   " + each) for each in BLOCK.findall(GUIDE.read_text())]
        assert len(blocks) == 4

        def pasted(block: str) -> dict[str, Any]:
            text = block.replace("http://127.0.0.1:8000", store.gateway.url)
            done = subprocess.run(
                ["bash", "-c", text], env=known, capture_output=True, check=True, timeout=TIMEOUT_S
            )
            answer: dict[str, Any] = json.loads(done.stdout)
            return answer

        (payment,) = pasted(blocks[0])["payments"]
        known["INTENT"] = payment["stripe_payment_intent_id"]
        assert pasted(blocks[1])["amount"] == 300
        assert pasted(blocks[2])["amount"] == 700
        lines = pasted(blocks[3])["transactions"]
        assert [each["transaction_type"] for each in lines] == ["refund", "refund", "purchase"]
        assert store.gateway.balance(user)["available_nano_usd"] == 0
