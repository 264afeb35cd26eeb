"""GET /ping: that somebody answers, and how often all gateways were asked; open to anybody.

However many ask at once, one statement at a time counts them all, so that nobody can keep the
database busy with it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any

import psycopg
from fastapi import APIRouter, Depends, Request, Response

from edge.access import OPEN
from edge.lanes import Lane
from edge.replies import json_reply, timestamp
from event_store.beside.upkeep.pings import Pings, add_pings, read_pings
from event_store.ids import to_iso

if TYPE_CHECKING:
    from collections.abc import Callable

    from event_store.postgres.database import Database

STATEMENT_S = 2.0
APART_S = 1.0
"""Time after a statement that failed before the next is tried, seconds."""
KEPT_S = 5.0
"""How long a count is told that nobody has added to, seconds."""

router = APIRouter(dependencies=[OPEN])


class PingCounter:
    """One for each process."""

    def __init__(self, database: Database) -> None:
        """Nothing is counted yet."""
        self._database = database
        self._lane = Lane("pings", threads=1, waiting_max=1)
        self._lock = asyncio.Lock()
        self._came = self._counted = 0
        self._known: Pings | None = None
        self._known_at = self._failed_at = float("-inf")

    async def count(self) -> Pings | None:
        """One more: what all are now, or were known to be while the database is away."""
        self._came += 1
        mine = self._came
        async with self._lock:
            # Whoever held the lock before may have counted this one, too.
            if mine > self._counted:
                upto, before = self._came, self._counted
                await self._ask(lambda connection: add_pings(connection, upto - before), upto)
            return self._known

    async def read(self) -> tuple[Pings | None, bool]:
        """The same without one more, and whether it was known already."""
        async with self._lock:
            cached = time.monotonic() - self._known_at < KEPT_S
            if not cached:
                cached = not await self._ask(read_pings, self._counted)
            return self._known, cached

    def close(self) -> None:
        """Count nothing more."""
        self._lane.close()

    async def _ask(self, work: Callable[[psycopg.Connection[Any]], Pings], upto: int) -> bool:
        """Whether the database answered; what could not be counted comes with the next one."""
        if time.monotonic() - self._failed_at < APART_S:
            return False
        try:
            self._known = await self._lane.run(self._on_thread, work)
        except psycopg.Error:
            self._failed_at = time.monotonic()
            return False
        self._counted, self._known_at = upto, time.monotonic()
        return True

    def _on_thread(self, work: Callable[[psycopg.Connection[Any]], Pings]) -> Pings:
        with self._database.connect(statement_s=STATEMENT_S) as connection:
            return work(connection)


def _counter(request: Request) -> PingCounter:
    counter: PingCounter = request.app.state.pings
    return counter


Counter = Annotated[PingCounter, Depends(_counter)]


@router.get("/ping")
async def ping(counter: Counter) -> Response:
    """Answer, and count it; `count` is null while the ledger was never reached."""
    found = await counter.count()
    count = None if found is None else found.total
    return json_reply({"message": "pong", "count": count, "timestamp": timestamp()})


@router.get("/ping/stats")
async def stats(counter: Counter) -> Response:
    """How often it was asked, since when; `cached` where that is what was known before."""
    found, cached = await counter.read()
    last = None if found is None or found.last_at is None else to_iso(found.last_at)
    return json_reply(
        {
            "total_pings": None if found is None else found.total,
            "last_ping_at": last,
            "created_at": None if found is None else to_iso(found.created_at),
            "updated_at": last,
            "cached": cached,
            "timestamp": timestamp(),
        }
    )
