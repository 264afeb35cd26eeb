"""What the background process does beside the read models."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING
from uuid import UUID

from command_api.composition import committer_of
from command_api.processes.children import keep_sweeping
from command_api.settings import Settings
from event_store.append.entries import AppendCode
from event_store.ids import new_uuid7
from tests.support import entries

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")
WAIT_S = 20


def test_the_sweep_forgets_keys_by_the_setting(database: Database, tmp_path: Path) -> None:
    """Days as the operator set them; a younger key stays (money rule 8)."""
    with database.connect_as_owner() as connection:
        connection.execute("CREATE TABLE test_clock AS SELECT 50 AS hours_ago")
        connection.execute("GRANT SELECT ON test_clock TO gatewayz_app")
        connection.execute(
            "CREATE OR REPLACE FUNCTION booking_clock() RETURNS timestamptz LANGUAGE sql AS $$ "
            "SELECT clock_timestamp() - make_interval(hours => hours_ago) FROM test_clock $$"
        )
    settings = Settings(home=tmp_path, idempotency_key_days=2, sweep_interval_s=0.05)

    async def run() -> list[str]:
        committer = committer_of(settings, database, new_uuid7())
        await committer.start()
        for name, hours_ago in (("a", 47), ("b", 0)):
            call = new_uuid7()
            for entry in (
                entries.grant(ACCOUNT, 10),
                entries.hold(call, ACCOUNT, 10, key=name.encode() * 64),
                entries.settle(call, ACCOUNT, 10),
            ):
                assert (await committer.append(entry)).code == AppendCode.OK
            with database.connect_as_owner() as connection:
                connection.execute("UPDATE test_clock SET hours_ago = %s", [hours_ago])
        await committer.stop()
        stop = threading.Event()
        sweeping = asyncio.create_task(keep_sweeping(settings, database, stop))
        async with asyncio.timeout(WAIT_S):
            while len(known := await asyncio.to_thread(keys, database)) > 1:
                await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        known = await asyncio.to_thread(keys, database)
        stop.set()
        await sweeping
        return known

    assert asyncio.run(run()) == ["b"]


def keys(database: Database) -> list[str]:
    """The keys that are known, by their first letter."""
    with database.connect() as connection:
        found = connection.execute("SELECT key_hash FROM idempotency_key ORDER BY 1").fetchall()
        return [chr(key_hash[0]) for (key_hash,) in found]
