"""The read side of one serving process: a lane of threads and connections for each kind of reader.

What anybody may ask waits for itself alone; callers' own accounts do, too; and the ledger, which
keeps the process's default executor, waits for neither (ADR 0019).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edge.lanes import Flights, Lane
from event_store.postgres.database import ReadPool
from projections.engine.sinks.redis import sinks_of
from query_api.parts import ReadParts, Reads

if TYPE_CHECKING:
    from command_api.serving.gateway import Gateway
    from command_api.settings import Settings
    from event_store.postgres.database import Database
    from query_api.parts import NoteRead


class ReadSide:
    """Made with the application; opened and closed with it."""

    def __init__(self, settings: Settings, database: Database) -> None:
        """Nothing is connected yet."""
        self._settings, self._pools, self._lanes = settings.reads, list[ReadPool](), list[Lane]()
        self._redis_url = settings.redis.url
        self.account = self._reads(database, "account-reads", settings.reads.account_reads_max)
        self.public = self._reads(database, "public-reads", settings.reads.public_reads_max)

    def _reads(self, database: Database, name: str, most: int) -> Reads:
        pool = ReadPool(database, connections_max=most, statement_s=self._settings.statement_s)
        lane = Lane(name, threads=most, waiting_max=self._settings.waiting_max)
        self._pools.append(pool)
        self._lanes.append(lane)
        return Reads(pool, lane)

    def parts(self, gateway: Gateway, note_read: NoteRead) -> ReadParts:
        """What the read routes are given; `note_read` keeps who was shown another's data."""
        settings = self._settings
        return ReadParts(
            account=self.account,
            public=self.public,
            cache=gateway.cache,
            flights=Flights(),
            sinks=sinks_of(self._redis_url),
            page_max=settings.page_max,
            wait_s=settings.wait_s,
            ranking_days_max=settings.ranking_days_max,
            ranking_cache_s=settings.ranking_cache_s,
            public_statistics=settings.public_statistics,
            note_read=note_read,
            issuer=settings.issuer,
        )

    def open(self) -> None:
        """Begin to connect in the background."""
        for pool in self._pools:
            pool.open()

    async def close(self) -> None:
        """Begin no more reads, and close the connections."""
        for lane in self._lanes:
            lane.close()
        for pool in self._pools:
            await asyncio.to_thread(pool.close)
