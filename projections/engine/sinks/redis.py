"""Keeps counters in Redis: sorted sets, and the progress beside them in one atomic script.

Scores are doubles, exact for integers below 2^53; money is never kept here. Losing Redis loses
nothing: the progress is lost with the counters, and the host fills both anew from the log.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import redis

from projections.engine.sinks.port import (
    POSTGRES,
    REDIS,
    ProjectionMovedError,
    SinkUnavailableError,
)
from projections.engine.sinks.postgres import PostgresSink, write_progress
from projections.engine.sinks.redis_names import (
    SEPARATOR,
    Sets,
    counts_in,
    expires_at,
    pairs_in,
    progress_in,
    progress_name,
    rows_in,
    set_name,
    table_stem,
)
from projections.engine.tables import Merge

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

    from projections.engine.projection import Fetch, Projection
    from projections.engine.sinks.port import Sink, Step
    from projections.engine.tables import Row, Table

    Connection = psycopg.Connection[Any]

TIMEOUT_S = 5.0
DROP_KEYS = 500

STORE = """
local step = cjson.decode(ARGV[1])
for _, move in ipairs(step.moves) do
  if (redis.call('HGET', KEYS[1], move[1]) or '0') ~= move[2] then return 0 end
end
for _, counter in ipairs(step.counters) do
  redis.call('ZINCRBY', counter[1], counter[3], counter[2])
end
for _, expiry in ipairs(step.expiries) do redis.call('EXPIREAT', expiry[1], expiry[2]) end
for _, move in ipairs(step.moves) do redis.call('HSET', KEYS[1], move[1], move[3]) end
return 1
"""
DUMP = """
local sets = {}
for i = 1, #ARGV do
  for _, name in ipairs(redis.call('KEYS', ARGV[i])) do
    sets[#sets + 1] = {name, redis.call('ZRANGE', name, 0, -1, 'WITHSCORES')}
  end
end
return {redis.call('HGETALL', KEYS[1]), sets}
"""


def connect_redis(url: str) -> redis.Redis:
    """A client that gives up after TIMEOUT_S seconds; nothing is sent yet."""
    client: redis.Redis = redis.Redis.from_url(
        url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, decode_responses=True
    )
    return client


def sinks_of(redis_url: str | None) -> dict[str, Sink]:
    """PostgreSQL, and Redis where there is one, by kind."""
    sinks: dict[str, Sink] = {POSTGRES: PostgresSink()}
    if redis_url:
        sinks[REDIS] = RedisSink(connect_redis(redis_url))
    return sinks


class RedisSink:
    """See the module. One Redis server (or its replica after a failover), not a cluster."""

    kind = REDIS

    def __init__(self, client: redis.Redis) -> None:
        """`client` decodes replies to text."""
        self._redis = client
        self._frozen: Sets | None = None
        self._frozen_progress: dict[str, dict[int, int]] = {}

    def progress(
        self, connection: Connection, projection: Projection, version: int
    ) -> dict[int, int]:
        """Position by partition; none where Redis was lost."""
        del connection
        name = progress_name(projection, version)
        if name in self._frozen_progress:
            return self._frozen_progress[name]
        if self._frozen is not None:
            message = f"projection {projection.name} was rebuilt just now: verify again"
            raise ProjectionMovedError(message)
        return progress_in(self._call("HGETALL", name))

    def fetch(self, connection: Connection, version: int) -> Fetch:
        """No fold that is kept in Redis looks at its rows."""
        del connection, version

        def select(table: Table, condition: str, values: Sequence[Any]) -> list[Row]:
            message = f"{table.name} is kept in Redis: {condition} cannot be asked ({values})"
            raise NotImplementedError(message)

        return select

    def store(self, connection: Connection, step: Step) -> None:
        """Store counters and progress in one script, then note the progress in PostgreSQL.

        The note is for lists and for readers who wait; the truth about the counters lies beside
        them. Raises SinkUnavailableError, or ProjectionMovedError when Redis was lost.
        """
        expiries: dict[str, int] = {}
        counters = []
        for table, merged in step.changes.merged.items():
            lead = len(table.keys) - table.members
            for key, values in merged.items():
                member = SEPARATOR.join(map(str, key[lead:]))
                for column, value in zip(table.values, values, strict=True):
                    assert column.merge is Merge.SUM, "Redis keeps sums"
                    name = set_name(table, step.version, column.name, key[:lead])
                    counters.append((name, member, value))
                    if table.keep_days:
                        expiries[name] = expires_at(table, key)
        text = json.dumps(
            {
                "moves": [
                    (str(each), str(step.old[each]), str(step.new[each])) for each in step.moved()
                ],
                "counters": counters,
                "expiries": list(expiries.items()),
            }
        )
        name = progress_name(step.projection, step.version)
        if not self._call("EVAL", STORE, 1, name, text):
            message = f"projection {step.projection.name} is not where it was in Redis"
            raise ProjectionMovedError(message)
        write_progress(connection, step, compare=False)

    def rows(self, connection: Connection, table: Table, version: int) -> Iterator[Row]:
        """All counters of a table, in key order."""
        del connection
        sets = self._frozen
        if sets is None:
            sets = self._dump("", (table,), version)[1]
        return rows_in(table, version, sets)

    def leading(self, table: Table, version: int, *lead: str) -> Iterator[Row]:
        """The counters under one leading part of the key: a day, a window."""
        names = [set_name(table, version, each.name, lead) for each in table.values]
        sets = {name: pairs_in(self._call("ZRANGE", name, 0, -1, "WITHSCORES")) for name in names}
        return rows_in(table, version, {name: counts_in(found) for name, found in sets.items()})

    def at_this_moment(self, of: Sequence[tuple[Projection, int]]) -> RedisSink:
        """A sink that answers from what is there now: each one's counters with its progress."""
        frozen = RedisSink(self._redis)
        frozen._frozen = {}
        for projection, version in of:
            name = progress_name(projection, version)
            stored, sets = self._dump(name, projection.tables, version)
            frozen._frozen_progress[name] = progress_in(stored)
            frozen._frozen |= sets
        return frozen

    def prune(self, connection: Connection, projection: Projection, version: int) -> None:
        """Sets with an age expire by themselves."""

    def drop(self, owner: Connection, projection: Projection, version: int) -> None:
        """Delete a version; its progress first, so that nobody goes on with half of it."""
        del owner
        self._call("DEL", progress_name(projection, version))
        for table in projection.tables:
            try:
                names = list(
                    self._redis.scan_iter(f"{table_stem(table, version)}*", count=DROP_KEYS)
                )
            except redis.RedisError as error:
                message = f"Redis cannot be reached: {error}"
                raise SinkUnavailableError(message) from error
            for start in range(0, len(names), DROP_KEYS):
                self._call("UNLINK", *names[start : start + DROP_KEYS])

    def _dump(self, progress: str, tables: Sequence[Table], version: int) -> tuple[list[str], Sets]:
        patterns = [f"{table_stem(table, version)}*" for table in tables]
        stored, sets = self._call("EVAL", DUMP, 1, progress, *patterns)
        return stored, {name: counts_in(pairs_in(scored)) for name, scored in sets}

    def _call(self, *command: Any) -> Any:
        try:
            return self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
        except redis.RedisError as error:
            message = f"Redis cannot be reached: {error}"
            raise SinkUnavailableError(message) from error
