"""What quotas cost the append: CPU of the database's backend and of the packing of batches, a call.

`python -m bench.quotas`: accounts with none and with four, in turns, on one database. A call is a
hold and its settlement, in batches of so many. `--against FOLDER` measures a checkout of earlier
code beside them, on a database of its own. It is CPU and not time, since machines are busy.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from msgspec.structs import replace
from psycopg import pq

from bench.workloads import call_entries, committer_of, funded_accounts
from event_store.append.entries import APPEND_SQL, AppendCode, Entry, pack, unpack
from event_store.ids import new_uuid7
from event_store.postgres.embedded import EmbeddedPostgres
from projections.hosting.install import migrate_all

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from event_store.postgres.database import Database

BOUND, USED = 16 + 4_096, 11 + 256
"""Tokens of the calls that `call_entries` makes."""
HOLD_TTL_S = 1_200
FASTEST = 10
"""Of so many batches the fastest one counts, and the mean of those is the figure."""
COUNTS = (1, 64)


def fund(database: Database, count: int) -> list[UUID]:
    """Accounts to spend from."""

    async def run() -> list[UUID]:
        committer = committer_of(database)
        await committer.start()
        ids = await funded_accounts(committer, count)
        await committer.stop()
        return ids

    return asyncio.run(run())


def bind(database: Database, account: UUID) -> None:
    """Four quotas that are never reached; key and user have the account's id."""
    from command_api.quotas.commands import Quotas, Scope
    from domain.quotas.terms import LIMIT_MAX, ScopeKind, Unit
    from domain.quotas.windows import Window
    from event_store.log.aggregates import Aggregates

    aggregates = Aggregates(database)
    quotas = Quotas(database, aggregates, actor="bench")
    for kind, unit, window in (
        (ScopeKind.KEY, Unit.REQUESTS, Window.DAY),
        (ScopeKind.KEY, Unit.NANO_USD, Window.MONTH),
        (ScopeKind.USER, Unit.TOKENS, Window.DAY),
        (ScopeKind.USER, Unit.NANO_USD, Window.TOTAL),
    ):
        scope = Scope(kind=kind, scope_id=account, account_id=account)
        quotas.set(scope, unit, window, LIMIT_MAX)
    aggregates.close()


def entries_of(account: UUID) -> tuple[Entry, Entry]:
    """A hold and its settlement, as the gateway of this code or of earlier code packs them."""
    held, settled = call_entries(account)
    if not hasattr(held, "tokens"):
        return held, settled
    scopes: dict[str, Any] = {"key_id": account.bytes, "user_id": account.bytes}
    return replace(held, tokens=BOUND, **scopes), replace(settled, tokens=USED)


