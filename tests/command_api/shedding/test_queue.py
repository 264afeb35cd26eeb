"""The queue before the calls of one process."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from command_api.settings.calls import QueueSettings
from command_api.shedding.queue import ADMITTING_MAX, CallQueue
from domain.overload.pace import BURST_US, LATE_US, LEAST, SAMPLES, US_PER_S
from domain.overload.priorities import Priority
from edge.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def queue_of(calls_max: int = 1, waiting_max: int = 100, wait_s: float = 30.0) -> CallQueue:
    """A queue that is not looked after."""
    return CallQueue(
        QueueSettings(
            GATEWAYZ_CALLS_MAX=calls_max,
            GATEWAYZ_QUEUE_MAX=waiting_max,
            GATEWAYZ_QUEUE_WAIT_S=wait_s,
        )
    )


async def eventually(check: Callable[[], bool]) -> None:
    """Once it is so."""
    async with asyncio.timeout(20):
        while not check():
            await asyncio.sleep(0.001)


async def all_wait(queue: CallQueue, count: int) -> None:
    """Once so many wait."""
    await eventually(lambda: queue.waiting == count)


def ran(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """The test's coroutine, run."""
    asyncio.run(test())


def test_a_call_that_finds_room_does_not_wait() -> None:
    """It takes no turn of the event loop (rule: calls first)."""
    queue = queue_of(calls_max=1)
    entering = queue.enter(Priority.BACKGROUND)
    with pytest.raises(StopIteration) as found:
        entering.send(None)
    turn = found.value.value
    assert (turn.waited_ms, queue.under_way, queue.admitting) == (0, 1, 1)
    for _ in range(2):
        turn.leave()
    assert (queue.under_way, queue.admitting, queue.waiting) == (0, 0, 0)


def test_the_highest_class_and_the_oldest_goes_first() -> None:
    """Whoever came before or after (rule: calls first)."""

    async def run() -> None:
        queue, went = queue_of(), list[tuple[Priority, int]]()
        first = await queue.enter(Priority.LOW)

        async def call(priority: Priority, number: int) -> None:
            turn = await queue.enter(priority)
            assert turn.waited_ms >= 1
            went.append((priority, number))
            turn.leave()

        order = [(each, number) for number in range(4) for each in reversed(Priority)]
        tasks = [asyncio.create_task(call(*each)) for each in order]
        await all_wait(queue, len(order))
        first.leave()
        await asyncio.gather(*tasks)
        assert went == sorted(order)
        assert (queue.under_way, queue.waiting, queue.admitted_late) == (0, 0, len(order))
        assert queue.waited_s > 0

    ran(run)


async def outcome(queue: CallQueue, priority: Priority) -> Any:
    """What became of a call: its turn, or how it was refused."""
    try:
        return await queue.enter(priority)
    except ApiError as error:
        return error.status, error.code, error.headers["retry-after"]


REFUSED = (503, "overloaded", "2")


def test_the_lowest_class_is_refused_first() -> None:
    """The youngest of it, at once; where nobody is lower, whoever came (rule: bounded)."""

    async def run() -> None:
        queue = queue_of(waiting_max=3)
        first = await queue.enter(Priority.LOW)
        tasks = []
        for number, each in enumerate((Priority.LOW, Priority.LOW, Priority.MEDIUM)):
            tasks.append(asyncio.create_task(outcome(queue, each)))
            await all_wait(queue, number + 1)
        assert await outcome(queue, Priority.LOW) == REFUSED
        assert await outcome(queue, Priority.BACKGROUND) == REFUSED
        high = asyncio.create_task(outcome(queue, Priority.HIGH))
        assert await tasks[1] == REFUSED
        more = asyncio.create_task(outcome(queue, Priority.CRITICAL))
        assert await tasks[0] == REFUSED
        assert await outcome(queue, Priority.MEDIUM) == REFUSED
        assert queue.waiting == 3
        first.leave()
        for task in (more, high, tasks[2]):
            (await task).leave()
        assert (queue.under_way, queue.waiting) == (0, 0)
        assert queue.told()["shed"] == {
            "critical": 0,
            "high": 0,
            "medium": 1,
            "low": 3,
            "background": 1,
        }

    ran(run)


def test_nobody_waits_for_ever() -> None:
    """503 after the time that is set, and the place is free again (rule: bounded)."""

    async def run() -> None:
        queue = queue_of(wait_s=0.05)
        await queue.enter(Priority.LOW)
        assert await outcome(queue, Priority.CRITICAL) == REFUSED
        assert (queue.under_way, queue.waiting) == (1, 0)
        assert queue.shed == {("critical", "late"): 1}

    ran(run)


def test_who_goes_away_takes_no_turn() -> None:
    """While waiting, and in the moment in which the turn came (rule: calls first)."""

    async def run() -> None:
        queue = queue_of()
        first = await queue.enter(Priority.LOW)
        gone = asyncio.create_task(outcome(queue, Priority.LOW))
        late = asyncio.create_task(outcome(queue, Priority.LOW))
        await all_wait(queue, 2)
        gone.cancel()
        await asyncio.wait([gone])
        assert queue.waiting == 1
        first.leave()
        assert (queue.under_way, queue.admitting) == (1, 1)
        late.cancel()
        await asyncio.wait([late])
        assert (queue.under_way, queue.admitting, queue.waiting) == (0, 0, 0)

    ran(run)


