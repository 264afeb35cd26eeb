"""The room that lines leave to those who wait for an answer, and the bytes that they hold."""

from __future__ import annotations

import asyncio

import pytest

from command_api.batches.running.parts import Room
from command_api.batches.running.spare import Spare
from command_api.routing.rooms import Rooms, Slot
from domain.overload.upstream import Concurrency


def rooms_of(most: int) -> Rooms:
    """Rooms for so many calls at each provider."""
    return Rooms(lambda _: Concurrency(1, most), wait_s=5.0, waiting_max=10)


def live(rooms: Rooms, provider: str) -> Slot:
    """A call that somebody waits for."""
    slot = rooms.of(provider).take()
    assert slot is not None
    return slot


@pytest.mark.parametrize(("most", "lines"), [(1, 1), (2, 1), (3, 1), (4, 2), (10, 5), (100, 50)])
def test_lines_have_half_of_a_provider(most: int, lines: int) -> None:
    """At the least one, and what is given back is another's (rule: calls first)."""
    spare = Spare(rooms_of(most))
    taken = [spare.take(["a"]) for _ in range(lines)]
    assert taken == ["a"] * lines
    assert spare.take(["a"]) is None
    spare.leave("a")
    assert spare.take(["a"]) == "a"


def test_lines_leave_a_quarter_free() -> None:
    """However few lines there are: whoever calls next finds a place (rule: calls first)."""
    rooms = rooms_of(8)
    spare = Spare(rooms)
    calls = [live(rooms, "a") for _ in range(5)]
    assert spare.take(["a"]) == "a"
    calls.append(live(rooms, "a"))
    assert spare.take(["a"]) is None
    calls.pop().leave()
    assert spare.take(["a"]) == "a"


def test_another_provider_is_taken_where_one_is_full() -> None:
    """The first that has room, in the order of the plan (rule: calls first)."""
    spare = Spare(rooms_of(2))
    assert [spare.take(["a", "b"]) for _ in range(3)] == ["a", "b", None]


def test_where_anybody_waits_no_line_begins() -> None:
    """Not even in the place that is free for a moment (rule: calls first)."""

    async def run() -> None:
        rooms = rooms_of(1)
        spare, held = Spare(rooms), live(rooms, "a")
        one = rooms.join(["a"])
        assert one is not None
        assert spare.take(["a"]) is None
        held.leave()
        one.result().slot.leave()
        assert spare.take(["a"]) == "a"

    asyncio.run(run())


def test_bytes_of_lines_are_bounded() -> None:
    """Whoever finds no room waits; one larger than all has it alone; one who gives up leaves
    nothing (rule: bounded).
    """

    async def run() -> None:
        room = Room(10)
        await room.take(6)
        second = asyncio.ensure_future(room.take(6))
        given_up = asyncio.ensure_future(room.take(5))
        await asyncio.sleep(0)
        assert not second.done()
        given_up.cancel()
        await asyncio.sleep(0)
        room.give_back(6)
        await second
        large = asyncio.ensure_future(room.take(1_000))
        await asyncio.sleep(0)
        assert not large.done()
        room.give_back(6)
        await large
        room.give_back(1_000)
        await room.take(10)

    asyncio.run(run())
