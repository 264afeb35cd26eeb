"""Which limits are in force: looked up for a caller once, and again when anything changed.

The limits of a plan are looked up like those that were set, and are known until it ends.
Changes are heard of at once, and looked for twice a second in any case, by the number that each
has; the same look counts the processes that live. While the database is away nothing can change,
and what is known stays in force.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg

from command_api.limit_counters.bound import Bound, Limited
from command_api.limits.commands import BINDING, InForce
from domain.limits.rates import NO_LIMITS, LimitScope, RateLimits, tightest
from domain.plans.catalog import PLANS
from domain.plans.rates import rates_of_call
from edge.errors import ledger_unavailable
from event_store.beside.channels import LIMITS_CHANNEL
from event_store.beside.plans import PLANS_OF_KEYS, PlanOfKey
from event_store.postgres.database import hanging_up

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.caller import Caller
    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.limits")

LOOK_S = 0.5
"""Time between two looks for changes, seconds."""
LOOKUP_TIMEOUT_S = 2.0
"""Longest wait for a look, or for a caller's limits, seconds."""
CHANGED_MAX = 100
"""Most changes at a look after which only those concerned are asked for anew."""
FORGET = "forget"
"""A notice that tells every process to ask for all limits anew."""
CALLERS_MAX = 10_000
"""Most callers whose limits are kept; beyond it all are asked for anew."""

_LOOK = (
    "SELECT EXISTS (SELECT FROM rate_limit WHERE NOT cleared), "
    "(SELECT coalesce(max(change), 0) FROM rate_limit), "
    "(SELECT count(*) FROM process_lease WHERE expires_at > clock_timestamp()), "
    "(SELECT coalesce(max(position), 0) FROM user_plan)"
)
_CHANGED = (
    "(SELECT scope, scope_id::text FROM rate_limit WHERE change > %s LIMIT %s) UNION ALL "
    "(SELECT 'user', user_id::text FROM user_plan WHERE position > %s LIMIT %s)"
)
_OF_MANY = {LimitScope.SYSTEM, LimitScope.ORGANISATION}


class _Known(NamedTuple):
    """A caller's limits."""

    bound: Bound | None
    user_id: str
    until: float | None
    """When they are to be asked for anew, by this process's clock; None for never."""

    @property
    def over(self) -> bool:
        """Whether the plan has ended that they were of."""
        return self.until is not None and self.until <= time.monotonic()


def bound_of(
    rows: Iterable[InForce], *, lease_ms: int, plan: PlanOfKey | None = None
) -> Bound | None:
    """A caller's limits, of all that apply; None where there are none."""
    found: dict[tuple[LimitScope, str], RateLimits] = {}
    for row in rows:
        place = (row.target.scope, row.target.scope_id)
        found[place] = tightest(found.get(place, NO_LIMITS), row.effective)
    limited = [Limited(*place, limits) for place, limits in sorted(found.items())]
    if plan is not None:
        limited += [
            Limited(scope, plan.user_id, limits, plan.plan)
            for scope, limits in rates_of_call(PLANS[plan.plan], live=plan.live)
        ]
    return Bound(limited, lease_ms=lease_ms) if limited else None


