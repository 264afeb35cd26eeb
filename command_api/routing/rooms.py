"""How many calls this process makes at each provider at once; who finds no room goes on, or waits.

The arithmetic is `domain/overload/upstream.py`. A stream counts until its end. Whoever waits goes
before who comes later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from command_api.routing.room_metrics import RoomMetrics
from domain.overload.upstream import Backoff, UpstreamLimit, UsualLatency
from providers.inference.registry.offers import ANY_NUMBER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from domain.overload.upstream import Concurrency
    from providers.inference.registry.offers import Model

KINDS_MAX = 1_000
"""Models of a provider whose usual latency is known; beyond it all are learned anew."""


class Slot:
    """A call's place at a provider; whoever has one leaves, and may do so again."""

    __slots__ = ("_room", "generation")

    def __init__(self, room: Room) -> None:
        """It is taken."""
        self._room: Room | None = room
        self.generation = room.limit.begin()

    def leave(self) -> None:
        """The provider has nothing more to say in this call."""
        room, self._room = self._room, None
        if room is not None:
            room.limit.end()
            room.call_next()


class Found(NamedTuple):
    """A place at the provider of that name."""

    provider: str
    slot: Slot


class Room:
    """The calls at one provider."""

    def __init__(self, name: str, allowed: Concurrency, rooms: Rooms) -> None:
        """Nobody is there."""
        self.name, self.limit, self._rooms = name, UpstreamLimit(allowed), rooms
        self.waiting = deque[asyncio.Future[Found]]()
        self.passed_over = 0
        """Calls that went on to another provider."""
        self._usual: dict[str, UsualLatency] = {}

    def take(self) -> Slot | None:
        """A place, where there is one and nobody waits for it."""
        if self.limit.room and not self.waiting:
            return Slot(self)
        return None

    def answered(self, slot: Slot, model: str, latency_ms: int | None) -> None:
        """It gave output; how long that took is None where it says nothing."""
        if latency_ms is not None and self._slow(model, latency_ms) and not self._rooms.late():
            self.limit.back_off(slot.generation, Backoff.SLOW)
        elif self.limit.answered():
            self.call_next()

    def back_off(self, slot: Slot, why: Backoff) -> None:
        """It refused, or took too long."""
        self.limit.back_off(slot.generation, why)

    def _slow(self, model: str, latency_ms: int) -> bool:
        found = self._usual.get(model)
        if found is None:
            if len(self._usual) >= KINDS_MAX:
                self._usual.clear()
            found = self._usual[model] = UsualLatency()
        return found.slow(latency_ms)

    def call_next(self) -> None:
        """Let those go on for whom there is room now."""
        while self.waiting and self.limit.room:
            one = self.waiting.popleft()
            if not one.done():
                one.set_result(Found(self.name, Slot(self)))

    def told(self) -> dict[str, Any]:
        """What admins see."""
        limit = self.limit
        return {
            "limit": limit.limit,
            "limit_least": limit.least,
            "limit_most": limit.most,
            "adaptive": limit.adaptive,
            "in_flight": limit.in_flight,
            "waiting": len(self.waiting),
            "passed_over": self.passed_over,
            "decreases": {str(why): count for why, count in limit.decreases.items()},
        }


class Rooms:
    """One for each process."""

    def __init__(
        self, allowed: Callable[[str], Concurrency], *, wait_s: float, waiting_max: int
    ) -> None:
        """`allowed` knows what the operator decided for a provider; a wait is in seconds."""
        self._allowed, self._wait_s, self._waiting_max = allowed, wait_s, waiting_max
        self._rooms: dict[str, Room] = {}
        self.late: Callable[[], bool] = _never
        """Whether this process itself is late, so that slowness says nothing of providers."""

    def of_offer(self, offer: Model) -> Room:
        """The room for calls of an offer: those with own keys take no place of the house's."""
        if offer.own_key:
            return Room(offer.provider, ANY_NUMBER, self)
        return self.of(offer.provider)

    def of(self, provider: str) -> Room:
        """The room at a provider."""
        found = self._rooms.get(provider)
        if found is None:
            allowed = self._allowed(provider)
            found = self._rooms[provider] = Room(provider, allowed, self)
        return found

    @property
    def known(self) -> list[Room]:
        """Those at providers that were called."""
        return list(self._rooms.values())

    def metrics(self) -> RoomMetrics:
        """What Prometheus is told."""
        return RoomMetrics(self)

    def join(self, providers: Iterable[str]) -> asyncio.Future[Found] | None:
        """Wait for a place at any of them; None where too many wait already.

        Whoever gets the future calls `leave` with it once he waits no more.
        """
        rooms = [self.of(each) for each in dict.fromkeys(providers)]
        if any(len(each.waiting) >= self._waiting_max for each in rooms):
            return None
        one: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        for each in rooms:
            each.waiting.append(one)
            each.call_next()
        return one

    def leave(self, one: asyncio.Future[Found], *, taken: bool) -> None:
        """Wait no more; without `taken` a place that came after all is another's."""
        if not one.done():
            one.cancel()
        elif not taken and not one.cancelled() and one.exception() is None:
            one.result().slot.leave()
        for each in self._rooms.values():
            if one in each.waiting:
                each.waiting.remove(one)

    async def wait(self, one: asyncio.Future[Found], limit_s: float) -> Found | None:
        """The place that was waited for; None where none came in time."""
        taken = False
        try:
            done, _ = await asyncio.wait([one], timeout=min(limit_s, self._wait_s))
            if not done:
                return None
            found = one.result()
            taken = True
            return found
        finally:
            self.leave(one, taken=taken)


def _never() -> bool:
    return False
