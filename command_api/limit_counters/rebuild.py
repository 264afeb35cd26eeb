"""What was counted before Redis lost its data, from the log.

The first request after that leaves a mark: since when Redis counts. One process, the first that
says so, adds what the log says of the time before it, for the scopes that have limits; the others
go on meanwhile. What is read is bounded: beyond a number of events the oldest are left out.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import psycopg

from command_api.limit_counters.scripts import ELECTED, REBUILT, SINCE
from command_api.limit_counters.shared import carry, counts_of, script_command
from domain.events.ledger import HoldExpired, HoldPlaced, HoldSettled, HoldVoided
from domain.limits.rates import SYSTEM_ID, LimitScope
from domain.limits.windows import REQUESTS, window_of
from edge.errors import ApiError
from event_store.beside.organisations import read_accounts
from event_store.beside.plans import read_plan_accounts
from providers.redis.pipe import RedisAwayError
from providers.redis.replies import RedisReplyError, command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from command_api.limit_counters.shared import Correction, SharedCounters
    from edge.lanes import Lane
    from event_store.postgres.database import Database

    Wanted = Mapping[str, frozenset[int]]
    """By the name of a scope the gauges of it that are limited."""

logger = logging.getLogger("gatewayz.limits")

EVENTS_MAX = 500_000
"""Most events of the log that are looked at."""
AT_ONCE = 10_000
STATEMENT_S = 10.0
ITEMS_MAX = 50_000
"""Most buckets that are told to Redis."""
ELECTED_MS = 60_000
PAUSE_S = 1.0
"""Pause before Redis is looked at again, seconds."""
TOPICS = [each.TOPIC for each in (HoldPlaced, HoldSettled, HoldVoided, HoldExpired)]
NOW = "return redis.call('TIME')[1] .. ' ' .. redis.call('TIME')[2]"


class _Fact(msgspec.Struct):
    """What counts of an event of a call."""

    account_id: str = ""
    key_id: str = ""
    user_id: str = ""
    input_tokens_bound: int = 0
    output_tokens_bound: int = 0
    usage: dict[str, Any] = {}


_fact = msgspec.json.Decoder(_Fact).decode


class Counted(NamedTuple):
    """What the log says: by scope, gauge and bucket of the database's clock."""

    now_ms: int
    """The database's clock when it was asked, milliseconds."""
    asked_at: float
    """This process's clock then."""
    sums: dict[tuple[str, int, int], int]

    def items(self) -> Iterator[Correction]:
        """As the shared counters take them, the newest first, at most ITEMS_MAX."""
        now = self.now_ms + int((time.monotonic() - self.asked_at) * 1_000)
        newest = sorted(self.sums, key=lambda each: each[2] * window_of(each[1]).bucket)
        for name, gauge, bucket in newest[: -ITEMS_MAX - 1 : -1]:
            width = window_of(gauge).bucket
            age = max(0, now - min((bucket + 1) * width - 1, self.now_ms))
            yield counts_of(name), gauge, age, self.sums[name, gauge, bucket]


def read_counted(database: Database, wanted: Wanted, before_ms: int, looked_at: float) -> Counted:
    """What calls used that were begun before Redis counted.

    It did so for `before_ms` when this process's clock said `looked_at`.
    """
    sums: dict[tuple[str, int, int], int] = {}
    span = max(window_of(gauge).span for gauges in wanted.values() for gauge in gauges)
    with database.connect(statement_s=STATEMENT_S) as connection:
        row = connection.execute(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint, "
            "(SELECT max(notification_id) FROM events)"
        ).fetchone()
        assert row is not None
        now, head = int(row[0]), int(row[1] or 0)
        asked_at = time.monotonic()
        begun = now - before_ms - int((asked_at - looked_at) * 1_000)
        used: dict[Any, int] = {}
        payers = _limited_payers(connection, wanted)
        for top in range(head, max(head - EVENTS_MAX, 0), -AT_ONCE):
            rows = connection.execute(
                "SELECT topic, state, originator_id, "
                "(extract(epoch FROM booked_at) * 1000)::bigint FROM events "
                "WHERE notification_id > %s AND notification_id <= %s AND topic = ANY (%s) "
                "ORDER BY notification_id DESC",
                [top - AT_ONCE, top, TOPICS],
            ).fetchall()
            for topic, state, call, at in rows:
                fact = _fact(bytes(state))
                if topic != HoldPlaced.TOPIC:
                    usage = fact.usage
                    used[call] = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
                elif at < begun:
                    held = fact.input_tokens_bound + fact.output_tokens_bound
                    _add(sums, wanted, payers.names(fact), at, used.pop(call, held))
            if rows and rows[-1][3] < now - span - window_of(REQUESTS - 1).bucket:
                break
    return Counted(now, asked_at, sums)