def test_a_call_with_a_hold_is_under_way_alone() -> None:
    """It waits for its provider, and is admitted no more (rule: calls first)."""

    async def run() -> None:
        queue = queue_of(calls_max=5)
        turns = [await queue.enter(Priority.LOW) for _ in range(5)]
        for each in turns[:3]:
            each.admitted()
            each.admitted()
        assert (queue.admitting, queue.under_way) == (2, 5)
        waiting = asyncio.create_task(outcome(queue, Priority.LOW))
        await all_wait(queue, 1)
        turns[0].leave()
        turns.append(await waiting)
        assert (queue.admitting, queue.under_way) == (3, 5)
        for each in turns:
            each.leave()
        assert (queue.admitting, queue.under_way) == (0, 0)

    ran(run)


def test_a_burst_waits_by_class_for_its_holds() -> None:
    """Before the process is late at all (rule: calls first, rule: bounded)."""

    async def run() -> None:
        queue = queue_of(calls_max=500)
        turns = [await queue.enter(Priority.LOW) for _ in range(ADMITTING_MAX)]
        low = asyncio.create_task(outcome(queue, Priority.LOW))
        await all_wait(queue, 1)
        high = asyncio.create_task(outcome(queue, Priority.HIGH))
        await all_wait(queue, 2)
        turns[0].admitted()
        turns.append(await high)
        assert not low.done()
        turns[1].leave()
        turns.append(await low)
        assert (queue.admitting, queue.under_way) == (ADMITTING_MAX, ADMITTING_MAX + 1)

    ran(run)


SAMPLE_US = 12_500


async def mixed(queue: CallQueue) -> None:
    """Calls of two classes come."""
    for each in (Priority.HIGH, Priority.LOW):
        (await queue.enter(each)).leave()


def late(queue: CallQueue, late_us: int = LATE_US) -> None:
    """The process was late all the time, and busy."""
    for _ in range(SAMPLES):
        queue.sampled(SAMPLE_US, late_us, 0)


def test_the_pace_follows_how_late_the_process_is() -> None:
    """Those that wait go on one after the other (rule: calls first)."""

    async def run() -> None:
        queue = queue_of(calls_max=500)
        await mixed(queue)
        turns = [await queue.enter(Priority.LOW) for _ in range(50)]
        for each in turns:
            each.admitted()
        late(queue)
        assert queue.pace.rate == 460
        assert queue.late()
        tasks = [asyncio.create_task(outcome(queue, Priority.LOW)) for _ in range(50)]
        await eventually(lambda: queue.admitted_late > 10)
        turns += await asyncio.gather(*tasks)
        kept = 460 * BURST_US // US_PER_S
        assert sum(each.waited_ms > 0 for each in turns) >= 50 - kept
        assert max(each.waited_ms for each in turns) >= (50 - kept) * 1_000 // 460 - 20
        assert queue.under_way == 100

    ran(run)


def test_where_all_are_of_one_class_there_is_no_pace() -> None:
    """Nobody would be served by it; the last of it ends with the mix (rule: calls first)."""

    async def run() -> None:
        queue = queue_of(calls_max=500)
        turns = [await queue.enter(Priority.LOW) for _ in range(50)]
        for each in turns:
            each.admitted()
        late(queue)
        assert not queue.late()
        await queue.enter(Priority.HIGH)
        for _ in turns:
            queue.pace.made()
        late(queue)
        assert queue.late()
        queue._mixed_until = 0.0
        late(queue)
        assert not queue.late()

    ran(run)


def test_who_is_ahead_of_all_that_wait_goes_on_at_once() -> None:
    """And the others wait for those a little longer (rule: calls first)."""

    async def run() -> None:
        queue = queue_of(calls_max=500)
        await mixed(queue)
        (await queue.enter(Priority.LOW)).admitted()
        late(queue)
        assert queue.pace.rate == LEAST
        tasks = [asyncio.create_task(outcome(queue, Priority.LOW)) for _ in range(10)]
        await eventually(lambda: queue.waiting > 5)
        assert (await queue.enter(Priority.HIGH)).waited_ms == 0
        late(queue, 0)
        await asyncio.gather(*tasks)
        assert queue.waiting == 0

    ran(run)


def test_it_says_when_it_is_overloaded(caplog: pytest.LogCaptureFixture) -> None:
    """As it begins and as it is over (rule: observable)."""

    async def run() -> None:
        queue = queue_of(calls_max=5)
        await mixed(queue)
        (await queue.enter(Priority.LOW)).admitted()
        queue.start()
        late(queue)
        assert queue.late()
        await eventually(lambda: f"overloaded: at most {LEAST} calls a second" in caplog.text)
        await eventually(lambda: "not overloaded any more" in caplog.text)
        assert not queue.late()
        await queue.stop()

    caplog.set_level("INFO", "gatewayz.shedding")
    ran(run)


@pytest.mark.parametrize("seed", range(20))
def test_no_place_is_ever_lost(seed: int) -> None:
    """Calls come, leave and go away at random: in the end all is free (rule: bounded)."""

    async def run() -> None:
        dice = random.Random(seed)
        queue = queue_of(calls_max=3, waiting_max=8, wait_s=0.02)

        async def call() -> None:
            await asyncio.sleep(dice.random() / 50)
            try:
                turn = await queue.enter(Priority(dice.randrange(5)))
            except ApiError:
                return
            assert queue.admitting <= queue.under_way <= 3
            try:
                await asyncio.sleep(dice.random() / 100)
                turn.admitted()
                await asyncio.sleep(dice.random() / 100)
            finally:
                turn.leave()

        tasks = [asyncio.create_task(call()) for _ in range(100)]
        for each in tasks:
            if dice.random() < 0.3:
                await asyncio.sleep(0)
                each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (queue.under_way, queue.admitting, queue.waiting) == (0, 0, 0)

    ran(run)
