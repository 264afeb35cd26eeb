"""Between a use and its credits a process may end: what was redeemed is granted, and once."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from command_api.composition import committer_of
from command_api.coupons.grants import complete_uses
from command_api.processes.children import keep_sweeping
from command_api.settings import Settings
from event_store.beside.coupons import waiting_uses
from event_store.ids import new_uuid7
from projections.hosting.verify import verify
from tests.support.admins import new_admin, told
from tests.support.coupons import new_coupon, redeem
from tests.support.history import SECRET

if TYPE_CHECKING:
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway

TIMEOUT_S = 30
DYING = """
import os, signal, sys
from uuid import UUID
from command_api.coupons.store import Store
from command_api.identity.people import People
from command_api.identity.vault import Vault
from domain.events.base import By
from event_store.postgres.database import Database

people = People(Database(application=sys.argv[1], owner=""), Vault(sys.argv[2].encode()))
people.open()
Store(people).use(sys.argv[3], UUID(sys.argv[4]), By(), "test")
os.kill(os.getpid(), signal.SIGKILL)
"""


def die_between(database: Database, code: str, user: NewUser) -> None:
    """A process that redeems a coupon, and is killed before it grants anything."""
    done = subprocess.run(
        [sys.executable, "-c", DYING, database.application, SECRET.decode(), code, user.user_id],
        check=False,
        timeout=TIMEOUT_S,
        capture_output=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def waiting(database: Database) -> int:
    """Uses without credits."""
    with database.connect() as connection:
        return len(waiting_uses(connection, 100))


def test_the_background_process_grants_what_a_dead_one_left(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    """By itself, with nobody asking; once, however often it looks (P2, P3)."""
    admin, user = new_admin(gateway), gateway.user(0)
    die_between(gateway.database, new_coupon(gateway, admin)["code"], user)
    assert gateway.balance(user)["available_nano_usd"] == 0
    assert waiting(gateway.database) == 1
    gateway.verified()
    settings = Settings(home=tmp_path / "background", sweep_interval_s=0.05)

    async def run() -> None:
        stop = threading.Event()
        sweeping = asyncio.create_task(keep_sweeping(settings, gateway.database, stop))
        async with asyncio.timeout(TIMEOUT_S):
            while await asyncio.to_thread(waiting, gateway.database):
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        stop.set()
        await sweeping

    asyncio.run(run())
    assert gateway.balance(user)["available_nano_usd"] == 5_000_000_000
    gateway.verified()


def test_the_next_request_grants_what_a_dead_one_left(gateway: RunningGateway) -> None:
    """Whatever it asks for; the same code is told to be redeemed, with its credits (P2, P3)."""
    admin, user = new_admin(gateway), gateway.user(0)
    codes = [new_coupon(gateway, admin)["code"] for _ in range(2)]
    for code in codes:
        die_between(gateway.database, code, user)
    got = redeem(gateway, user, codes[0])
    assert got.json()["error_code"] == "ALREADY_REDEEMED"
    assert gateway.balance(user)["available_nano_usd"] == 10_000_000_000
    assert waiting(gateway.database) == 0
    gateway.verified()


@pytest.mark.parametrize("times", [1, 3])
def test_a_grant_that_was_made_is_not_made_again(gateway: RunningGateway, times: int) -> None:
    """A process that died behind the grant noted nothing; every pass is the same (P3, P8)."""
    admin, user = new_admin(gateway), gateway.user(0)
    assert redeem(gateway, user, new_coupon(gateway, admin)["code"]).status_code == 200
    with gateway.database.connect_as_owner() as connection:
        connection.execute("UPDATE coupon_use SET granted = false")

    async def run() -> list[int]:
        committer = committer_of(gateway.settings, gateway.database, new_uuid7())
        await committer.start()
        try:
            return [await complete_uses(gateway.database, committer) for _ in range(times)]
        finally:
            await committer.stop()

    assert asyncio.run(run()) == [1, *[0] * (times - 1)]
    assert gateway.balance(user)["available_nano_usd"] == 5_000_000_000
    gateway.verified()


AWAY = {
    "the append fails": (
        "ALTER FUNCTION ledger_grant RENAME TO ledger_grant_away",
        "ALTER FUNCTION ledger_grant_away RENAME TO ledger_grant",
    ),
    "the record fails": (
        (
            "CREATE FUNCTION no_record() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF new.topic LIKE '%credits_granted%' THEN RAISE EXCEPTION 'no record'; END IF; "
            "RETURN new; END $$; "
            "CREATE TRIGGER no_record BEFORE INSERT ON events FOR EACH ROW "
            "EXECUTE FUNCTION no_record()"
        ),
        "DROP TRIGGER no_record ON events",
    ),
}


@pytest.mark.parametrize("how", AWAY)
def test_while_the_ledger_grants_nothing_a_use_waits(gateway: RunningGateway, how: str) -> None:
    """The user is told so; no balance moves without its record, no use is forgotten (P2, P12)."""
    admin, user = new_admin(gateway), gateway.user(0)
    codes = [new_coupon(gateway, admin)["code"] for _ in range(2)]
    with gateway.database.connect_as_owner() as connection:
        connection.execute(AWAY[how][0])
        got = redeem(gateway, user, codes[0])
        assert told(got) == (503, "ledger_unavailable")
        assert "come by themselves" in got.json()["detail"]
        assert waiting(gateway.database) == 1
        assert gateway.balance(user)["granted_nano_usd"] == 0
        gateway.verified()
        connection.execute(AWAY[how][1])
    assert redeem(gateway, user, codes[1]).json()["new_balance"] == 10.0
    assert waiting(gateway.database) == 0
    gateway.verified()


def test_a_note_without_a_grant_is_found(gateway: RunningGateway) -> None:
    """`ledger verify` compares coupons and uses with the log (P8)."""
    admin, user = new_admin(gateway), gateway.user(0)
    made = new_coupon(gateway, admin)
    die_between(gateway.database, made["code"], user)
    with gateway.database.connect_as_owner() as connection:
        connection.execute("UPDATE coupon_use SET granted = true, value = value + 1")
        connection.execute("UPDATE coupon SET max_uses = max_uses + 1")
    found = verify(gateway.database).differences
    assert [each.split()[0] for each in found] == ["coupon", "coupon_use", "coupon_use"]
    assert made["id"] in found[0]
    assert UUID(user.user_id).hex in found[1].replace("-", "")