class LimitBook:
    """The limits of all callers, as one process knows them."""

    def __init__(self, database: Database, *, lease_ms: int) -> None:
        """Nothing is known yet."""
        self._database, self._lease_ms = database, lease_ms
        self.any = False
        """Whether anybody is limited at all, but by a plan."""
        self.processes = 1
        """How many processes live, this one too."""
        self._known: dict[str, _Known] = {}
        """By key."""
        self._changes = (-1, -1)
        """The last change of a limit that was heard of, and of a plan."""
        self._turn = asyncio.Lock()
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Learn what is in force, and begin to listen. Raises psycopg.Error."""
        async with await self._database.connect_async() as connection:
            await self._look(connection)
        self._task = asyncio.get_running_loop().create_task(self._listen())

    async def stop(self) -> None:
        """Stop listening and disconnect."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._connection is not None:
            await self._connection.close()

    async def of(self, caller: Caller) -> Bound | None:
        """A caller's limits; None where there are none. Raises ApiError 503."""
        known = self._known.get(caller.key_id)
        if known is None or (known.until is not None and known.over):
            return await self.of_key(caller.key_id, caller.user_id)
        return known.bound

    async def of_key(self, key_id: str, user_id: str) -> Bound | None:
        """The same for a key, by its id and its user's."""
        changes = self._changes
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S), self._turn:
                known = self._known.get(key_id)
                if known is not None and not known.over:
                    return known.bound
                found = await self._ask(key_id, user_id)
        except (psycopg.Error, TimeoutError) as error:
            # No hold can be placed then either.
            logger.warning("the limits of a key cannot be looked up: %s", str(error).strip())
            raise ledger_unavailable() from None
        if changes == self._changes:
            if len(self._known) >= CALLERS_MAX:
                self._known.clear()
            self._known[key_id] = found
        return found.bound

    async def _ask(self, key_id: str, user_id: str) -> _Known:
        """On the connection that stands, else on a new one: a restart ends what was idle."""
        values = [key_id, user_id, key_id]
        for fresh in (False, True):
            if fresh or self._connection is None or self._connection.closed:
                self._connection = await self._database.connect_async(int(LOOKUP_TIMEOUT_S))
            try:
                with hanging_up(self._connection, LOOKUP_TIMEOUT_S):
                    cursor = await self._connection.execute(BINDING.encode(), values)
                    rows = [InForce(row) for row in await cursor.fetchall()]
                    began = time.monotonic()
                    cursor = await self._connection.execute(PLANS_OF_KEYS.encode(), [[key_id]])
                    row = await cursor.fetchone()
                plan = None if row is None else PlanOfKey(*row)
                left_s = None if plan is None else plan.left_s
                until = None if left_s is None else began + left_s
                return _Known(bound_of(rows, lease_ms=self._lease_ms, plan=plan), user_id, until)
            except psycopg.OperationalError:
                await self._connection.close()
                if fresh:
                    raise
        raise AssertionError

    async def _look(self, connection: psycopg.AsyncConnection[Any]) -> None:
        with hanging_up(connection, LOOKUP_TIMEOUT_S):
            cursor = await connection.execute(_LOOK.encode())
            row = await cursor.fetchone()
        assert row is not None
        changes = (row[1], row[3])
        if changes != self._changes:
            most = CHANGED_MAX + 1
            values = [self._changes[0], most, self._changes[1], most]
            cursor = await connection.execute(_CHANGED.encode(), values)
            self._forget(await cursor.fetchall())
            self._changes = changes
        self.any, self.processes = row[0], max(1, row[2])

    def _forget(self, changed: list[tuple[str, str]]) -> None:
        """Whose limits changed is asked for anew; all, where those of many did, or too many."""
        ids = {of for _, of in changed}
        of_many = any(scope in _OF_MANY for scope, _ in changed)
        if len(changed) > CHANGED_MAX or of_many:
            self._known.clear()
            return
        for key_id, known in list(self._known.items()):
            if key_id in ids or known.user_id in ids:
                del self._known[key_id]

    async def _listen(self) -> None:
        told = False
        while True:
            try:
                async with await self._database.connect_async() as connection:
                    await connection.execute(f"LISTEN {LIMITS_CHANNEL}")
                    told = False
                    while True:
                        await self._look(connection)
                        async for notice in connection.notifies(timeout=LOOK_S, stop_after=1):
                            if notice.payload == FORGET:
                                self._known.clear()
            except psycopg.Error as error:
                if not told:
                    logger.warning("cannot listen for rate limits: %s", str(error).strip())
                told = True
            await asyncio.sleep(LOOK_S)
