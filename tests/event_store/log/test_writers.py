"""Many processes on one account never overspend it (P1)."""

from __future__ import annotations

import asyncio
import multiprocessing
from typing import TYPE_CHECKING
from uuid import UUID

from event_store.append.committer import Committer
from event_store.append.entries import AppendCode
from event_store.ids import new_uuid7
from projections.hosting.verify import verify
from tests.event_store.append.test_append import append
from tests.support import entries

if TYPE_CHECKING:
    from event_store.postgres.database import Database

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")
PROCESSES = 4
CALLERS = 32
GRANTED = 1_000_003
HELD, COST = 997, 701


def spend(application: str) -> int:
    """Hold and settle from many callers until the account is empty; returns what was settled."""

    async def caller(committer: Committer) -> int:
        spent = 0
        while True:
            call = new_uuid7()
            placed = await committer.append(entries.hold(call, ACCOUNT, HELD))
            if placed.code == AppendCode.INSUFFICIENT_CREDITS:
                return spent
            assert placed.code == AppendCode.OK
            settled = await committer.append(entries.settle(call, ACCOUNT, COST))
            assert settled.code == AppendCode.OK
            spent += COST

    async def run() -> int:
        committer = Committer(
            application, owner_id=new_uuid7(), hold_ttl_s=600, append_timeout_s=30
        )
        await committer.start()
        try:
            return sum(await asyncio.gather(*[caller(committer) for _ in range(CALLERS)]))
        finally:
            await committer.stop()

    return asyncio.run(run())


def test_four_processes_exhaust_one_account_exactly(database: Database) -> None:
    """What was settled is what is gone, and less than one call's hold is left (P1)."""
    append(database, entries.grant(ACCOUNT, GRANTED))
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        spent = sum(pool.map(spend, [database.application] * PROCESSES))
    report = verify(database)
    assert report.differences == []
    assert report.settled_nano_usd == spent <= GRANTED
    assert report.available_nano_usd == GRANTED - spent < HELD + PROCESSES * CALLERS * HELD
    assert report.held_nano_usd == 0
    assert report.house_loss_nano_usd == 0
