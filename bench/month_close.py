"""What the close of a month reads, beside what the database needs to copy the same rows out.

`python -m bench.month_close --customers 10000 --postings 5000000`: customers with calls, projected;
then the trial balance, all customers' statements as CSV, and the journal, each once. A ratio is the
time of the first to that of `COPY … TO STDOUT` of the rows behind it.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from bench.workloads import call_entries, committer_of, funded_accounts
from command_api.books.commands import issue_statements
from event_store.beside.statements import Issued, Wanted
from event_store.postgres.database import ReadPool
from event_store.postgres.embedded import EmbeddedPostgres
from projections.engine.projection import select_on
from projections.engine.runner import Runner
from projections.hosting.install import migrate_all
from projections.money.as_of import Time, find_times
from projections.money.books import read_class_balances
from projections.money.credit_statement import STATEMENT_LINE, CreditStatement
from projections.money.journal import JOURNAL, Journal
from query_api.statements import documents
from query_api.statements.batches import csv_of_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    from event_store.postgres.database import Connects, Database

BATCH = 256
POSTINGS_OF_A_CALL = 7
"""Of a hold that bonus credits pay for, and of its settlement."""
AGO, AHEAD = datetime(2020, 1, 1, tzinfo=UTC), timedelta(days=1)


async def call(database: Database, customers: int, calls: int) -> list[UUID]:
    """So many customers, and calls spread over them."""
    committer = committer_of(database)
    await committer.start()
    try:
        accounts = await funded_accounts(committer, customers)
        for begin in range(0, calls, BATCH):
            some = range(begin, min(begin + BATCH, calls))
            pairs = [call_entries(accounts[number % customers]) for number in some]
            for place in (0, 1):
                await asyncio.gather(*(committer.append(pair[place]) for pair in pairs))
    finally:
        await committer.stop()
    return accounts


def timed(work: Callable[[], int]) -> tuple[float, int]:
    """Seconds, and bytes or rows."""
    begun = time.perf_counter()
    found = work()
    return time.perf_counter() - begun, found


def copied(database: Database, query: str) -> int:
    """Bytes of a query's rows, copied out."""
    statement = f"COPY ({query}) TO STDOUT".encode()
    with database.connect() as connection, connection.cursor().copy(statement) as rows:
        return sum(len(each) for each in rows)


def trial_balance(database: Connects) -> int:
    """Its classes, as of the last position."""
    with database.connect() as connection:
        select = select_on(connection)
        head = int(select(f"SELECT max(position) FROM {JOURNAL.view}", [])[0][0])
        (at,) = find_times(connection, Journal(), (Time(head),), wait_s=0)
        balances = read_class_balances(select, at)
        assert sum(each.balance for each in balances) == 0
        return len(balances)


def issued_to(accounts: Sequence[UUID]) -> list[Issued]:
    """A statement for each, of all that was booked."""
    now = datetime.now(UTC)
    return [
        Issued("Bench", number, account, "2020-01", "UTC", AGO, now + AHEAD, now, "bench")
        for number, account in enumerate(accounts, 1)
    ]


def one_by_one(database: Connects, accounts: Sequence[UUID]) -> int:
    """Bytes of every customer's statement as CSV, each asked for by itself."""
    size = 0
    for issued in issued_to(accounts):
        ends = documents.ends_of(database, issued)
        size += len(documents.csv_head(issued, ends))
        for part in documents.parts_of(database, issued):
            size += len(documents.csv_part(part))
        size += len(documents.csv_tail(issued, ends))
    return size


def statements(database: Connects, accounts: Sequence[UUID]) -> int:
    """The same, as all statements of a month are written."""
    found = csv_of_all(database, issued_to(accounts))
    return sum(len(piece) for _, pieces in found for piece in pieces)


def issue(database: Connects, accounts: Sequence[UUID]) -> int:
    """A number for the statement of each customer, of the month before this one."""
    month = (datetime.now(UTC).replace(day=1) - AHEAD).strftime("%Y-%m")
    return issue_statements(database, Wanted("Bench", accounts[0], month, "UTC", "bench"), accounts)


def project(database: Database) -> int:
    """The journal and the statements of what there is; how many postings."""
    with database.connect() as connection:
        for projection in (Journal(), CreditStatement()):
            runner = Runner(projection)
            while runner.advance(connection, 20_000)[0]:
                pass
        connection.execute("ANALYZE")
        row = connection.execute(f"SELECT count(*) FROM {JOURNAL.view}").fetchone()
        return int(row[0]) if row else 0


def measure(database: Database, accounts: Sequence[UUID]) -> None:
    """Each reading beside the copy of its rows."""
    lines = f"SELECT * FROM {STATEMENT_LINE.view}"
    pool = ReadPool(database, connections_max=1, statement_s=600)
    pool.open()
    try:
        journal, rows = timed(lambda: copied(database, f"SELECT * FROM {JOURNAL.view}"))
        print(f"COPY of the journal        {journal:9.2f} s  {rows:>13,} bytes")
        written, rows = timed(lambda: copied(database, lines))
        print(f"COPY of statement lines    {written:9.2f} s  {rows:>13,} bytes")
        for name, work, beside in (
            ("trial balance", lambda: trial_balance(pool), journal),
            ("all statements, as CSV", lambda: statements(pool, accounts), written),
            ("the same, one by one", lambda: one_by_one(pool, accounts), written),
            ("numbers of statements", lambda: issue(pool, accounts), written),
        ):
            took, many = timed(work)
            print(f"{name:<26} {took:9.2f} s  {many:>13,}        {took / beside:8.2f} x COPY")
    finally:
        pool.close()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--customers", type=int, default=10_000)
    parser.add_argument("--postings", type=int, default=5_000_000)
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    asked = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="gw-") as home,
        EmbeddedPostgres(Path(home)).running() as database,
    ):
        migrate_all(database)
        calls = asked.postings // POSTINGS_OF_A_CALL
        accounts = asyncio.run(call(database, asked.customers, calls))
        print(f"{asked.customers:,} customers, {calls:,} calls, {project(database):,} postings")
        if not asked.profile:
            measure(database, accounts)
            return
        with cProfile.Profile() as profile:
            measure(database, accounts)
        pstats.Stats(profile).sort_stats("cumulative").print_stats(25)


if __name__ == "__main__":
    main()
