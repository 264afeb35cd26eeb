"""The gate before every hold: is the caller within his limits now?

The shared counters decide; where there are none, or they do not answer, those of this process.
What was admitted stays with its call until that ends: then the tokens that it did not use are
given back, and it is under way no more.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from command_api.limit_counters.bound import sums
from command_api.limit_counters.local import LocalCounters, clock_ms
from command_api.limit_counters.scripts import MARK_LIFE_MS, RENEW, SINCE
from command_api.limit_counters.shared import (
    AT_ONCE,
    PEEK,
    Ending,
    SharedCounters,
    batch,
    carry,
    leases,
)
from command_api.limits.metrics import LimitMetrics
from command_api.limits.refusals import Refusals, refusal_of
from domain.limits.windows import REQUESTS, Asked
from providers.redis.pipe import RedisAwayError
from providers.redis.replies import RedisReplyError, command

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.limit_counters.bound import Bound, Outcome
    from command_api.limit_counters.rebuild import Rebuilder
    from command_api.limit_counters.shared import Renewal
    from command_api.limits.book import LimitBook
    from edge.asgi import ReplyHeaders
    from edge.caller import Caller

logger = logging.getLogger("gatewayz.limits")

LOCAL = (b"x-gatewayz-limits", b"local")
LEASE_MS = 30_000
"""How long a call under way counts after its process was last heard of, milliseconds."""
RENEW_S = LEASE_MS / 3_000


class Admitted(Protocol):
    """What has an admission: a call."""

    admission: Admission | None


class Admission:
    """What one call was admitted with."""

    __slots__ = ("_closed", "_gate", "at", "bound", "lease", "shared", "tokens")

    def __init__(
        self, gate: RateGate, bound: Bound, tokens: int, lease: bytes, at: int, *, shared: bool
    ) -> None:
        """`at` is the time of the counters that admitted it, milliseconds."""
        self._gate, self._closed = gate, False
        self.bound, self.tokens, self.lease, self.at, self.shared = bound, tokens, lease, at, shared

    def done(self, tokens: int) -> None:
        """The call has used so many tokens, and is under way no more. The first time counts."""
        self._close(0, tokens - self.tokens)

    def undo(self) -> None:
        """It was no call: it is counted nowhere."""
        self._close(-1, -self.tokens)

    def _close(self, requests: int, tokens: int) -> None:
        if not self._closed:
            self._closed = True
            self._gate.close_admission(self, requests, tokens)


def ended(call: Admitted, tokens: int) -> None:
    """A call has used so many tokens and is under way no more, for its caller's limits."""
    if call.admission is not None:
        call.admission.done(tokens)


def never_was(call: Admitted) -> None:
    """It was answered as an earlier one, and is counted nowhere."""
    if call.admission is not None:
        call.admission.undo()


