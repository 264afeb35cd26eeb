"""What quotas cost the append: accounts with none and with four, in turns, on one database.

`python -m bench.quotas`: each caller holds and settles one call after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop
from msgspec.structs import replace

from bench.workloads import call_entries, committer_of, funded_accounts
from command_api.quotas.commands import Quotas, Scope
from domain.quotas.terms import LIMIT_MAX, ScopeKind, Unit
from domain.quotas.windows import Window
from event_store.append.entries import AppendCode
from event_store.ids import new_uuid7
from event_store.postgres.embedded import EmbeddedPostgres
from projections.hosting.install import migrate_all
from projections.hosting.verify import verify

if TYPE_CHECKING:
    from uuid import UUID

    from event_store.postgres.database import Database

FOUR = (
    (ScopeKind.KEY, Unit.REQUESTS, Window.DAY),
    (ScopeKind.KEY, Unit.NANO_USD, Window.MONTH),
    (ScopeKind.USER, Unit.TOKENS, Window.DAY),
    (ScopeKind.USER, Unit.NANO_USD, Window.TOTAL),
)
BOUND, USED = 16 + 4_096, 11 + 256
"""Tokens of the calls that `call_entries` makes."""


async def fund(database: Database, count: int) -> list[UUID]:
    """Accounts to spend from."""
    committer = committer_of(database)
    await committer.start()
    ids = await funded_accounts(committer, count)
    await committer.stop()
    return ids


def bind(database: Database, account: UUID) -> None:
    """Four quotas that are never reached; key and user have the account's id."""
    quotas = Quotas(database, actor="bench")
    for kind, unit, window in FOUR:
        scope = Scope(kind=kind, scope_id=account, account_id=account)
        quotas.set(scope, unit, window, LIMIT_MAX)
    quotas.close()


async def turn(database: Database, ids: list[UUID], callers: int, seconds: float) -> float:
    """Durable entries a second."""
    committer = committer_of(database)
    await committer.start()
    count, end = 0, time.perf_counter() + seconds

    async def caller(number: int) -> None:
        nonlocal count
        account = ids[number % len(ids)]
        held, settled = call_entries(account)
        held = replace(held, tokens=BOUND, key_id=account.bytes, user_id=account.bytes)
        settled = replace(settled, tokens=USED)
        while time.perf_counter() < end:
            call = new_uuid7().bytes
            for entry in (replace(held, stream=call), replace(settled, stream=call)):
                assert (await committer.append(entry)).code == AppendCode.OK
                count += 1

    began = time.perf_counter()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    elapsed = time.perf_counter() - began
    await committer.stop()
    return count / elapsed


def main() -> None:
    """Measure in turns, print medians and ratios, verify the books."""
    parser = argparse.ArgumentParser(description="Appends with four quotas against none")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a turn")
    parser.add_argument("--turns", type=int, default=5)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="gw-bench-") as home,
        EmbeddedPostgres(Path(home)).running() as database,
    ):
        migrate_all(database)
        for callers, accounts in ((1, 1), (64, 1), (64, 64)):
            none, four = (uvloop.run(fund(database, accounts)) for _ in range(2))
            for account in four:
                bind(database, account)
            rates: dict[str, list[float]] = {"none": [], "four": []}
            for number in range(arguments.turns):
                turns = [("none", none), ("four", four)]
                for name, ids in turns if number % 2 else reversed(turns):
                    rates[name].append(uvloop.run(turn(database, ids, callers, arguments.seconds)))
            of_none, of_four = (statistics.median(rates[name]) for name in ("none", "four"))
            print(
                f"{callers} callers, {accounts} accounts: {of_none:,.0f}/s without quotas, "
                f"{of_four:,.0f}/s with four: {of_none / of_four - 1:+.0%} a call"
            )
        wrong = [each for each in verify(database).differences if "quota" in each]
        if wrong:
            raise SystemExit("\n".join(wrong[:20]))


if __name__ == "__main__":
    main()
