"""Look-ups for kept replies, through a few connections that stay open.

A new key needs none: the append knows whether it is taken. Repeated requests find out here what
became of the first one, and a user's data key is asked for once a minute at most.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool

if TYPE_CHECKING:
    from edge.caller import Caller
    from event_store.postgres.database import Database

CONNECTIONS_MAX = 4
LOOKUP_TIMEOUT_S = 5.0
DATA_KEY_CACHE_S = 60.0
"""A key that was destroyed meanwhile opens nothing that is sealed with the copy: it is wrapped."""
DATA_KEYS_MAX = 10_000


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
            check=AsyncConnectionPool.check_connection,
            open=False,
        )
        self._asking = asyncio.Lock()
        self._data_keys: dict[str, tuple[float, bytes]] = {}

    async def close(self) -> None:
        """Disconnect."""
        await self._pool.close()

    async def fetch(self, query: str, values: list[Any]) -> tuple[Any, ...] | None:
        """One row; raises psycopg.OperationalError when it cannot be had in time."""
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                if self._pool.closed:
                    await self._pool.open()
                async with self._pool.connection() as connection:
                    cursor = await connection.execute(query.encode(), values)
                    return await cursor.fetchone()
        except TimeoutError:
            message = f"a look-up took more than {LOOKUP_TIMEOUT_S} s"
            raise psycopg.OperationalError(message) from None

    async def data_key(self, caller: Caller) -> bytes | None:
        """The caller's wrapped data key, None when it was destroyed (P5); raises as `fetch`."""
        known = self._data_keys.get(caller.user_id)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        async with self._asking:
            # Whoever waited finds what the one before it was told.
            known = self._data_keys.get(caller.user_id)
            if known is not None and known[0] > time.monotonic():
                return known[1]
            row = await self.fetch(
                "SELECT wrapped_key FROM user_secret WHERE user_id = %s", [UUID(caller.user_id)]
            )
            if row is None or row[0] is None:
                return None
            if len(self._data_keys) >= DATA_KEYS_MAX:
                self._data_keys.clear()
            key = bytes(row[0])
            self._data_keys[caller.user_id] = (time.monotonic() + DATA_KEY_CACHE_S, key)
            return key
