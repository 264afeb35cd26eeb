"""The read side: rebuild, follower, relay and worker rates, and the delay to a read model."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.workloads import MILLISECONDS, call_entries, committer_of, funded_accounts
from event_store.log.reading import head_position
from event_store.postgres.embedded import EmbeddedPostgres
from projections.all import PROJECTIONS
from projections.engine.freshness import progress_of
from projections.engine.rebuild import rebuild
from projections.engine.register import read_status
from projections.hosting.install import migrate_all
from projections.money.account_balances import AccountBalances
from tests.servers.local import Broker, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database

PROGRAM = Path(sys.executable).parent / "gatewayz"
EVENTS = 100_000
ACCOUNTS = 64
PARTITIONS = 8
WAIT_S = 120.0
STEP_S = 0.02
CALLS_PER_S = 500
DELAY_S = 10.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Row:
    """One figure and what it is worth beside others of the run."""

    name: str
    figure: str
    note: str


async def fill(database: Database, events: int) -> None:
    """Put settled calls into the log, as fast as it takes them."""
    committer = committer_of(database)
    await committer.start()
    ids = await funded_accounts(committer, ACCOUNTS)
    for _ in range(events // 2 // 1_000):
        pairs = [call_entries(ids[number % ACCOUNTS]) for number in range(1_000)]
        await asyncio.gather(*[committer.append(held) for held, _ in pairs])
        await asyncio.gather(*[committer.append(settled) for _, settled in pairs])
    await committer.stop()


async def pace(database: Database, seconds: float, seen: list[tuple[float, int]]) -> None:
    """CALLS_PER_S calls a second; notes the head of the log after each step."""
    committer = committer_of(database)
    await committer.start()
    ids = await funded_accounts(committer, ACCOUNTS)
    connection = database.connect()
    began = time.monotonic()
    for step in range(int(seconds / STEP_S)):
        batch = int(CALLS_PER_S * STEP_S)
        pairs = [call_entries(ids[(step * batch + n) % ACCOUNTS]) for n in range(batch)]
        await asyncio.gather(*[committer.append(held) for held, _ in pairs])
        await asyncio.gather(*[committer.append(settled) for _, settled in pairs])
        seen.append((time.monotonic(), head_position(connection)))
        await asyncio.sleep(max(0.0, began + (step + 1) * STEP_S - time.monotonic()))
    connection.close()
    await committer.stop()


def delays(database: Database) -> tuple[float, float]:
    """p50 and p99 of the time from an acknowledged append to the row in account_balances, ms."""
    seen: list[tuple[float, int]] = []
    with database.connect() as connection:
        before = head_position(connection)
        loader = subprocess.Popen(
            [sys.executable, "-c", LOADER, database.application, database.owner],
            stdout=subprocess.PIPE,
            text=True,
        )
        reached: list[tuple[float, int]] = []
        while loader.poll() is None or not reached or reached[-1][1] < head_position(connection):
            position = progress_of(connection, AccountBalances())
            if not reached or position > reached[-1][1]:
                reached.append((time.monotonic(), position))
            time.sleep(0.005)
    assert loader.stdout is not None
    for line in loader.stdout:
        when, where = line.split()
        seen.append((float(when), int(where)))
    found, place = list[float](), 0
    for at, head in seen:
        while reached[place][1] < head:
            place += 1
        found.append(max(0.0, reached[place][0] - at) * MILLISECONDS)
    assert seen[0][1] > before
    found.sort()
    return found[len(found) // 2], found[int(len(found) * 0.99)]


LOADER = """
import asyncio, sys
from bench.streams import DELAY_S, pace
from event_store.postgres.database import Database
seen = []
asyncio.run(pace(Database(sys.argv[1], sys.argv[2]), DELAY_S, seen))
for at, head in seen:
    print(at, head)
