"""Which offers are in maintenance, as one process knows it.

The windows are looked at once a second. While the database is away nothing can be set, what is
known stays in force, and each window ends by this process's own clock.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Any

import psycopg

from edge.errors import SERVER, ApiError
from event_store.beside.upkeep.reading import WINDOWS, WindowNow
from event_store.postgres.database import hanging_up

if TYPE_CHECKING:
    from collections.abc import Iterable

    from event_store.postgres.database import Database
    from providers.inference.registry.offers import Model

logger = logging.getLogger("gatewayz.maintenance")

LOOK_S = 1.0
"""Time between two looks, seconds."""
LOOK_TIMEOUT_S = 2.0


class Closed:
    """The windows that last; one for each process, empty most of the time."""

    def __init__(self) -> None:
        """None is known."""
        self._until: dict[tuple[str, str], float] = {}

    def __bool__(self) -> bool:
        """Whether there is any: without one no call looks further."""
        return bool(self._until)

    def take(self, windows: Iterable[WindowNow]) -> None:
        """What is known from now on."""
        now = time.monotonic()
        self._until = {(each.provider, each.model): now + each.left_s for each in windows}

    def left_s(self, offer: Model) -> float:
        """How long nothing is sent to an offer still; 0 where it may be asked."""
        until = max(
            self._until.get((offer.provider, ""), 0.0),
            self._until.get((offer.provider, offer.id), 0.0),
        )
        return max(until - time.monotonic(), 0.0) if until else 0.0

    def admitted(self, offers: Iterable[Model], away: list[tuple[float, Model]]) -> list[Model]:
        """Those that may be asked; the others are put to `away`, with what is left of each."""
        found: list[Model] = []
        for each in offers:
            left_s = self.left_s(each)
            if left_s:
                away.append((left_s, each))
            else:
                found.append(each)
        return found


def in_maintenance(model: str, away: list[tuple[float, Model]]) -> ApiError:
    """The refusal where all who could be asked for a model are in maintenance."""
    after_s = max(ceil(min(left_s for left_s, _ in away)), 1)
    where = ", ".join(sorted({each.provider for _, each in away}))
    message = (
        f"{model!r} is in maintenance at {where} for another {after_s} s. Nothing was charged: "
        "call again then, or name another model."
    )
    headers = {"retry-after": str(after_s)}
    return ApiError(503, "model_in_maintenance", message, kind=SERVER, headers=headers)


class MaintenanceBook:
    """Keeps `Closed` true."""

    def __init__(self, database: Database, closed: Closed) -> None:
        """Nothing is connected yet."""
        self._database, self._closed = database, closed
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Learn what lasts, and go on looking. Raises psycopg.Error."""
        async with await self._database.connect_async() as connection:
            await self._look(connection)
        self._task = asyncio.get_running_loop().create_task(self._keep_looking())

    async def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _look(self, connection: psycopg.AsyncConnection[Any]) -> None:
        with hanging_up(connection, LOOK_TIMEOUT_S):
            cursor = await connection.execute(WINDOWS.encode())
            rows = await cursor.fetchall()
        self._closed.take(WindowNow(*row) for row in rows)

    async def _keep_looking(self) -> None:
        told = False
        while True:
            try:
                async with await self._database.connect_async() as connection:
                    told = False
                    while True:
                        await self._look(connection)
                        await asyncio.sleep(LOOK_S)
            except psycopg.Error as error:
                if not told:
                    logger.warning("cannot look for maintenance: %s", str(error).strip())
                told = True
            await asyncio.sleep(LOOK_S)
