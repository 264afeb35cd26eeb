"""Tries the offers of a call one after the other until one gives output, or the call's time is up.

One call, one charge (P3): whatever was tried is an attempt on the same call's record. With a
hedge the next offer is tried as well when the first is silent for too long; the first to give
output wins, and the others are given up.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from command_api.calls.attempt_log import tell_failure
from command_api.replies.failures import UpstreamFailure, failure_of_exception
from command_api.routing.router import now_ms
from domain.routing.verdicts import Verdict
from providers.inference.port import UpstreamError, UpstreamTimeoutError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from command_api.calls.call import Attempt, Call
    from command_api.routing.router import Router


class Outcome(Protocol):
    """What an attempt gave."""

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

    async def first(self, run: Callable[[Attempt], Awaitable[T]]) -> T:
        """The first outcome; raises the last UpstreamFailure when no offer gave one."""
        offers = self._call.plan.offers
        hedge_after_ms = self._call.plan.hedge_after_ms
        if hedge_after_ms is not None and len(offers) > 1:
            return await self._hedged(run, hedge_after_ms / 1_000)
        last = len(offers) - 1
        for place in range(last):
            outcome = await self._try(place, run, last=False)
            if not isinstance(outcome, Failed):
                return outcome
            if not self._goes_on(outcome.verdict):
                raise outcome.failure
        outcome = await self._try(last, run, last=True)
        if isinstance(outcome, Failed):
            raise outcome.failure
        return outcome

    def _goes_on(self, verdict: Verdict) -> bool:
        return verdict is not Verdict.CALLER and time.perf_counter() < self._until

    async def _try(
        self, place: int, run: Callable[[Attempt], Awaitable[T]], *, last: bool
    ) -> T | Failed:
        """One attempt, with what it means for the offer's health."""
        offer = self._call.plan.offers[place]
        attempt = self._call.begin(offer)
        health = self._router.health(offer)
        health.begin(now_ms())
        try:
            if place == 0 and last:
                outcome = await run(attempt)
            else:
                outcome = await self._in_time(run(attempt), offer.provider, last=last)
        except UpstreamFailure as failure:
            attempt.record(status=failure.status, error=failure.code)
            tell_failure(self._call, offer, failure)
            return Failed(failure, self._router.failed(offer, failure))
        except BaseException as error:
            health.neutral()
            if isinstance(error, asyncio.CancelledError):
                attempt.record(status=None, error="cancelled")
            raise
        health.succeeded(attempt.elapsed_ms)
        self._router.answered(offer)
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
        offers = self._call.plan.offers
        running: set[asyncio.Task[T | Failed]] = set()
        failed: Failed | None = None
        following = 0
        try:
            while following < len(offers) or running:
                if following < len(offers):
                    last = following == len(offers) - 1
                    running.add(asyncio.ensure_future(self._try(following, run, last=last)))
                    following += 1
                done, running = await asyncio.wait(
                    running,
                    timeout=wait_s if following < len(offers) else None,
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
            await _give_up(running)
        assert failed is not None, "a plan has at least one offer"
        raise failed.failure


async def _give_up(tasks: set[asyncio.Task[T | Failed]]) -> None:
    """End the attempts that lost, whether they are under way or gave output as well."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError, UpstreamError):
            outcome = await task
            if not isinstance(outcome, Failed):
                outcome.drop()