"""


@contextmanager
def program(*arguments: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A `gatewayz` process that ends with the block."""
    process = subprocess.Popen(
        [str(PROGRAM), *arguments], env={**os.environ, **environment}, stdout=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(WAIT_S)


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def until(database: Database, query: str, head: int) -> tuple[float, float]:
    """Wait until a position reaches the head; returns seconds from its first move, and all."""
    began, first = time.monotonic(), 0.0
    with database.connect() as connection:
        while time.monotonic() - began < WAIT_S:
            row: Any = connection.execute(query).fetchone()
            low, high = row or (0, 0)
            if high and not first:
                first = time.monotonic()
            if low is not None and low >= head:
                return time.monotonic() - (first or began), time.monotonic() - began
            time.sleep(0.01)
    message = "the head was not reached"
    raise RuntimeError(message)


PROJECTED = "SELECT min(position), max(position) FROM projection_progress"
RELAYED = "SELECT min(position), max(position) FROM relay_progress"


def rebuild_rates(database: Database) -> Iterator[Row]:
    """account_balances from the whole log, beside a plain COPY of as many rows."""
    began = time.monotonic()
    rebuild(database, AccountBalances())
    rebuilt = EVENTS / (time.monotonic() - began)
    with database.connect_as_owner() as connection:
        connection.execute("CREATE TABLE copied (LIKE events)")
        rows = connection.execute("SELECT * FROM events").fetchall()
        began = time.monotonic()
        with (
            connection.cursor() as cursor,
            cursor.copy("COPY copied FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)
        copied = len(rows) / (time.monotonic() - began)
        connection.execute("DROP TABLE copied")
    yield Row(
        "rebuild of account_balances",
        f"{rebuilt:,.0f} events/s",
        f"{rebuilt / copied:.2f} of a COPY of the log's rows ({copied:,.0f} rows/s)",
    )
    began = time.monotonic()
    for projection in PROJECTIONS:
        rebuild(database, projection)
    each = EVENTS * len(PROJECTIONS) / (time.monotonic() - began)
    yield Row("rebuild of all ten, one after the other", f"{each:,.0f} events/s", "each")


def follower_rates(home: Path) -> Iterator[Row]:
    """The follower on a backlog with all projections, and its delay under load."""
    with EmbeddedPostgres(home).running() as database:
        migrate_all(database)
        asyncio.run(fill(database, EVENTS))
        yield from rebuild_rates(database)
        with database.connect_as_owner() as connection:
            head = head_position(connection)
            connection.execute("UPDATE projection_progress SET position = 0")
            versions = {each.name: each.version for each in read_status(connection)}
            for projection in PROJECTIONS:
                version = versions[projection.name]
                stored = ", ".join(each.stored_as(version) for each in projection.tables)
                connection.execute(f"TRUNCATE {stored}")
        environment = {"GATEWAYZ_HOME": str(home), "GATEWAYZ_PORT": str(free_port())}
        with program("up", environment=environment):
            took, _ = until(database, PROJECTED, head)
            yield Row(
                "follower, backlog, all ten projections", f"{EVENTS / took:,.0f} events/s", ""
            )
            p50, p99 = delays(database)
            yield Row(
                f"follower, delay at {CALLS_PER_S} calls/s",
                f"p50 {p50:,.0f} ms",
                f"p99 {p99:,.0f} ms",
            )


def kafka_rates(home: Path) -> Iterator[Row]:
    """Relay and worker on a backlog, and the delay through both under load."""
    broker = Broker(home / "kafka")
    broker.start()
    try:
        with EmbeddedPostgres(home).running() as database:
            migrate_all(database, host="workers", partitions=PARTITIONS)
            asyncio.run(fill(database, EVENTS))
            with database.connect() as connection:
                head = head_position(connection)
            environment = {
                "GATEWAYZ_HOME": str(home),
                "GATEWAYZ_KAFKA_BOOTSTRAP": broker.bootstrap,
                "GATEWAYZ_KAFKA_PARTITIONS": str(PARTITIONS),
                "GATEWAYZ_RELAY_PORT": str(free_port()),
                "GATEWAYZ_WORKER_PORT": str(free_port()),
            }
            with program("relay", environment=environment) as relay:
                took, _ = until(database, RELAYED, head)
                used = cpu_s(relay)
                yield Row(
                    f"relay, backlog, {PARTITIONS} partitions",
                    f"{EVENTS / took:,.0f} events/s",
                    f"{used:.1f} s of CPU with its start",
                )
                with program("worker", environment=environment) as worker:
                    took, whole = until(database, PROJECTED, head)
                    used = cpu_s(worker)
                    yield Row(
                        "Faust worker, backlog, all ten projections",
                        f"{EVENTS / took:,.0f} events/s",
                        f"{EVENTS / used:,.0f} events per second of its CPU; "
                        f"first rows {whole - took:.1f} s after its start",
                    )
                    p50, p99 = delays(database)
                    yield Row(
                        f"relay, Kafka and worker, delay at {CALLS_PER_S} calls/s",
                        f"p50 {p50:,.0f} ms",
                        f"p99 {p99:,.0f} ms",
                    )
    finally:
        broker.stop()
