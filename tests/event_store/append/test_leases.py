"""Leases: a process that lives has one, and a dead one's is taken by nobody but its home."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from event_store.append import leases as module
from event_store.append.leases import Lease, home_identity, lapse_leases_of_home
from event_store.ids import new_uuid7
from tests.support.outages import away

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    from event_store.postgres.database import Database

WAIT_S = 10.0
HEALS_S = 2.0
SLACK_S = 3.0
"""What a machine that does other things may take besides."""


@asynccontextmanager
async def leased(
    database: Database,
    owner: UUID,
    *,
    home: str = "home",
    life_s: float = 60,
    heartbeat_s: float = 60,
) -> AsyncIterator[Lease]:
    """A lease for the block."""
    lease = Lease(database, owner, home=home, life_s=life_s, heartbeat_s=heartbeat_s)
    await lease.start()
    try:
        yield lease
    finally:
        await lease.stop()


def leases(database: Database) -> dict[UUID, tuple[str, datetime, bool]]:
    """Home, end, and whether it lives, by owner."""
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT owner_id, home, expires_at, expires_at > clock_timestamp() FROM process_lease"
        ).fetchall()
    return {owner: (home, expires_at, lives) for owner, home, expires_at, lives in rows}


async def until_later(database: Database, owner: UUID, than: datetime) -> None:
    """Wait until the lease has been renewed."""
    async with asyncio.timeout(WAIT_S):
        while owner not in leases(database) or leases(database)[owner][1] <= than:
            await asyncio.sleep(0.02)


def cut_off(database: Database) -> int:
    """End the sessions that renew leases on this database; returns how many."""
    with database.connect_as_owner() as connection:
        return connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE 'INSERT INTO process_lease%'"
        ).rowcount


def test_a_home_has_one_name(tmp_path: Path) -> None:
    """Made on first use, the same for every process of it, another for another (P2)."""
    first = home_identity(tmp_path / "a" / "b")
    assert home_identity(tmp_path / "a" / "b") == first
    assert home_identity(tmp_path / "c") != first
    assert (tmp_path / "a" / "b" / "identity").read_text() == f"{first}\n"
    assert stat.S_IMODE((tmp_path / "c").stat().st_mode) == 0o700


def test_a_lease_lives_while_its_process_does(database: Database) -> None:
    """It stands from the start, for its life, and is gone after an orderly stop (P2)."""
    owner, other = new_uuid7(), new_uuid7()

    async def run() -> None:
        async with leased(database, owner, home="here"), leased(database, other, life_s=0):
            found = leases(database)
            assert found[owner][0] == "here"
            assert found[owner][2]
            assert not found[other][2]
        assert leases(database) == {}

    asyncio.run(run())


def test_a_lease_is_renewed(database: Database) -> None:
    """Its end moves on with each heartbeat; its beginning does not (P2)."""
    owner = new_uuid7()

    async def run() -> None:
        async with leased(database, owner, life_s=1, heartbeat_s=0.05):
            first = leases(database)[owner][1]
            with database.connect() as connection:
                sql = "SELECT started_at FROM process_lease"
                started = connection.execute(sql).fetchone()
                await until_later(database, owner, first)
                assert connection.execute(sql).fetchone() == started

    asyncio.run(run())


def test_a_lost_connection_does_not_end_the_renewing(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The next beat connects anew, and says what happened (P12)."""
    owner = new_uuid7()

    async def run() -> None:
        async with leased(database, owner, heartbeat_s=0.05):
            first = leases(database)[owner][1]
            assert cut_off(database) == 1
            await until_later(database, owner, first)

    asyncio.run(run())
    assert leases(database) == {}
    assert "could not be renewed" in caplog.text


def test_a_server_that_stands_still_does_not_end_the_renewing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renewal that is not answered in time is tried anew elsewhere (P12)."""
    monkeypatch.setattr(module, "LEASE_TIMEOUT_S", 0.3)
    owner = new_uuid7()

    async def run() -> None:
        async with leased(database, owner, heartbeat_s=0.05) as lease:
            assert lease.lives
            first = leases(database)[owner][1]
            with database.connect_as_owner() as connection:
                ((pid,),) = connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
                    "AND query LIKE 'INSERT INTO process_lease%'"
                ).fetchall()
            os.kill(pid, signal.SIGSTOP)
            try:
                await until_later(database, owner, first)
            finally:
                os.kill(pid, signal.SIGCONT)

    asyncio.run(run())


def test_a_lease_that_lapsed_in_an_outage_is_had_soon_after_it(
    database: Database, server: Database
) -> None:
    """Not a heartbeat later: until then a process that could serve says that it cannot (P12)."""
    owner = new_uuid7()

    async def run() -> float:
        async with leased(database, owner, life_s=9, heartbeat_s=8) as lease:
            await asyncio.sleep(7)
            with away(database, server):
                async with asyncio.timeout(WAIT_S):
                    while lease.lives:
                        await asyncio.sleep(0.02)
            began = time.monotonic()
            async with asyncio.timeout(WAIT_S):
                while not lease.lives:
                    await asyncio.sleep(0.02)
            return time.monotonic() - began

    assert asyncio.run(run()) < HEALS_S + SLACK_S


def test_a_lease_that_was_taken_away_is_had_again(database: Database) -> None:
    """Whoever is taken for dead and lives says so with the next beat (P2)."""
    owner = new_uuid7()

    async def run() -> None:
        async with leased(database, owner, heartbeat_s=0.1):
            first = leases(database)[owner][1]
            assert lapse_leases_of_home(database, "home") == 1
            await until_later(database, owner, first)

    asyncio.run(run())


def test_stopping_does_not_need_the_database(database: Database) -> None:
    """A lease that cannot be given up lapses by itself (P12)."""
    owner = new_uuid7()

    async def run() -> None:
        async with leased(database, owner):
            assert cut_off(database) == 1

    asyncio.run(run())
    assert list(leases(database)) == [owner]


def test_a_start_without_the_database_fails(database: Database) -> None:
    """No call is held by a process that cannot prove that it lives (P2)."""
    lease = Lease(
        database.with_name("no_such_database"),
        new_uuid7(),
        home="home",
        life_s=60,
        heartbeat_s=60,
    )
    with pytest.raises(psycopg.OperationalError, match="no_such_database"):
        asyncio.run(lease.start())


def test_a_home_takes_over_from_its_own_dead_only(database: Database) -> None:
    """Its next start ends the leases of its own processes, no others' (P2)."""
    dead, also_dead, elsewhere = new_uuid7(), new_uuid7(), new_uuid7()

    async def run() -> None:
        for owner, home in ((dead, "home"), (also_dead, "home"), (elsewhere, "other")):
            lease = Lease(database, owner, home=home, life_s=60, heartbeat_s=60)
            await lease._renew()
            assert lease._connection is not None
            await lease._connection.close()  # Killed: nothing gives the lease up.

    asyncio.run(run())
    assert lapse_leases_of_home(database, "home") == 2
    assert list(leases(database)) == [elsewhere]
    assert lapse_leases_of_home(database, "home") == 0


def test_a_start_does_not_wait_for_ever_for_its_leases(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that is blocked ends, and the start says so (rule: bounded)."""
    monkeypatch.setattr(module, "LAPSE_S", 0.3)
    with database.connect_as_owner() as locker, locker.transaction():
        locker.execute("LOCK TABLE process_lease IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.QueryCanceled):
            lapse_leases_of_home(database, "home")
    assert lapse_leases_of_home(database, "home") == 0
