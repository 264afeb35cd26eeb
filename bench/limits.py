"""What rate limits cost and how exact they are: `python -m bench.limits`.

Added time of one check, one after the other, with a Redis on this machine and without; the same
with 64 checks at once; and what several processes admit of a limit together.
GATEWAYZ_TEST_REDIS_URL names a Redis; else the tests' own is started.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from command_api.limit_counters.bound import Bound, Limited
from command_api.limit_counters.local import LocalCounters
from command_api.limit_counters.shared import SharedCounters
from domain.limits.rates import SYSTEM_ID, LimitScope, RateLimits
from domain.limits.windows import Asked
from event_store.ids import new_uuid7_text
from tests.servers.provide import redis_url

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKS = 5_000
AT_ONCE = 64
PROCESSES = 8
PER_PROCESS = 10_000
LIMIT = 1_000
TIMEOUT_S = 1.0


def bound(limits: RateLimits, key_id: str) -> Bound:
    """A key, its user and the system, all limited alike."""
    scopes = (
        Limited(LimitScope.KEY, key_id, limits),
        Limited(LimitScope.USER, new_uuid7_text(), limits),
        Limited(LimitScope.SYSTEM, SYSTEM_ID, limits),
    )
    return Bound(scopes, lease_ms=30_000)


WIDE = RateLimits(
    requests_per_minute=10**9,
    requests_per_hour=10**9,
    tokens_per_minute=10**12,
    tokens_per_hour=10**12,
)


def line(name: str, took: list[float]) -> None:
    """Percentiles in microseconds."""
    ordered = sorted(took)
    p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    print(f"{name:44} p50 {p50 * 1e6:8.0f} µs   p99 {p99 * 1e6:8.0f} µs")


async def shared(url: str) -> None:
    """With Redis."""
    counters = SharedCounters(url, timeout_s=TIMEOUT_S)
    await counters.pipe.start()
    one, three = bound(WIDE, new_uuid7_text()), bound(WIDE, new_uuid7_text())
    one = Bound(one.limited[:1], lease_ms=30_000)
    asked = Asked(1, 500)

    async def check(of: Bound) -> float:
        began = time.perf_counter()
        await counters.admit(of, asked, b"")
        return time.perf_counter() - began

    for name, of in (("one scope", one), ("key, user and system", three)):
        for _ in range(500):
            await check(of)
        line(f"Redis, {name}", [await check(of) for _ in range(CHECKS)])
    took = []
    began = time.perf_counter()
    for _ in range(CHECKS // AT_ONCE):
        took += await asyncio.gather(*(check(three) for _ in range(AT_ONCE)))
    rate = len(took) / (time.perf_counter() - began)
    line(f"Redis, three scopes, {AT_ONCE} at once ({rate:,.0f}/s)", took)
    await counters.pipe.stop()


def local() -> None:
    """Without."""
    counters, of, asked = LocalCounters(), bound(WIDE, new_uuid7_text()), Asked(1, 500)

    def timed(check: Callable[[], object]) -> float:
        began = time.perf_counter()
        check()
        return time.perf_counter() - began

    check = lambda: counters.admit(of, asked, b"", 30_000, 4)  # noqa: E731
    line("own counters, key, user and system", [timed(check) for _ in range(CHECKS)])


def _worker(url: str, key_id: str, counted: multiprocessing.Queue[int]) -> None:
    async def run() -> int:
        counters = SharedCounters(url, timeout_s=TIMEOUT_S)
        await counters.pipe.start()
        of = bound(RateLimits(requests_per_minute=LIMIT), key_id)
        of = Bound(of.limited[:1], lease_ms=30_000)
        admitted = 0
        for _ in range(PER_PROCESS // 100):
            checks = (counters.admit(of, Asked(1, 1), b"") for _ in range(100))
            admitted += sum(each.admitted for each in await asyncio.gather(*checks))
        await counters.pipe.stop()
        return admitted

    counted.put(asyncio.run(run()))


def accuracy(url: str) -> None:
    """What the processes admit together."""
    context = multiprocessing.get_context("spawn")
    counted: multiprocessing.Queue[int] = context.Queue()
    key_id = new_uuid7_text()
    workers = [
        context.Process(target=_worker, args=(url, key_id, counted)) for _ in range(PROCESSES)
    ]
    began = time.monotonic()
    for each in workers:
        each.start()
    admitted = sum(counted.get() for _ in workers)
    for each in workers:
        each.join()
    print(
        f"{PROCESSES} processes, {PROCESSES * PER_PROCESS:,} requests against {LIMIT:,} a minute: "
        f"{admitted:,} admitted, in {time.monotonic() - began:.0f} s"
    )


def main() -> None:
    """All of it."""
    with tempfile.TemporaryDirectory() as folder, redis_url(Path(folder)) as url:
        asyncio.run(shared(url))
        local()
        accuracy(url)


if __name__ == "__main__":
    main()
