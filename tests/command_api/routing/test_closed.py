"""What is in maintenance, as one process knows it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from command_api.routing.closed import Closed, MaintenanceBook
from command_api.routing.router import Router
from command_api.settings import Settings
from edge.errors import ApiError
from event_store.beside.upkeep.reading import WindowNow
from tests.command_api.routing.test_router import order, registry_of
from tests.support.outages import away

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database

AT = datetime.now(UTC)
SET = (
    "INSERT INTO maintenance_window VALUES "
    "('a', 'org/model', 1, clock_timestamp() + interval '%s seconds')"
)


def window(provider: str, model: str, left_s: float) -> WindowNow:
    """One that lasts so long still."""
    return WindowNow(provider, model, AT, left_s)


def test_closed_offers_are_passed_over(tmp_path: Path) -> None:
    """One model, a whole provider; with all of them closed the earliest end is told (P10)."""
    router = Router(registry_of(tmp_path), Settings().routing)
    assert not router.closed
    assert order(router) == "abc"
    router.closed.take([window("a", "org/model", 60), window("b", "", 60)])
    assert order(router) == "c"
    router.closed.take([window("a", "other", 60)])
    assert order(router) == "abc"
    router.closed.take([window(each, "", left) for each, left in (("a", 60), ("b", 9), ("c", 70))])
    with pytest.raises(ApiError) as caught:
        order(router)
    assert (caught.value.status, caught.value.code) == (503, "model_in_maintenance")
    assert caught.value.headers == {"retry-after": "9"}
    router.closed.take([window("a", "", 0)])
    assert order(router) == "abc"


def test_what_is_known_stays_while_the_database_is_away(
    database: Database, server: Database, tmp_path: Path
) -> None:
    """And ends by itself; what is set or cleared is heard of within two seconds (P12)."""
    closed = Closed()
    offer = registry_of(tmp_path).providers["a"].models["org/model"]

    async def run() -> None:
        book = MaintenanceBook(database, closed)
        await book.start()
        try:
            assert not closed
            with database.connect() as connection:
                connection.execute(SET % 6)
            async with asyncio.timeout(4):
                while not closed.left_s(offer):
                    await asyncio.sleep(0.05)
            with away(database, server):
                await asyncio.sleep(1.5)
                assert closed.left_s(offer) > 0
                async with asyncio.timeout(8):
                    while closed.left_s(offer):
                        await asyncio.sleep(0.05)
            with database.connect() as connection:
                connection.execute("UPDATE maintenance_window SET until = now() + interval '1 h'")
            async with asyncio.timeout(8):
                while not closed.left_s(offer):
                    await asyncio.sleep(0.05)
        finally:
            await book.stop()

    asyncio.run(run())
