"""The queue before the calls of one process.

A call that finds room goes on at once. Else it waits behind those of its own class and of higher
ones, for a bounded time, before its body is read. Where the queue is full, the youngest of the
lowest class is refused: it waited least. There is room while few calls wait for their holds, and as
often as the process gets through calls (ADR 0056); from its hold on a call counts among those
under way alone, for waiting for its provider takes no CPU.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from contextlib import suppress
from typing import TYPE_CHECKING

from command_api.shedding.idleness import Idleness
from command_api.shedding.metrics import QueueMetrics
from domain.overload.pace import US_PER_S, AdmissionPace
from domain.overload.priorities import Priority
from edge.errors import unavailable

if TYPE_CHECKING:
    from typing import Any

    from command_api.settings.calls import QueueSettings
    from edge.errors import ApiError

logger = logging.getLogger("gatewayz.shedding")

ADMITTING_MAX = 64
"""Calls without a hold at once, so that a burst waits by class before the process is late."""
MIXED_S = 10.0
"""So long after calls of two classes came there is a class that goes first, seconds."""
TICK_S = 0.004
"""How often those that wait are looked at, while calls are admitted at a pace, seconds."""
SAMPLE_S, IDLE_S = 0.0125, 0.25
"""Time between looks at how late the event loop is, and while nothing is under way, seconds."""
MS_PER_S = 1_000
FULL, LATE = "full", "late"


def overloaded() -> ApiError:
    """A 503: there are more calls than can be served now."""
    message = "The gateway has more calls than it can serve now. Nothing was charged: try again."
    return unavailable("overloaded", message)


class Turn:
    """A call's way through the process; whoever has one leaves."""

    __slots__ = ("_admitted", "_queue", "waited_ms")

    def __init__(self, queue: CallQueue | None) -> None:
        """It goes on, and takes its room."""
        self._queue, self._admitted = queue, False
        self.waited_ms = 0
        """How long it waited before."""
        if queue is not None:
            queue.admitting += 1
            queue.under_way += 1

    def admitted(self) -> None:
        """Its hold is placed: another call may be admitted."""
        if self._queue is not None and not self._admitted:
            self._admitted = True
            self._queue.admitting -= 1
            self._queue.pace.made()
            self._queue.call_next()

    def leave(self) -> None:
        """It has ended, with a hold or without."""
        queue, self._queue = self._queue, None
        if queue is not None:
            queue.under_way -= 1
            queue.admitting -= not self._admitted
            queue.call_next()


NO_TURN = Turn(None)
"""Of a call that did not come so far."""


class _Waiting:
    """One call that waits."""

    __slots__ = ("began", "turn")

    def __init__(self, turn: asyncio.Future[Turn | None]) -> None:
        """The turn is none for a call that is refused."""
        self.turn, self.began = turn, time.monotonic()


