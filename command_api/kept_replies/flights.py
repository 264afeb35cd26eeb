"""Equal requests at the same time: one of them calls, and the others wait for its answer.

Of one process. The answer is handed from memory, whether it was kept or not. Nobody waits for more
than one flight at a time, and a flight has so many waiting at most.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from edge.errors import ApiError

T = TypeVar("T")


class Landed(Generic[T]):
    """How a flight ended: with an answer; with one that is its caller's alone; or with none."""

    __slots__ = ("answer", "error", "failed")

    def __init__(
        self, answer: T | None = None, *, failed: bool = False, error: ApiError | None = None
    ) -> None:
        """`error` is what a provider's failure was answered with, if it was one."""
        self.answer, self.failed, self.error = answer, failed, error


class Flight(Generic[T]):
    """One call that others wait for."""

    __slots__ = ("_flights", "done", "error", "name", "waiting")

    def __init__(self, flights: Flights[T], name: str) -> None:
        """It begins now."""
        self._flights, self.name, self.waiting = flights, name, 0
        self.done: asyncio.Future[Landed[T]] = asyncio.get_running_loop().create_future()
        self.error: ApiError | None = None
        """What its leader was answered with, as far as it is known."""

    def land(self, answer: T | None) -> None:
        """It has an answer; None is one that is not for others. The first time counts."""
        self._end(Landed(answer))

    def fail(self) -> None:
        """It has none: one of those who wait leads next. Not after it has landed."""
        self._end(Landed(failed=True, error=self.error))

    def _end(self, landed: Landed[T]) -> None:
        if not self.done.done():
            self._flights.forget(self)
            self.done.set_result(landed)

    async def wait(self, wait_s: float, gone: asyncio.Future[None]) -> Landed[T] | None:
        """How it ended; None after so many seconds, or once the one who waits is gone."""
        self.waiting += 1
        try:
            ends: set[asyncio.Future[Any]] = {self.done, gone}
            await asyncio.wait(ends, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.waiting -= 1
        return self.done.result() if self.done.done() else None


class Flights(Generic[T]):
    """Those of one process, by name."""

    def __init__(self, waiters_max: int) -> None:
        """So many may wait for each; 0 lets nobody wait."""
        self._waiters_max = waiters_max
        self._under_way: dict[str, Flight[T]] = {}

    def lead(self, name: str) -> Flight[T] | None:
        """A new flight; None while there is one of that name."""
        if name in self._under_way:
            return None
        flight = self._under_way[name] = Flight(self, name)
        return flight

    def with_room(self, name: str) -> Flight[T] | None:
        """The flight of a name, if one more may wait for it."""
        flight = self._under_way.get(name)
        return flight if flight is not None and flight.waiting < self._waiters_max else None

    def forget(self, flight: Flight[T]) -> None:
        """Let nobody else wait for it."""
        if self._under_way.get(flight.name) is flight:
            del self._under_way[flight.name]

    def clear(self) -> None:
        """Let nobody else wait for those that are under way; who waits already goes on waiting."""
        self._under_way.clear()

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._under_way)