class RateGate:
    """The limits of one serving process."""

    def __init__(
        self,
        book: LimitBook,
        shared: SharedCounters | None,
        refusals: Refusals,
        *,
        owner: str,
        rebuilder: Rebuilder | None = None,
    ) -> None:
        """Without `shared` counters each process counts for itself."""
        self.book, self.shared, self.refusals = book, shared, refusals
        self._local, self._owner, self._number = LocalCounters(), owner, 0
        self._alone = shared is None
        self._open: dict[bytes, Admission] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._rebuilder = rebuilder
        if shared is not None:
            shared.pipe.came_back = self._came_back
        self.decided_alone = 0
        """Requests that were decided by this process's own counters."""

    async def start(self) -> None:
        """Learn what is in force, connect. Raises psycopg.Error."""
        await self.book.start()
        if self.shared is not None:
            await self.shared.pipe.start()
            loop = asyncio.get_running_loop()
            self._tasks = [loop.create_task(self._renew())]
            if self._rebuilder is not None:
                self._tasks.append(loop.create_task(self._rebuilder.run()))
        self.refusals.start()

    async def stop(self) -> None:
        """Tell what was refused, and disconnect."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.refusals.stop()
        if self.shared is not None:
            self.shared.flush()
            await asyncio.sleep(0)  # What was told is written in the next turn.
            await self.shared.pipe.stop()
        await self.book.stop()

    @property
    def sharing(self) -> bool:
        """Whether the shared counters decide now."""
        return self.shared is not None and self.shared.pipe.ready

    def metrics(self) -> LimitMetrics:
        """What Prometheus is told."""
        alone = partial(getattr, self, "decided_alone")
        return LimitMetrics(self.refusals.total, lambda: self.sharing, alone)

    async def admit(
        self, caller: Caller, tokens: int, head: ReplyHeaders, *, beside: bool = False
    ) -> Admission | None:
        """Count a request that can use so many tokens. Raises ApiError 429 or 503.

        One that is `beside` another of the caller's is a part of it, and not one more under way.
        """
        bound = await self.book.of(caller)
        if bound is not None and beside:
            bound = bound.beside
        if bound is None:
            return None
        lease = b""
        if bound.calls:
            self._number += 1
            lease = f"{self._owner}:{self._number}".encode()
        outcome, shared = await self._decide(bound, Asked(1, tokens), lease)
        _tell(bound, outcome, head, shared=shared)
        if not outcome.admitted:
            scope, gauge = outcome.refusing
            limited = bound.limited[scope]
            self.refusals.note(limited.scope, limited.scope_id, gauge)
            raise refusal_of(limited, gauge, outcome, tokens)
        made = Admission(self, bound, tokens, lease, outcome.now, shared=shared)
        if lease:
            self._open[lease] = made
        return made

    async def tell(self, caller: Caller, head: ReplyHeaders) -> None:
        """Say in a reply's headers how much of his limits a caller has left, counting nothing.

        Raises ApiError 503.
        """
        bound = await self.book.of(caller)
        if bound is not None:
            outcome, shared = await self._decide(bound, PEEK, b"")
            _tell(bound, outcome, head, shared=shared)

    async def peek(self, key_id: str, user_id: str) -> tuple[Bound, Outcome] | None:
        """What a key's limits hold now, counting nothing; None where it has none.

        Raises ApiError 503.
        """
        bound = await self.book.of_key(key_id, user_id)
        if bound is None:
            return None
        return bound, (await self._decide(bound, PEEK, b""))[0]

    async def _decide(self, bound: Bound, asked: Asked, lease: bytes) -> tuple[Outcome, bool]:
        if self.shared is not None and self.shared.pipe.ready:
            try:
                outcome = await self.shared.admit(bound, asked, lease)
            except RedisAwayError:
                pass
            else:
                bound.seen, bound.seen_at = outcome.used, clock_ms()
                return outcome, True
        if not self._alone:
            self._alone = True
            under_way = [
                (name, lease) for lease, each in self._open.items() for name in each.bound.calls
            ]
            self._local.begin(under_way, LEASE_MS)
        self.decided_alone += 1
        found = self._local.admit(bound, asked, lease, LEASE_MS, self.book.processes)
        return found, False

    def close_admission(self, admission: Admission, requests: int, tokens: int) -> None:
        """Correct what was counted for a call that ended."""
        bound, at = admission.bound, admission.at
        if self._open.pop(admission.lease, None) is not None:
            for name in bound.calls:
                self._local.ended(name, admission.lease)
        if admission.shared and self.shared is not None:
            if requests or tokens or admission.lease:
                self.shared.ended(bound, Ending(at, requests, tokens, admission.lease))
            return
        for scope, gauge, _ in bound.gauges:
            change = requests if gauge < REQUESTS else tokens
            if change and sums(gauge):
                self._local.correct(bound.limited[scope].name, gauge, at, change)
        if bound.calls and self.shared is not None:  # It may have been carried over meanwhile.
            self.shared.ended(bound, Ending(at, 0, 0, admission.lease))

    async def _came_back(self, ask: Callable[[bytes], asyncio.Future[Any]]) -> None:
        """Tell the shared counters what was admitted without them, unless they were emptied.

        What stands in an emptied Redis is told by the log, where these calls are as well.
        """
        open_calls = self._leases_of_open()
        for begin in range(0, len(open_calls), AT_ONCE):
            await ask(batch(RENEW, open_calls[begin : begin + AT_ONCE]))
        if not self._alone:
            return
        since = await ask(command("GET", SINCE))
        if since is not None:
            now = await ask(command("EVAL", NOW, 0))
            if int(since.split(b":")[0]) <= int(now) - (clock_ms() - self._local.since):
                await carry(ask, list(self._local.admitted()))
        self._alone = False

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            if self.shared is not None and self.shared.pipe.ready:
                self.shared.renew(self._leases_of_open())
                with suppress(RedisAwayError, RedisReplyError):
                    await self.shared.pipe.ask(command("PEXPIRE", SINCE, MARK_LIFE_MS))

    def _leases_of_open(self) -> list[Renewal]:
        """Calls under way live on."""
        return [
            item
            for each in list(self._open.values())
            for item in leases(each.bound.calls, each.lease, LEASE_MS)
        ]


NOW = """
local clock = redis.call('TIME')
return string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
"""


def _tell(bound: Bound, outcome: Outcome, head: ReplyHeaders, *, shared: bool) -> None:
    head.limits_told = True
    head.more += bound.headers(outcome)
    if not shared:
        head.more.append(LOCAL)
