"""Lanes of threads, and one computation for all who ask the same."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from edge.errors import ApiError
from edge.lanes import Flights, Lane


def test_a_full_lane_refuses_and_leaves_the_others_alone() -> None:
    """So many at once, so many waiting; other threads are not touched (P12, rule: bounded)."""

    async def run() -> None:
        gate, seen = threading.Event(), set[str]()

        def work() -> None:
            seen.add(threading.current_thread().name)
            assert gate.wait(10)

        lane, other = (Lane(name, threads=2, waiting_max=1) for name in ("one", "two"))
        waiting = [asyncio.ensure_future(lane.run(work)) for _ in range(3)]
        await asyncio.sleep(0.05)
        with pytest.raises(ApiError) as caught:
            await lane.run(work)
        assert (caught.value.status, caught.value.code) == (503, "reads_busy")
        assert "retry-after" in caught.value.headers
        assert await other.run(lambda: 7) == 7
        assert await asyncio.to_thread(lambda: 8) == 8
        # Who hangs up frees nothing: the thread is still busy.
        waiting[0].cancel()
        await asyncio.sleep(0.01)
        with pytest.raises(ApiError):
            await lane.run(work)
        gate.set()
        await asyncio.gather(*waiting[1:])
        assert await lane.run(lambda: 9) == 9
        assert all(name.startswith("one") for name in seen)
        lane.close()
        other.close()

    asyncio.run(run())


def test_who_asks_the_same_waits_for_one_answer() -> None:
    """Also where the first hangs up; an error is everybody's, and nothing is kept of it
    (rule: bounded).
    """

    async def run() -> None:
        made = 0

        async def make() -> int:
            nonlocal made
            made += 1
            await asyncio.sleep(0.02)
            return made

        async def fail() -> int:
            nonlocal made
            made += 1
            await asyncio.sleep(0.02)
            raise ValueError

        flights, kept = Flights(), Flights(keep_s=0.2)
        asked = [asyncio.ensure_future(flights.get("a", make)) for _ in range(5)]
        await asyncio.sleep(0.01)
        asked[0].cancel()
        assert await asyncio.gather(*asked[1:]) == [1] * 4
        assert await flights.get("a", make) == 2
        made = 0
        assert [await kept.get("a", make) for _ in range(3)] == [1, 1, 1]
        assert await kept.get("b", make) == 2
        until = time.monotonic() + 0.25
        await asyncio.sleep(until - time.monotonic())
        assert await kept.get("a", make) == 3
        found = await asyncio.gather(
            *(kept.get("c", fail) for _ in range(3)), return_exceptions=True
        )
        assert [type(each) for each in found] == [ValueError] * 3
        assert made == 4
        assert await kept.get("c", make) == 5

    asyncio.run(run())
