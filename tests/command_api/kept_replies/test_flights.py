"""Who waits for whom: bounded, woken by an end of any kind, and by nothing twice."""

from __future__ import annotations

import asyncio

from command_api.kept_replies.flights import Flights


def test_one_leads_and_the_others_wait() -> None:
    """All get the answer, and a name is free as soon as it has landed (rule: bounded)."""

    async def fly() -> None:
        flights = Flights[str](2)
        flight = flights.lead("a")
        assert flight is not None
        assert flights.lead("a") is None
        gone: list[asyncio.Future[None]] = [
            asyncio.get_running_loop().create_future() for _ in "ab"
        ]
        waits = [asyncio.ensure_future(flight.wait(10, each)) for each in gone]
        await asyncio.sleep(0)
        assert flight.waiting == 2
        assert flights.with_room("a") is None, "more than may wait"
        gone[0].set_result(None)
        assert await waits[0] is None
        flight.land("answer")
        flight.fail()
        landed = await waits[1]
        assert landed is not None
        assert (landed.answer, landed.failed) == ("answer", False)
        assert (flight.waiting, len(flights)) == (0, 0)
        assert flights.lead("a") is not None

    asyncio.run(fly())


def test_a_wait_has_an_end_and_a_clear_frees_the_name() -> None:
    """Whatever the leader does (rule: bounded)."""

    async def fly() -> None:
        flights = Flights[str](1)
        first = flights.lead("a")
        assert first is not None
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        assert await first.wait(0.01, never) is None
        flights.clear()
        second = flights.lead("a")
        assert second is not None
        first.fail()
        assert flights.with_room("a") is second, "an old flight does not take the new one along"

    asyncio.run(fly())