class CallQueue:
    """One for each process."""

    def __init__(self, settings: QueueSettings) -> None:
        """Nothing is under way."""
        self.pace = AdmissionPace()
        self.calls_max = settings.calls_max
        self.admitting = self.under_way = 0
        """Calls without a hold yet, and all."""
        self._ticking: asyncio.TimerHandle | None = None
        self._last_class: Priority | None = None
        self._mixed_until = 0.0
        self._waiting_max, self._wait_s = settings.waiting_max, settings.wait_s
        self._queues: tuple[deque[_Waiting], ...] = tuple(deque() for _ in Priority)
        self.admitted_late, self.waited_s = 0, 0.0
        """Calls that waited before they went on, and how long in all."""
        self.shed: Counter[tuple[str, str]] = Counter()
        """Refusals by class and reason."""
        self._task: asyncio.Task[None] | None = None
        self._looked_us = 0

    def start(self) -> None:
        """Begin to look how late the process is."""
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def metrics(self) -> QueueMetrics:
        """What Prometheus is told."""
        return QueueMetrics(self)

    async def enter(self, priority: Priority) -> Turn:
        """Go on once there is room. Raises ApiError 503."""
        self._note(priority)
        if self._room and not any(self._queues[: priority + 1]):
            self._pass_time()
            if self.pace.admits(ahead=self.waiting > 0):
                return Turn(self)
        return await self._wait(priority)

    @property
    def full(self) -> bool:
        """Whether one more call would have to take another's place."""
        waiting = self.waiting
        return waiting >= self._waiting_max and (waiting > 0 or not self._room)

    def sheds(self, priority: Priority) -> bool:
        """Whether a call would be refused at once, as it came last of the lowest class; counted."""
        self._note(priority)
        if not self.full or any(self._queues[priority + 1 :]):
            return False
        self.shed[priority.name.lower(), FULL] += 1
        return True

    def late(self) -> bool:
        """Whether the process itself is late, or was a moment ago."""
        return self.pace.limited

    @property
    def waiting(self) -> int:
        """Calls that wait for their turn."""
        return sum(map(len, self._queues))

    def _note(self, priority: Priority) -> None:
        if priority is not self._last_class:
            if self._last_class is not None:
                self._mixed_until = time.monotonic() + MIXED_S
            self._last_class = priority

    @property
    def _room(self) -> bool:
        return self.admitting < ADMITTING_MAX and self.under_way < self.calls_max

    def _pass_time(self) -> None:
        if not self.pace.limited:
            return  # Nothing is counted out, so no clock need be read.
        now = time.monotonic_ns() // 1_000
        self.pace.passed(now - self._looked_us)
        self._looked_us = now

    def _look_again(self) -> None:
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._ticking = None
        self.call_next()

    async def _wait(self, priority: Priority) -> Turn:
        if self.waiting >= self._waiting_max:
            self._make_room(priority)
        loop = asyncio.get_running_loop()
        one = _Waiting(loop.create_future())
        self._queues[priority].append(one)
        if self.pace.limited:
            self._look_again()
        timer = loop.call_later(self._wait_s, self._refuse, one, priority, LATE)
        try:
            turn = await one.turn
        except asyncio.CancelledError:
            if one.turn.done() and not one.turn.cancelled() and (came := one.turn.result()):
                came.leave()
            else:
                self._forget(one, priority)
            raise
        finally:
            timer.cancel()
        if turn is None:
            raise overloaded()
        waited_s = time.monotonic() - one.began
        self.admitted_late += 1
        self.waited_s += waited_s
        turn.waited_ms = max(1, round(waited_s * MS_PER_S))
        return turn

    def _make_room(self, priority: Priority) -> None:
        """Refuse the youngest of a lower class. Raises ApiError 503 where there is none."""
        for lower in range(len(self._queues) - 1, priority, -1):
            if self._queues[lower]:
                self._refuse(self._queues[lower][-1], Priority(lower), FULL)
                return
        self.shed[priority.name.lower(), FULL] += 1
        raise overloaded()

    def _refuse(self, one: _Waiting, priority: Priority, reason: str) -> None:
        if not one.turn.done():
            self._forget(one, priority)
            self.shed[priority.name.lower(), reason] += 1
            one.turn.set_result(None)

    def _forget(self, one: _Waiting, priority: Priority) -> None:
        with suppress(ValueError):
            self._queues[priority].remove(one)

    def call_next(self) -> None:
        """Let those go on for whom there is room, the highest class and the oldest first."""
        if not self.waiting:
            return
        self._pass_time()
        for queue in self._queues:
            while queue:
                if not self._room:
                    return
                if queue[0].turn.done():
                    queue.popleft()
                elif self.pace.admits():
                    queue.popleft().turn.set_result(Turn(self))
                else:
                    self._look_again()
                    return

    def told(self) -> dict[str, Any]:
        """What admins see."""
        return {
            "enabled": True,
            "under_way": self.under_way,
            "under_way_max": self.calls_max,
            "admitting": self.admitting,
            "admitted_a_second_max": self.pace.rate if self.pace.limited else None,
            "waiting": {
                each.name.lower(): len(queue)
                for each, queue in zip(Priority, self._queues, strict=True)
            },
            "waiting_max": self._waiting_max,
            "admitted_after_waiting": self.admitted_late,
            "shed": {
                each.name.lower(): sum(self.shed[each.name.lower(), why] for why in (FULL, LATE))
                for each in Priority
            },
        }

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        idle, low, before = Idleness(), False, loop.time()
        while True:
            pause = SAMPLE_S if self.under_way or self.waiting or low else IDLE_S
            due = loop.time() + pause
            await asyncio.sleep(pause)
            now = loop.time()
            elapsed_us = int((now - before) * US_PER_S)
            self.sampled(elapsed_us, int((now - due) * US_PER_S), idle.since(elapsed_us))
            before = now
            if low != self.pace.limited:
                low = not low
                logger.log(
                    logging.WARNING if low else logging.INFO,
                    "overloaded: at most %s calls a second are admitted"
                    if low
                    else "not overloaded any more",
                    *([self.pace.rate] if low else []),
                )

    def sampled(self, elapsed_us: int, late_us: int, idle_us: int) -> None:
        """So long after the last time the event loop came so much later than it was to, and had
        so long nothing to do, microseconds. Where all calls are of one class nobody goes first, so
        that a pace would cost calls and serve none.
        """
        if time.monotonic() > self._mixed_until:
            changed = self.pace.lift()
        else:
            changed = self.pace.sampled(elapsed_us, late_us, idle_us, wanted=self.waiting > 0)
        if changed:
            self.call_next()
