"""Sleeping until an append: who listens is woken, always, and nobody else is."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from event_store.append.committer import Committer
from event_store.ids import new_uuid7
from event_store.log.reading import CHANNEL, head_position, listen, unlisten
from tests.support import entries

if TYPE_CHECKING:
    import psycopg

    from event_store.postgres.database import Database

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")
WAIT_S = 5.0


async def write(database: Database, *sizes: int, pause_s: float = 0.0) -> int:
    """Append batches of grants, and pause between them; returns how many events they are."""
    committer = Committer(
        database.application, owner_id=new_uuid7(), hold_ttl_s=600, append_timeout_s=5
    )
    await committer.start()
    try:
        for size in sizes:
            batch = [committer.append(entries.grant(ACCOUNT, 5)) for _ in range(size)]
            await asyncio.gather(*batch)
            if pause_s:
                await asyncio.sleep(random.random() * pause_s)
    finally:
        await committer.stop()
    return sum(sizes)


def woken(connection: psycopg.Connection[Any], wait_s: float) -> bool:
    """Whether a notification is there, or comes in time."""
    return any(True for _ in connection.notifies(timeout=wait_s, stop_after=1))


@pytest.mark.parametrize("size", [1, 8])
def test_only_listeners_are_notified(database: Database, size: int) -> None:
    """With nobody asleep none is sent, not even to who listens by itself (rule: calls first)."""
    with database.connect() as sleeper, database.connect() as other:
        other.execute(f"LISTEN {CHANNEL}")
        asyncio.run(write(database, size))
        assert not woken(other, 0.2)
        listen(sleeper)
        asyncio.run(write(database, size))
        assert woken(sleeper, WAIT_S)
        assert woken(other, WAIT_S)
        unlisten(sleeper)
        asyncio.run(write(database, size))
        assert not woken(sleeper, 0.2)
        assert not woken(other, 0.2)


def test_a_listener_that_looks_before_it_sleeps_misses_nothing(database: Database) -> None:
    """However appends and the turn to listening fall together, no event is slept through (P7)."""
    sizes = [random.choice((1, 1, 2, 7)) for _ in range(250)]

    def read() -> None:
        position = 0
        with database.connect() as connection:
            while position < sum(sizes):
                listen(connection)
                while (head := head_position(connection)) == position:
                    assert woken(connection, WAIT_S), f"slept at {position}"
                position = head
                unlisten(connection)
                for _ in connection.notifies(timeout=0):
                    pass

    async def both() -> None:
        await asyncio.gather(asyncio.to_thread(read), write(database, *sizes, pause_s=0.004))

    asyncio.run(both())