class _Payers(NamedTuple):
    """Whose accounts those are that pay for calls."""

    organisations: dict[str, str]
    """By account the organisation."""
    planned: dict[str, str]
    """By account the user that has a plan."""
    not_live: frozenset[str]
    """Keys of those users that are not live."""

    def names(self, fact: _Fact) -> Iterator[str]:
        """The scopes of a call."""
        yield f"{LimitScope.KEY}:{fact.key_id}"
        yield f"{LimitScope.USER}:{fact.user_id}"
        yield f"{LimitScope.ORGANISATION}:{self.organisations.get(fact.account_id, '')}"
        yield f"{LimitScope.SYSTEM}:{SYSTEM_ID}"
        user_id = self.planned.get(fact.account_id)
        if user_id is not None:
            yield f"{LimitScope.PLAN}:{user_id}"
            if fact.key_id in self.not_live:
                yield f"{LimitScope.PLAN_NOT_LIVE}:{user_id}"


def _limited_payers(connection: psycopg.Connection[Any], wanted: Wanted) -> _Payers:
    """Those that have limits."""
    organisation, plan = f"{LimitScope.ORGANISATION}:", f"{LimitScope.PLAN}:"
    limited = any(name.startswith(organisation) for name in wanted)
    users = [name.removeprefix(plan) for name in wanted if name.startswith(plan)]
    return _Payers(
        read_accounts(connection) if limited else {}, *read_plan_accounts(connection, users)
    )


def _add(
    sums: dict[tuple[str, int, int], int],
    wanted: Wanted,
    names: Iterable[str],
    at: int,
    tokens: int,
) -> None:
    for name in names:
        for gauge in wanted.get(name, ()):
            place = (name, gauge, at // window_of(gauge).bucket)
            sums[place] = sums.get(place, 0) + (1 if gauge < REQUESTS else tokens)


class Rebuilder:
    """Watches for counters that begin anew, and has them filled."""

    def __init__(
        self,
        database: Database,
        shared: SharedCounters,
        lane: Lane,
        wanted: Callable[[Database], Wanted],
    ) -> None:
        """`wanted` reads which scopes have which limits."""
        self._database, self._shared, self._lane, self._wanted = database, shared, lane, wanted

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._shared.blank.wait()
            self._shared.blank.clear()
            try:
                await self._fill()
            except (RedisAwayError, RedisReplyError, psycopg.Error, ApiError) as error:
                logger.warning("the limits' counters could not be filled: %s", str(error).strip())
            except Exception:
                logger.exception("the limits' counters could not be filled; it is tried again")
            await asyncio.sleep(PAUSE_S)

    async def _fill(self) -> None:
        """Fill them, unless another process does."""
        ask = self._shared.pipe.ask
        self._shared.load()
        mark = await ask(command("GET", SINCE))
        if mark is None or not mark.endswith(b":0"):
            return
        if await ask(command("SET", ELECTED, "1", "NX", "PX", ELECTED_MS)) is None:
            return
        since = mark.split(b":")[0]
        try:
            wanted = await self._lane.run(self._wanted, self._database)
            if wanted:
                asked = time.monotonic()
                seconds, micros = (await ask(command("EVAL", NOW, 0))).split()
                before = int(seconds) * 1_000 + int(micros) // 1_000 - int(since)
                counted = await self._lane.run(read_counted, self._database, wanted, before, asked)
                items = list(counted.items())
                await carry(self._shared.pipe.ask, items)
                took = time.monotonic() - asked
                logger.info(
                    "Redis counts anew for the limits: %d counts were added from the log in %.1f s",
                    len(items),
                    took,
                )
            await ask(script_command(REBUILT, [SINCE], [since]))
        finally:
            await self._shared.pipe.ask(command("DEL", ELECTED))
