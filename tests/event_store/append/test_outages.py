"""The committer and a database that goes away, comes back, or does not want to write."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from event_store.append.committer import AppendInDoubtError, Committer
from event_store.errors import LedgerUnavailableError
from event_store.ids import new_uuid7
from event_store.locks import Lock
from tests.support import entries
from tests.support.outages import away, cut_off

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from event_store.postgres.database import Database

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")
HEALS_S = 2.0
"""A database that is back is found within this time, without any traffic."""
SLACK_S = 3.0
"""What a machine that does other things may take besides."""


@asynccontextmanager
async def writing(database: Database, timeout_s: float = 1.0) -> AsyncIterator[Committer]:
    """A committer for the block."""
    committer = Committer(
        database.application, owner_id=new_uuid7(), hold_ttl_s=600, append_timeout_s=timeout_s
    )
    await committer.start()
    try:
        yield committer
    finally:
        await committer.stop()


async def until(check: Callable[[], bool], within_s: float = HEALS_S + SLACK_S) -> None:
    """Wait until it is so."""
    end = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.01)


def backends(database: Database) -> list[int]:
    """Process ids of the sessions that append."""
    with database.connect_as_owner() as connection:
        return [
            pid
            for (pid,) in connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        ]


def test_a_connection_that_is_lost_while_idle_is_opened_again(
    database: Database, server: Database
) -> None:
    """Nobody needs to ask for it, and the first append finds it (P12)."""

    async def run() -> None:
        async with writing(database) as committer:
            for _ in range(3):
                old = backends(database)
                cut_off(database, server)
                await until(lambda old=old: committer.ready and backends(database) != old)  # type: ignore[misc]
                assert (await committer.append(entries.grant(ACCOUNT, 1))).applied

    asyncio.run(run())


def test_a_database_that_comes_back_is_found_without_traffic(
    database: Database, server: Database
) -> None:
    """It is known to be away meanwhile, and is there again by itself (P12)."""

    async def run() -> None:
        async with writing(database) as committer:
            with away(database, server):
                await until(lambda: not committer.ready)
                await asyncio.sleep(0.5)
                assert not committer.ready
            await until(lambda: committer.ready)
            assert (await committer.append(entries.grant(ACCOUNT, 1))).applied

    asyncio.run(run())


def test_the_first_append_after_a_cut_waits_for_the_connection(
    database: Database, server: Database
) -> None:
    """It is sent once there is one again, and does not fail (P12)."""

    async def run() -> None:
        async with writing(database, timeout_s=10) as committer:
            for _ in range(5):
                cut_off(database, server)
                assert (await committer.append(entries.grant(ACCOUNT, 1))).applied

    asyncio.run(run())


def test_a_server_that_stands_still_is_noticed(database: Database) -> None:
    """No message says so: it is asked now and then, and another session takes over (P12)."""

    async def run() -> None:
        async with writing(database) as committer:
            (pid,) = backends(database)
            os.kill(pid, signal.SIGSTOP)
            try:
                await until(lambda: not committer.ready)
                await until(lambda: committer.ready)
                assert (await committer.append(entries.grant(ACCOUNT, 1))).applied
            finally:
                os.kill(pid, signal.SIGCONT)

    asyncio.run(run())


def test_an_append_that_hangs_shows(database: Database) -> None:
    """Longer than an append may wait: whoever asks for health is told (P12)."""

    async def run() -> None:
        async with writing(database, timeout_s=0.5) as committer:
            with database.connect() as locker:
                locker.execute("SELECT pg_advisory_lock(%s)", [Lock.APPEND])
                waiting = committer.append(entries.grant(ACCOUNT, 1))
                await until(lambda: not committer.ready)
            assert (await waiting).applied
            await until(lambda: committer.ready)

    asyncio.run(run())


@contextmanager
def read_only(database: Database) -> Iterator[None]:
    """As a database is that somebody made read-only, sessions that stand included."""
    name = database.parts()["dbname"]
    with database.connect_as_owner() as owner:
        owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        yield
        owner.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")


def test_a_read_only_database_is_as_good_as_away(database: Database) -> None:
    """Known without traffic, told at once to who asks, and over by itself (P10, P12)."""

    async def run() -> None:
        async with writing(database) as committer:
            with read_only(database):
                await until(lambda: not committer.ready)
                with pytest.raises(LedgerUnavailableError) as caught:
                    await committer.append(entries.grant(ACCOUNT, 1))
                assert not isinstance(caught.value, AppendInDoubtError)
                await asyncio.sleep(0.3)
                assert not committer.ready
            await until(lambda: committer.ready)
            assert (await committer.append(entries.grant(ACCOUNT, 1))).applied

    asyncio.run(run())


def test_too_many_connections_are_as_good_as_away(database: Database, server: Database) -> None:
    """53300 at connecting: over as soon as there is room (P12)."""
    name = database.parts()["dbname"]

    async def run() -> None:
        async with writing(database) as committer:
            with database.connect_as_owner() as owner:
                owner.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
                cut_off(database.with_name(name), server)
            await until(lambda: not committer.ready)
            with pytest.raises(LedgerUnavailableError):
                await committer.append(entries.grant(ACCOUNT, 1))
            with server.with_name("postgres").connect_as_owner() as owner:
                owner.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
            await until(lambda: committer.ready)
            assert (await committer.append(entries.grant(ACCOUNT, 1))).applied

    asyncio.run(run())


REFUSALS = {
    "disk full": "53100",
    "out of memory": "53200",
    "lock timeout": "55P03",
    "serialization": "40001",
    "input or output": "58030",
    "privilege": "42501",
    "read only": "25006",
}


@pytest.mark.parametrize("state", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_that_is_no_entrys_fault_is_told_at_once(database: Database, state: str) -> None:
    """The caller may try again; who asks for health is told until an append or a probe says
    otherwise (P10, P12).
    """

    async def run() -> None:
        async with writing(database) as committer:
            with database.connect_as_owner() as owner:
                owner.execute(
                    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                    f"RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$; "
                    "CREATE TRIGGER refuse BEFORE INSERT ON events EXECUTE FUNCTION refuse()"
                )
                began = time.monotonic()
                with pytest.raises(LedgerUnavailableError):
                    await committer.append(entries.grant(ACCOUNT, 1))
                assert time.monotonic() - began < SLACK_S
                assert not committer.ready
                owner.execute("DROP TRIGGER refuse ON events; DROP FUNCTION refuse")
            await until(lambda: committer.ready)
            assert (await committer.append(entries.grant(ACCOUNT, 1))).applied

    asyncio.run(run())
