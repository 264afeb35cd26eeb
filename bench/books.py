"""What a balance as of any time costs, the older an account is.

`python -m bench.books --events 1000000`: one account whose calls are a hold and a settlement each,
looked at when it has a hundredth, a tenth, and all of its events; positions are chosen by chance.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.workloads import call_entries, committer_of, funded_accounts
from event_store.postgres.embedded import EmbeddedPostgres
from projections.engine.projection import select_on
from projections.engine.runner import Runner
from projections.hosting.install import migrate_all
from projections.money.as_of import Time, find_times
from projections.money.books import read_account_books, read_class_balances
from projections.money.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from event_store.postgres.database import Database

BATCH = 256
QUESTIONS = 500
STAGES = (100, 10, 1)
"""An account is looked at when it has the whole divided by these."""


async def call(database: Database, account: UUID, calls: int) -> None:
    """So many calls of an account, one batch after the other."""
    committer = committer_of(database)
    await committer.start()
    try:
        for begin in range(0, calls, BATCH):
            pairs = [call_entries(account) for _ in range(min(BATCH, calls - begin))]
            await asyncio.gather(*(committer.append(held) for held, _ in pairs))
            await asyncio.gather(*(committer.append(settled) for _, settled in pairs))
    finally:
        await committer.stop()


async def fund(database: Database) -> UUID:
    """An account to spend from."""
    committer = committer_of(database)
    await committer.start()
    (account,) = await funded_accounts(committer, 1)
    await committer.stop()
    return account


def milliseconds(ask: Callable[[int], object], head: int, chance: random.Random) -> list[float]:
    """How long each of many questions takes, the quickest first."""
    found = []
    for _ in range(QUESTIONS):
        position = chance.randrange(1, head + 1)
        begun = time.perf_counter()
        ask(position)
        found.append((time.perf_counter() - begun) * 1_000)
    return sorted(found)


def look(database: Database, account: UUID) -> None:
    """Project what there is, and print what questions about it cost."""
    journal, chance = Journal(), random.Random(7)
    with database.connect() as connection:
        runner = Runner(journal)
        while runner.advance(connection, 20_000)[0]:
            pass
        connection.execute("ANALYZE read_journal_posting_v1")
        select = select_on(connection)
        head = int(select("SELECT max(position) FROM read_journal_posting", [])[0][0])

        def of_account(position: int) -> object:
            (at,) = find_times(connection, journal, (Time(position),), wait_s=0)
            return read_account_books(select, at, account)

        def effective(position: int) -> object:
            del position
            asked = Time(datetime.now(UTC), effective=True)
            (at,) = find_times(connection, journal, (asked,), wait_s=0)
            return read_account_books(select, at, account)

        def of_house(position: int) -> object:
            (at,) = find_times(connection, journal, (Time(position),), wait_s=0)
            return read_class_balances(select, at)

        for name, ask in (
            ("account by position", of_account),
            ("account by effect", effective),
            ("trial balance within the day", of_house),
        ):
            times = milliseconds(ask, head, chance)
            half, last = times[QUESTIONS // 2], times[QUESTIONS * 99 // 100]
            print(f"{head:>9} events  {name:<30} p50 {half:8.2f} ms  p99 {last:8.2f} ms")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=1_000_000)
    events: int = parser.parse_args().events
    with (
        tempfile.TemporaryDirectory(prefix="gw-") as home,
        EmbeddedPostgres(Path(home)).running() as database,
    ):
        migrate_all(database)
        account, made = asyncio.run(fund(database)), 0
        for stage in STAGES:
            calls = events // stage // 2
            asyncio.run(call(database, account, calls - made))
            made = calls
            look(database, account)


if __name__ == "__main__":
    main()
