"""Tries the offers of a call one after the other until one gives output, or the call's time is up.

One call, one charge (P3): whatever was tried is an attempt on the same call's record. With a
hedge the next offer is tried as well when the first is silent for too long; the first to give
output wins, and the others are given up.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from command_api.calls.attempt_log import tell_failure
from command_api.replies.failures import (
    UpstreamFailure,
    failure_of_exception,
    failure_of_full_providers,
    had_too_much,
)
from command_api.routing.router import now_ms
from domain.routing.verdicts import Verdict
from providers.inference.port import (
    UpstreamError,
    UpstreamInterruptedError,
    UpstreamTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from command_api.calls.call import Attempt, Call
    from command_api.routing.rooms import Found, Slot
    from command_api.routing.router import Router


class Outcome(Protocol):
    """What an attempt gave."""

    @property
    def reads_on(self) -> bool:
        """Whether its provider may have more to say: then whoever reads it lets go at the end."""
        ...

    def drop(self) -> None:
        """Give it up: another attempt of the same call was quicker."""
        ...


T = TypeVar("T", bound=Outcome)


class Failed(NamedTuple):
    """An attempt that failed, and what that means for the call."""

    failure: UpstreamFailure
    verdict: Verdict


class Failover:
    """The attempts of one call."""

    def __init__(
        self, router: Router, call: Call, *, deadline_s: float, first_output_s: float
    ) -> None:
        """`deadline_s` bounds all attempts together; `first_output_s` all but the last one."""
        self._router, self._call = router, call
        self._until = time.perf_counter() + deadline_s
        self._first_output_s = first_output_s
        self._waiting: asyncio.Future[Found] | None = None
        self._interrupted, self._waited = False, call.timed
        self._slots: dict[Outcome, Slot] = {}
        """Places at providers that have given output, and may give more."""

    def interrupt(self) -> None:
        """Nobody waits for the call any more: a wait for room, now or later, ends at once."""
        self._interrupted = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(UpstreamInterruptedError("interrupted"))

    def let_go(self) -> None:
        """The providers have nothing more to say in this call."""
        for outcome in [*self._slots]:
            self._leave(outcome)

    def _leave(self, outcome: Outcome) -> None:
        slot = self._slots.pop(outcome, None)
        if slot is not None:
            slot.leave()

    async def first(self, run: Callable[[Attempt], Awaitable[T]]) -> T:
        """The first outcome; raises the last UpstreamFailure when no offer gave one."""
        offers = self._call.plan.offers
        hedge_after_ms = self._call.plan.hedge_after_ms
        if hedge_after_ms is not None and len(offers) > 1:
            return await self._hedged(run, hedge_after_ms / 1_000)
        left, failed = list(range(len(offers))), None
        while left:
            place, slot = self._take(left) or await self._room(left, failed)
            left.remove(place)
            outcome = await self._try(place, slot, run, last=not left)
            if not isinstance(outcome, Failed):
                return outcome
            failed = outcome
            if not self._goes_on(failed.verdict):
                break
        assert failed is not None, "a plan has at least one offer"
        raise failed.failure

    def _take(self, left: list[int]) -> tuple[int, Slot] | None:
        """The first of these offers whose provider has room for one more call, and its place."""
        rooms, offers = self._router.rooms, self._call.plan.offers
        for place in left:
            slot = rooms.of_offer(offers[place]).take()
            if slot is not None:
                for passed in left[: left.index(place)]:
                    rooms.of_offer(offers[passed]).passed_over += 1
                return place, slot
        return None

    async def _room(self, left: list[int], failed: Failed | None) -> tuple[int, Slot]:
        """The same after a wait. Raises UpstreamFailure, UpstreamInterruptedError.

        Whoever was tried before and failed says more of the call than those that were not.
        """
        if self._interrupted:
            raise UpstreamInterruptedError("interrupted")
        rooms, offers = self._router.rooms, self._call.plan.offers
        one = self._waiting = rooms.join(offers[place].provider for place in left)
        found: Found | None = None
        if one is not None:
            try:
                found = await rooms.wait(one, max(self._until - time.perf_counter(), 0.0))
            finally:
                self._waiting = None
        if found is None:
            names = dict.fromkeys(offers[place].provider for place in left)
            raise failed.failure if failed else failure_of_full_providers(names)
        self._waited = True
        return next(p for p in left if offers[p].provider == found.provider), found.slot

    def _goes_on(self, verdict: Verdict) -> bool:
        return verdict is not Verdict.CALLER and time.perf_counter() < self._until

    async def _try(
        self, place: int, slot: Slot, run: Callable[[Attempt], Awaitable[T]], *, last: bool
    ) -> T | Failed:
        """One attempt, with what it means for the offer's health and its provider's limit."""
        offer = self._call.plan.offers[place]
        attempt = self._call.begin(offer)
        health = self._router.health(offer)
        health.begin(now_ms())
        try:
            if place == 0 and last and not self._waited:
                outcome = await run(attempt)
            else:
                outcome = await self._in_time(run(attempt), offer.provider, last=last)
        except UpstreamFailure as failure:
            attempt.record(status=failure.status, error=failure.code)
            tell_failure(self._call, offer, failure)
            if why := had_too_much(failure):
                self._router.rooms.of_offer(offer).back_off(slot, why)
            slot.leave()
            return Failed(failure, self._router.failed(offer, failure))
        except BaseException as error:
            slot.leave()
            health.neutral()
            if isinstance(error, asyncio.CancelledError):
                attempt.record(status=None, error="cancelled")
            raise
        elapsed_ms = attempt.elapsed_ms
        health.succeeded(elapsed_ms)
        self._router.answered(offer)
        # How long a whole answer takes says how long it is, and nothing of its provider.
        first_ms = attempt.first_output_ms
        self._router.rooms.of_offer(offer).answered(slot, offer.id, first_ms)
        if outcome.reads_on:
            self._slots[outcome] = slot
        else:
            slot.leave()
        return outcome

    async def _in_time(self, outcome: Awaitable[T], provider: str, *, last: bool) -> T:
        """Bound an attempt by what is left of the call, and by its turn while others wait."""
        left_s = max(self._until - time.perf_counter(), 0.0)
        limit_s = left_s if last else min(left_s, self._first_output_s)
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                return await outcome
        except TimeoutError:
            if not limit.expired():
                raise
            late = UpstreamTimeoutError("no output in time")
            raise failure_of_exception(provider, late) from None

    async def _hedged(self, run: Callable[[Attempt], Awaitable[T]], wait_s: float) -> T:
        """As `first`, with the next offer started early beside a silent one."""
        left = list(range(len(self._call.plan.offers)))
        running: set[asyncio.Task[T | Failed]] = set()
        failed: Failed | None = None
        try:
            while left or running:
                taken = self._take(left)
                if taken is None and left and not running:
                    taken = await self._room(left, failed)
                if taken is not None:
                    place, slot = taken
                    left.remove(place)
                    trying = asyncio.ensure_future(self._try(place, slot, run, last=not left))
                    # One that is cancelled before its first step never came to leave by itself.
                    trying.add_done_callback(partial(_left_if_cancelled, slot))
                    running.add(trying)
                done, running = await asyncio.wait(
                    running,
                    timeout=wait_s if left else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in done:
                    outcome = task.result()
                    if not isinstance(outcome, Failed):
                        running |= done - {task}
                        return outcome
                    failed = outcome
                    if not self._goes_on(failed.verdict):
                        raise failed.failure
        finally:
            await self._give_up(running)
        assert failed is not None, "a plan has at least one offer"
        raise failed.failure

    async def _give_up(self, tasks: set[asyncio.Task[T | Failed]]) -> None:
        """End the attempts that lost, whether they are under way or gave output as well."""
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, UpstreamError):
                outcome = await task
                if not isinstance(outcome, Failed):
                    self._leave(outcome)
                    outcome.drop()


def _left_if_cancelled(slot: Slot, task: asyncio.Task[T | Failed]) -> None:
    if task.cancelled():
        slot.leave()
