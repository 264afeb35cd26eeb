"""Places at providers: who waits, who goes before whom, and that none is lost."""

from __future__ import annotations

import asyncio

from command_api.routing.rooms import Found, Rooms, Slot
from domain.overload.upstream import WINDOW, Backoff, Concurrency


def rooms_of(most: int = 1, *, wait_s: float = 5.0, waiting_max: int = 10) -> Rooms:
    """Rooms for so many calls at each provider."""
    return Rooms(lambda _: Concurrency(1, most), wait_s=wait_s, waiting_max=waiting_max)


def taken(rooms: Rooms, provider: str) -> Slot:
    """A place that is there."""
    slot = rooms.of(provider).take()
    assert slot is not None
    return slot


def waiting(rooms: Rooms, *providers: str) -> asyncio.Task[Found | None]:
    """Somebody who waits for one of these."""
    one = rooms.join(providers)
    assert one is not None
    return asyncio.ensure_future(rooms.wait(one, 60))


def test_who_waits_goes_before_who_comes_later() -> None:
    """In the order in which they came (rule: calls first)."""

    async def run() -> None:
        rooms = rooms_of()
        held = taken(rooms, "a")
        first, second = waiting(rooms, "a"), waiting(rooms, "a")
        await asyncio.sleep(0)
        held.leave()
        held.leave()  # Twice, as whoever ends a stream may.
        assert rooms.of("a").take() is None
        found = await first
        assert found is not None
        assert not second.done()
        found.slot.leave()
        again = await second
        assert again is not None
        again.slot.leave()
        assert rooms.of("a").told()["in_flight"] == 0
        taken(rooms, "a").leave()

    asyncio.run(run())


def test_the_first_provider_with_room_is_taken_and_no_other() -> None:
    """Whoever waits for two gets one place (rule: bounded)."""

    async def run() -> None:
        rooms = rooms_of()
        held = [taken(rooms, "a"), taken(rooms, "b")]
        one = waiting(rooms, "a", "b")
        await asyncio.sleep(0)
        for each in reversed(held):
            each.leave()
        found = await one
        assert found is not None
        assert found.provider == "b"
        assert [each.told()["in_flight"] for each in rooms.known] == [0, 1]
        assert [each.told()["waiting"] for each in rooms.known] == [0, 0]

    asyncio.run(run())


def test_a_place_that_comes_too_late_is_anothers() -> None:
    """For one who gave up in the same moment, by its time or cancelled (rule: bounded)."""

    async def run() -> None:
        rooms = rooms_of(wait_s=0.02)
        held = taken(rooms, "a")
        assert await waiting(rooms, "a") is None
        one = rooms.join(["a"])
        assert one is not None
        gone = asyncio.ensure_future(rooms.wait(one, 60))
        await asyncio.sleep(0)
        held.leave()
        gone.cancel()
        await asyncio.wait([gone])
        assert gone.cancelled()
        assert rooms.of("a").told()["in_flight"] == 0
        taken(rooms, "a").leave()

    asyncio.run(run())


def test_only_so_many_wait() -> None:
    """Whoever comes then is told at once (rule: bounded)."""

    async def run() -> None:
        rooms = rooms_of(waiting_max=1)
        held = taken(rooms, "a")
        first = waiting(rooms, "a")
        await asyncio.sleep(0)
        assert rooms.join(["a"]) is None
        held.leave()
        assert await first

    asyncio.run(run())


def test_slowness_counts_only_while_this_process_is_in_time() -> None:
    """A late process sees every provider late (rule: calls first)."""

    async def run() -> None:
        for late, fell in ((True, 0), (False, 1)):
            rooms = rooms_of(most=100)
            rooms.late = lambda late=late: late  # type: ignore[misc]
            room = rooms.of("a")
            for latency_ms in (*[100] * WINDOW, *[5_000] * WINDOW):
                room.answered(taken(rooms, "a"), "m", latency_ms)
            assert room.told()["decreases"] == {"refused": 0, "slow": fell}

    asyncio.run(run())


def test_room_that_grows_is_for_who_waits() -> None:
    """Without a call's end (rule: calls first)."""

    async def run() -> None:
        rooms = Rooms(lambda _: Concurrency(1, 50, 1), wait_s=5, waiting_max=9)
        held = taken(rooms, "a")
        one = waiting(rooms, "a")
        await asyncio.sleep(0)
        rooms.of("a").answered(held, "m", None)
        assert await one
        rooms.of("a").back_off(held, Backoff.REFUSED)
        assert rooms.of("a").told()["limit"] == 1

    asyncio.run(run())
