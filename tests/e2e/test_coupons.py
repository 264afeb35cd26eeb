"""The last use of a coupon, and a hundred who want it, at a server of several processes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import UUID

import httpx

from command_api.composition import vault_of
from command_api.identity.users import Users
from command_api.roles.commands import Actor, give_role
from command_api.settings import Settings
from event_store.postgres.embedded import EmbeddedPostgres
from tests.support.coupons import wanted
from tests.support.processes import Server, gatewayz

if TYPE_CHECKING:
    from pathlib import Path

USERS, TIMEOUT_S = 100, 60.0


def test_of_one_use_and_a_hundred_users_one_gets_it(tmp_path: Path) -> None:
    """Exactly one, at two workers; the others are told that none is left (P1, P3)."""
    home = tmp_path / "home"
    with Server(home, "--workers", "2") as server:
        database = EmbeddedPostgres(home).database()
        users = Users(database, vault_of(Settings(home=home), database), actor="test")
        made = [users.create_user(f"user-{number}@example.com") for number in range(USERS)]
        users.close()
        before = gatewayz(home, "ledger", "verify")["granted_nano_usd"]
        operator = Actor("operator:cli")
        give_role(database, UUID(made[0].user_id), "admin", actor=operator, reason="test")

        def post(number: int, path: str, **body: object) -> httpx.Response:
            key = {"authorization": f"Bearer {made[number].api_key}"}
            return httpx.post(f"{server.url}{path}", json=body, headers=key, timeout=TIMEOUT_S)

        got = post(0, "/admin/coupons", **wanted(code="LAST-ONE", max_uses=1))
        assert got.status_code == 200, got.text
        with ThreadPoolExecutor(USERS) as threads:
            answers = list(
                threads.map(
                    lambda each: post(each, "/coupons/redeem", code="last-one"), range(USERS)
                )
            )
        told = [
            each.json().get("error_code", each.json()["code"])
            for each in answers
            if not each.is_success
        ]
        assert sum(each.is_success for each in answers) == 1
        assert set(told) <= {"MAX_USES_EXCEEDED", "people_busy"}
        assert told.count("MAX_USES_EXCEEDED") > USERS // 2
        found = gatewayz(home, "coupon", "list")
        assert (found["code"], found["times_used"], found["max_uses"]) == ("LAST-ONE", 1, 1)
        books = gatewayz(home, "ledger", "verify")
        assert books["differences"] == []
        assert books["granted_nano_usd"] - before == 5_000_000_000
