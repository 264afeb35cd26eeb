"""GET /ping and /ping/stats, which anybody may ask."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from command_api.system.pings import PingCounter
from tests.support.harness import running_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

CROWD = 300


def ask(gateway: RunningGateway, path: str) -> dict[str, Any]:
    """What it answers without a key."""
    got = httpx.get(f"{gateway.url}{path}")
    assert got.status_code == 200, got.text
    found: dict[str, Any] = got.json()
    return found


def test_each_ping_counts_once_and_is_remembered(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Across restarts, and of all gateways together (rule: observable)."""
    with running_gateway(database, tmp_path / "a", upstream) as one:
        first = ask(one, "/ping/stats")
        assert (first["total_pings"], first["last_ping_at"]) == (0, None)
        assert [ask(one, "/ping")["count"] for _ in range(3)] == [1, 2, 3]
        with running_gateway(database, tmp_path / "b", upstream) as other:
            pong = ask(other, "/ping")
            assert (pong["message"], pong["count"]) == ("pong", 4)
            assert ask(one, "/ping")["count"] == 5
    with running_gateway(database, tmp_path / "a", upstream) as again:
        told = ask(again, "/ping/stats")
        assert (told["total_pings"], told["cached"]) == (5, False)
        assert told["created_at"] == first["created_at"]
        assert told["last_ping_at"] == told["updated_at"] > first["created_at"]
        assert ask(again, "/ping/stats")["cached"] is True
        assert again.events() == 0


def test_a_crowd_is_counted_by_few_statements(database: Database) -> None:
    """Who asks at the same time is counted together, each once (rule: bounded)."""

    async def run() -> list[int | None]:
        counter = PingCounter(database)
        try:
            found = await asyncio.gather(*(counter.count() for _ in range(CROWD)))
            assert (await counter.read())[0] == found[-1]
        finally:
            counter.close()
        return [None if each is None else each.total for each in found]

    before = _updates(database)
    totals = asyncio.run(run())
    assert max(each or 0 for each in totals) == CROWD
    assert _updates(database) - before <= 3


def _updates(database: Database) -> int:
    """Statements that counted so far, by PostgreSQL's own statistics."""
    with database.connect() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute(
            "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'ping_count'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_without_a_database_it_answers_what_it_knew() -> None:
    """And what came meanwhile is counted later; nobody waits in a queue of attempts (P12)."""
    from event_store.postgres.database import Database as Real

    away = Real.from_url("postgresql://gatewayz@127.0.0.1:1/gatewayz")

    async def run() -> None:
        counter = PingCounter(away)
        began = time.monotonic()
        try:
            found = await asyncio.gather(*(counter.count() for _ in range(CROWD)))
            assert set(found) == {None}
            assert await counter.read() == (None, True)
        finally:
            counter.close()
        assert time.monotonic() - began < 10

    asyncio.run(run())


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_it_is_only_read(gateway: RunningGateway, method: str) -> None:
    """Nothing else can be done to it (rule: refuse clearly)."""
    assert httpx.request(method, f"{gateway.url}/ping").status_code == 405
