"""What it costs to rate calls by another price, and to correct them.

`python -m bench.rerate --calls 1000000`: calls of a hundred accounts, settled by one price; they
are rated by another (nothing is written), corrected, and looked at again. The last column is the
most memory that the process had by then.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bench.workloads import committer_of, funded_accounts
from command_api.money.rerating import Rerating, Wanted
from domain.pricing.usage import Usage
from event_store.postgres.embedded import EmbeddedPostgres
from projections.hosting.install import migrate_all
from tests.support.rated_calls import NEW, OLD, call, publish, version

if TYPE_CHECKING:
    from collections.abc import Callable

    from event_store.postgres.database import Database

ACCOUNTS = 100
BATCH = 256
USAGE = Usage(1_001, 257, cached_input_tokens=300, reasoning_tokens=11)


async def settle(database: Database, calls: int) -> None:
    """So many settled calls, spread over the accounts."""
    committer = committer_of(database)
    await committer.start()
    try:
        accounts = await funded_accounts(committer, ACCOUNTS)
        for begin in range(0, calls, BATCH):
            pairs = [
                call(accounts[number % ACCOUNTS], USAGE)
                for number in range(begin, min(begin + BATCH, calls))
            ]
            for place in (0, 1):
                await asyncio.gather(*(committer.append(pair[place]) for pair in pairs))
    finally:
        await committer.stop()


def timed(name: str, calls: int, work: Callable[[], object]) -> None:
    """Do it, and print how long it took."""
    begun = time.perf_counter()
    work()
    took = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{name:<28} {took:9.1f} s  {calls / took:9,.0f} calls/s  {peak:6} MiB", flush=True)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=1_000_000)
    calls: int = parser.parse_args().calls
    with (
        tempfile.TemporaryDirectory(prefix="gw-") as home,
        EmbeddedPostgres(Path(home)).running() as database,
    ):
        migrate_all(database)
        publish(database, OLD, NEW)
        timed("settle", calls, lambda: asyncio.run(settle(database, calls)))
        asked = Wanted("org/m", datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC), version(NEW))

        def post() -> None:
            Rerating(database, asked).post(reason="bench", actor="bench", report=lambda *_: None)

        timed("rate", calls, lambda: Rerating(database, asked).plan(lambda *_: None))
        timed("rate and correct", calls, post)
        timed("run again", calls, post)


if __name__ == "__main__":
    main()
