"""The parts of a serving process together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from command_api.composition import vault_of
from command_api.serving.gateway import Gateway
from command_api.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database


def test_an_orphan_is_not_healthy(database: Database, tmp_path: Path) -> None:
    """What a killed server leaves for a moment does not answer for the next (rule: observable)."""

    async def run() -> None:
        settings = Settings(home=tmp_path)
        gateway = Gateway(settings, database, vault_of(settings, database))
        await gateway.start()
        try:
            assert gateway.healthy
            gateway.orphaned = True
            assert not gateway.healthy
        finally:
            await gateway.stop()

    asyncio.run(run())
