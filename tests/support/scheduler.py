"""A seeded scheduler: code of ours runs under a clock of its own, and meets faults at its awaits.

The clock jumps to the next timer, threads are steps of the loop, and every choice comes from one
seed: a seed that fails, fails again in the same way.
"""

from __future__ import annotations

import asyncio
import random
import types
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

T = TypeVar("T")

DELAY_MAX_S = 3.0


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when nothing else can happen."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready:  # type: ignore[attr-defined]
            assert self._scheduled, "everybody waits, and nobody will ever wake them"  # type: ignore[attr-defined]
            self._now = max(self._now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]

    def run_in_executor(  # type: ignore[override]
        self, executor: object, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """A step of the loop instead of a thread: in an order that can be repeated."""
        future = self.create_future()

        def step() -> None:
            try:
                result = func(*args)
            except BaseException as error:  # noqa: BLE001 - as a thread does.
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(result)

        self.call_soon(step)
        return future


class Fate:
    """Decides by a seed what happens next, and remembers what it decided."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.trace: list[str] = []
        self.calm = False

    def happens(self, what: str, chance: float) -> bool:
        """Whether a fault happens now; none does once it is calm."""
        happened = not self.calm and self._random.random() < chance
        if happened:
            self.trace.append(what)
        return happened

    def delay(self, most_s: float = DELAY_MAX_S) -> float:
        """Some seconds; often none, seldom many."""
        return 0.0 if self.calm else most_s * self._random.random() ** 4

    def pick(self, *options: T) -> T:
        """One of them."""
        return self._random.choice(options)


@types.coroutine
def at_every_await(
    work: Coroutine[Any, Any, T], fate: Fate, *, name: str, cancel: float, delay: float
) -> Generator[Any, Any, T]:
    """Run a coroutine that may be cancelled once, or held up, at each of its awaits."""
    send: Callable[[Any], Any] = work.send
    value: Any = None
    cancelled = False
    while True:
        try:
            waited = send(value)
        except StopIteration as end:
            result: T = end.value
            return result
        if not cancelled and fate.happens(f"{name} is cancelled", cancel):
            cancelled = True
            if waited is not None:
                waited._asyncio_future_blocking = False  # It is not awaited after all.
            send, value = work.throw, asyncio.CancelledError()
            continue
        try:
            value = yield waited
            send = work.send
            if fate.happens(f"{name} is held up", delay):
                yield from asyncio.sleep(fate.delay()).__await__()
        except GeneratorExit:
            raise  # The run is over, and nobody drives it any more.
        except BaseException as error:  # noqa: BLE001 - it is the coroutine's to handle.
            send, value = work.throw, error


class Killed(BaseException):
    """The process is gone in the middle of what it did."""


class Life:
    """Of a process that may be killed."""

    def __init__(self) -> None:
        self.over = False


@types.coroutine
def until_killed(work: Coroutine[Any, Any, T], life: Life) -> Generator[Any, Any, T]:
    """Run a coroutine of a process; once that is killed it stands still for ever, uncleaned."""
    send: Callable[[Any], Any] = work.send
    value: Any = None
    while not life.over:
        try:
            waited = send(value)
        except StopIteration as end:
            result: T = end.value
            return result
        except Killed:
            break
        try:
            value = yield waited
            send = work.send
        except GeneratorExit:
            raise
        except BaseException as error:
            if life.over and isinstance(error, asyncio.CancelledError):
                raise  # The run is over.
            send, value = work.throw, error
    yield from asyncio.get_running_loop().create_future().__await__()
    raise Killed
