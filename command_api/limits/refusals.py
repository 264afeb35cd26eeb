"""Refusals: what the caller is told, and what the log hears: one event an hour and scope."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import psycopg
from eventsourcing.persistence import PersistenceError

from domain.events.limits import RateLimitsRefused
from domain.limits.rates import FIELDS, LimitScope
from domain.limits.windows import BURST, CONCURRENCY, NEVER, REASONS, REQUESTS, retry_after_s
from edge.errors import RATE_LIMIT, ApiError
from event_store.ids import new_envelope, new_uuid7, to_iso
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from command_api.limit_counters.bound import Limited, Outcome
    from edge.lanes import Lane
    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.limits")

SCOPES_MAX = 10_000
"""Most scopes whose refusals are counted for the log; those of more are in the metric alone."""
EVENTS_AT_ONCE = 100
WAITING_MAX = 20_000
"""Most events that are kept while the log is away; of more only the metric tells."""
ACTOR = "gateway"
WHOSE = {
    LimitScope.KEY: "This key",
    LimitScope.USER: "This user",
    LimitScope.ORGANISATION: "This organisation",
    LimitScope.SYSTEM: "The whole gateway",
}
OF_A_PLAN = {
    LimitScope.PLAN: "With the plan {} a user",
    LimitScope.PLAN_NOT_LIVE: "With the plan {} all keys that are not live together",
}


def refusal_of(limited: Limited, gauge: int, outcome: Outcome, tokens: int) -> ApiError:
    """A 429 that names the limit and says when to try again."""
    limit, scope = limited.limits[gauge], limited.scope
    whose = OF_A_PLAN[scope].format(limited.plan) if limited.plan else WHOSE[scope]
    if gauge == BURST:
        allowed = f"{whose} may make {limit} requests at once"
    elif gauge == CONCURRENCY:
        allowed = f"{whose} may have {limit} calls under way"
    else:
        unit = "requests" if gauge < REQUESTS else "tokens"
        allowed = f"{whose} may use {limit} {unit} a {FIELDS[gauge].rpartition('_')[2]}"
    if outcome.processes > 1:
        allowed += f", and {outcome.processes} processes share that while they count apart"
    headers: dict[str, str] = {}
    wait = outcome.wait
    if wait != NEVER:
        seconds = retry_after_s(wait)
        headers = {"retry-after": str(seconds)}
        cure = f"try again in {seconds} s."
    elif limit:
        cure = f"this request alone could use {tokens}: set a lower max_tokens, or send less text."
    else:
        cure = "nothing is admitted. Whoever runs the gateway can change that."
    return ApiError(
        429,
        "rate_limit_exceeded",
        f"{REASONS[gauge]}. {allowed}: {cure}",
        kind=RATE_LIMIT,
        headers=headers,
    )


class Refusals:
    """Counts refusals, and appends the counts of each hour when it is over."""

    def __init__(self, database: Database, lane: Lane, *, interval_s: float) -> None:
        """`interval_s` is an hour, but in tests; the lane's threads append."""
        self._database, self._lane, self._interval_s = database, lane, interval_s
        self._counts: dict[tuple[str, str], Counter[str]] = {}
        self._waiting: list[RateLimitsRefused] = []
        self._task: asyncio.Task[None] | None = None
        self.total: Counter[tuple[str, str]] = Counter()
        """Since the process began, by scope and reason."""

    def start(self) -> None:
        """Begin to append."""
        self._task = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        """Append what is counted, if the log can be reached."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._tell()

    def note(self, scope: LimitScope, scope_id: str, gauge: int) -> None:
        """One refusal."""
        reason = REASONS[gauge]
        self.total[str(scope), reason] += 1
        place = (str(scope), scope_id)
        known = self._counts.get(place)
        if known is None:
            if len(self._counts) >= SCOPES_MAX:
                return
            known = self._counts[place] = Counter()
        known[reason] += 1

    async def _keep(self) -> None:
        while True:
            now = time.time()
            await asyncio.sleep(self._interval_s - now % self._interval_s)
            await self._tell()

    async def _tell(self) -> None:
        """Append the counts; those that cannot be wait for the next time."""
        counts, self._counts = self._counts, {}
        begins = (time.time() - 1) // self._interval_s * self._interval_s
        if len(self._waiting) + len(counts) <= WAITING_MAX:
            starts_at = to_iso(datetime.fromtimestamp(begins, UTC))
            self._waiting += [
                RateLimitsRefused(
                    originator_id=new_uuid7(),
                    originator_version=1,
                    **new_envelope(ACTOR),
                    scope=scope,
                    scope_id=scope_id,
                    starts_at=starts_at,
                    count=reasons.total(),
                    reasons=dict(reasons),
                )
                for (scope, scope_id), reasons in counts.items()
            ]
        if self._waiting:
            try:
                await self._lane.run(self._append)
            except (psycopg.Error, PersistenceError, ApiError) as error:
                logger.warning("refusals wait to be told to the log: %s", str(error).strip())

    def _append(self) -> None:
        with self._database.connect():
            pass  # The library would wait half a minute for a database that is away.
        aggregates = Aggregates(self._database)
        try:
            while self._waiting:
                batch = self._waiting[:EVENTS_AT_ONCE]
                aggregates.append(batch)
                del self._waiting[: len(batch)]
        finally:
            aggregates.close()