class Backend:
    """One connection that appends batches, and what its backend takes of the processor."""

    def __init__(self, database: Database) -> None:
        """Connect and prepare."""
        self._connection = psycopg.connect(database.application, autocommit=True)
        self._pg = self._connection.pgconn
        self._pg.prepare(b"append", APPEND_SQL)
        self._owner = new_uuid7().bytes

    def _taken_ns(self) -> int:
        figures = Path(f"/proc/{self._pg.backend_pid}/schedstat").read_text()
        return int(figures.split()[0])

    def append(self, batch: list[Entry]) -> tuple[int, int]:
        """Nanoseconds of the backend and of the packing."""
        began = time.thread_time_ns()
        parameters = pack(batch, self._owner, HOLD_TTL_S)
        packed = time.thread_time_ns() - began
        before = self._taken_ns()
        formats = [1] * len(parameters)
        result = self._pg.exec_prepared(b"append", parameters, formats, result_format=1)
        taken = self._taken_ns() - before
        assert result.status == pq.ExecStatus.TUPLES_OK, result.error_message
        codes, figures = result.get_value(0, 0), result.get_value(0, 1)
        assert codes is not None and figures is not None
        assert all(each.code == AppendCode.OK for each in unpack(codes, figures, len(batch)))
        return taken, packed

    def turn(self, ids: Sequence[UUID], batches: int, size: int) -> tuple[float, float]:
        """Microseconds a call, of the backend and of the packing."""
        known = {account: entries_of(account) for account in ids}
        taken: list[int] = []
        packed: list[int] = []
        for _ in range(batches):
            calls = [new_uuid7().bytes for _ in range(size)]
            both = [
                self.append(
                    [
                        replace(known[ids[n % len(ids)]][which], stream=call)
                        for n, call in enumerate(calls)
                    ]
                )
                for which in (0, 1)
            ]
            taken.append(sum(each[0] for each in both))
            packed.append(sum(each[1] for each in both))
        most = max(1, batches // FASTEST)
        return (
            statistics.mean(sorted(taken)[:most]) / size / 1_000,
            statistics.mean(sorted(packed)[:most]) / size / 1_000,
        )


def serve(sizes: list[int], batches: int) -> None:
    """Measure what standard input asks for, a line each: kind, accounts, size of a batch."""
    with (
        tempfile.TemporaryDirectory(prefix="gw-bench-") as home,
        EmbeddedPostgres(Path(home)).running() as database,
    ):
        migrate_all(database)
        accounts: dict[str, list[UUID]] = {}
        backend = Backend(database)
        print("ready", sizes, flush=True)
        for line in sys.stdin:
            kind, count, size = line.split()
            name = f"{kind} {count}"
            if name not in accounts:
                accounts[name] = fund(database, int(count))
                for account in accounts[name] if kind == "four" else ():
                    bind(database, account)
                backend.turn(accounts[name], 5, int(size))
            print(*backend.turn(accounts[name], batches, int(size)), flush=True)
        if "four 1" in accounts:
            from projections.hosting.verify import verify

            wrong = [each for each in verify(database).differences if "quota" in each]
            if wrong:
                raise SystemExit("\n".join(wrong[:20]))


class Measured:
    """A process that serves turns with one checkout's code."""

    def __init__(self, folder: Path, batches: int) -> None:
        """Start it; this very file is what it runs, with that folder's modules."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, "--serve", "--batches", str(batches)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None and self._process.stdin is not None
        self._out, self._in = self._process.stdout, self._process.stdin
        assert self._out.readline().startswith("ready")

    def turn(self, kind: str, accounts: int, size: int) -> tuple[float, float]:
        """Microseconds a call, of the backend and of the packing."""
        self._in.write(f"{kind} {accounts} {size}\n")
        self._in.flush()
        taken, packed = self._out.readline().split()
        return float(taken), float(packed)

    def stop(self) -> None:
        """End it; raises SystemExit where its books are wrong."""
        self._in.close()
        if self._process.wait(120):
            raise SystemExit(self._process.returncode)


def main() -> None:
    """Measure in turns, print medians and ratios, verify the books."""
    parser = argparse.ArgumentParser(description="Appends with four quotas against none")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--batches", type=int, default=60, help="in a turn")
    parser.add_argument("--size", type=int, default=64, help="calls in a batch")
    parser.add_argument("--against", type=Path, help="a checkout of code before quotas")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve([arguments.size], arguments.batches)
        return
    here = Measured(Path.cwd(), arguments.batches)
    kinds = {"none": here, "four": here}
    if arguments.against:
        kinds = {"before": Measured(arguments.against, arguments.batches), **kinds}
    for accounts in COUNTS:
        found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for number in range(arguments.turns):
            for kind, measured in list(kinds.items())[:: 1 if number % 2 else -1]:
                found[kind].append(measured.turn(kind, accounts, arguments.size))
        first = 0.0
        for kind, turns in found.items():
            taken, packed = (statistics.median(each) for each in zip(*turns, strict=True))
            first = first or taken + packed
            print(
                f"{accounts} accounts, {kind}: {taken:.1f} + {packed:.1f} µs a call, "
                f"{(taken + packed) / first - 1:+.1%}"
            )
    for measured in {id(each): each for each in kinds.values()}.values():
        measured.stop()


if __name__ == "__main__":
    main()
