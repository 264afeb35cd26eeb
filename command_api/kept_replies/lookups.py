"""Look-ups for kept replies, through a few connections that stay open.

A new key needs none: the append knows whether it is taken. Repeated requests find out here what
became of the first one. A data key is asked for once a minute at most, while the provider
works: an answer that was paid for waits for nothing longer than a second.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool

from event_store.postgres.database import hanging_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge.caller import Caller
    from event_store.postgres.database import Database

CONNECTIONS_MAX = 4
LOOKUP_TIMEOUT_S = 5.0
CHECK_TIMEOUT_S = 1.0
"""Longest wait for a pooled connection's sign of life, seconds."""
RECONNECT_S = 2.0
"""How long the pool tries by itself; afterwards each look-up tries anew, with no pause between."""
DATA_KEY_WAIT_S = 1.0
"""Longest that an answered call waits for its user's data key, seconds."""
DATA_KEY_CACHE_S = 60.0
"""A key that was destroyed meanwhile opens nothing that is sealed with the copy: it is wrapped."""
DATA_KEY_FAILURE_S = 3.0
"""How long nobody asks again for a data key that could not be had, seconds."""
DATA_KEYS_MAX = 10_000
DATA_KEY = (
    "SELECT wrapped_key FROM user_secret WHERE user_id = %(owner)s "
    "UNION ALL SELECT wrapped_key FROM organisation WHERE organisation_id = %(owner)s"
)
"""Of a user or an organisation, as `Caller.owner_id` names one."""


_TURN = b"SELECT pg_advisory_xact_lock(%s, hashtext(%s))"


class DataKey(NamedTuple):
    """What is known of a user's wrapped data key: good, or not asked for again, until then."""

    until: float
    wrapped: bytes | None
    failure: str = ""


class Lookups:
    """The look-ups of one process."""

    def __init__(self, database: Database) -> None:
        """Nothing is connected before the first look-up."""
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
            database.application,
            kwargs={"autocommit": True},
            min_size=1,
            max_size=CONNECTIONS_MAX,
            timeout=LOOKUP_TIMEOUT_S,
            reconnect_timeout=RECONNECT_S,
            check=_answers,
            open=False,
        )
        self._data_keys: dict[str, DataKey] = {}
        self._asked: dict[str, asyncio.Task[None]] = {}

    async def close(self) -> None:
        """Disconnect, once the data keys that are asked for are there or are given up."""
        if self._asked:
            await asyncio.wait(self._asked.values())
        await self._pool.close()

    async def fetch(
        self,
        query: str,
        values: Sequence[Any] | Mapping[str, Any],
        *,
        turn: tuple[int, str] | None = None,
    ) -> tuple[Any, ...] | None:
        """One row; raises psycopg.OperationalError when it cannot be had in time.

        With a turn, an advisory lock and a text, one such statement follows the other: each sees
        what those before it wrote.
        """
        until = time.monotonic() + LOOKUP_TIMEOUT_S
        if self._pool.closed:
            await self._pool.open()
        async with self._pool.connection() as connection:
            with hanging_up(connection, max(until - time.monotonic(), 0.0)):
                if turn is None:
                    cursor = await connection.execute(query.encode(), values)
                    return await cursor.fetchone()
                async with connection.transaction():
                    await connection.execute(_TURN, turn)
                    cursor = await connection.execute(query.encode(), values)
                    return await cursor.fetchone()

    async def fetch_all(
        self, query: str, values: Sequence[Any] | Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """All rows, which the query bounds; raises psycopg.OperationalError as `fetch` does."""
        until = time.monotonic() + LOOKUP_TIMEOUT_S
        if self._pool.closed:
            await self._pool.open()
        async with self._pool.connection() as connection:
            with hanging_up(connection, max(until - time.monotonic(), 0.0)):
                cursor = await connection.execute(query.encode(), values)
                return await cursor.fetchall()

    def ask_ahead(self, caller: Caller) -> None:
        """Begin to ask for the caller's data key, so that it is there once it is needed."""
        if self._known(caller.owner_id) is None:
            self._ask(caller.owner_id)

    async def data_key(self, caller: Caller) -> bytes | None:
        """The caller's wrapped data key, None when it was destroyed (P5).

        Raises psycopg.OperationalError when it cannot be had in DATA_KEY_WAIT_S.
        """
        owner_id = caller.owner_id
        known = self._known(owner_id)
        if known is None:
            # One look-up serves all who wait for it, and goes on when they no longer do.
            await asyncio.wait({self._ask(owner_id)}, timeout=DATA_KEY_WAIT_S)
            known = self._data_keys.get(owner_id)
        if known is not None and not known.failure:
            return known.wrapped  # One of late is as good: it is wrapped.
        message = known.failure if known else f"a look-up took more than {DATA_KEY_WAIT_S} s"
        raise psycopg.OperationalError(message)

    def _known(self, owner_id: str) -> DataKey | None:
        known = self._data_keys.get(owner_id)
        return known if known is not None and known.until > time.monotonic() else None

    def _ask(self, owner_id: str) -> asyncio.Task[None]:
        task = self._asked.get(owner_id)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._learn(owner_id))
            self._asked[owner_id] = task
            task.add_done_callback(lambda _: self._asked.pop(owner_id, None))
        return task

    async def _learn(self, owner_id: str) -> None:
        """Note the wrapped data key; a failure does not displace one that was had."""
        try:
            row = await self.fetch(DATA_KEY, {"owner": UUID(owner_id)})
        except psycopg.Error as error:
            had = self._data_keys.get(owner_id)
            wrapped = had.wrapped if had is not None else None
            failure = "" if wrapped is not None else str(error)
            found = DataKey(time.monotonic() + DATA_KEY_FAILURE_S, wrapped, failure)
        else:
            wrapped = bytes(row[0]) if row is not None and row[0] is not None else None
            found = DataKey(time.monotonic() + DATA_KEY_CACHE_S, wrapped)
        if len(self._data_keys) >= DATA_KEYS_MAX:
            self._data_keys.clear()
        self._data_keys[owner_id] = found


async def _answers(connection: psycopg.AsyncConnection[Any]) -> None:
    """Raise psycopg.OperationalError when nobody answers on a pooled connection."""
    with hanging_up(connection, CHECK_TIMEOUT_S):
        await AsyncConnectionPool.check_connection(connection)
