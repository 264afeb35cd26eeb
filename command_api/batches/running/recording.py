"""What lines were answered is kept by all that wait for it at once: one commit for many."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edge.errors import ApiError

if TYPE_CHECKING:
    from command_api.batches.rows import BatchRow, BatchRows
    from command_api.batches.shapes import Result

AT_ONCE, BYTES_AT_ONCE = 100, 4 * 2**20
"""Most results of one statement, and the bytes beyond which no more are added to it."""
WAITING_BYTES_MAX = 8 * 2**20
"""Bytes of results that wait beyond which a line keeps its place until its own is written."""
AWAY = 503
PAUSE_S = 1.0
"""Pause before it is tried again where the database is away, seconds."""


class LostError(Exception):
    """Another process runs the batch by now."""


class Recording:
    """The results of one running batch."""

    def __init__(self, rows: BatchRows, batch: BatchRow) -> None:
        """Nothing waits."""
        self._rows, self._batch = rows, batch
        self._waiting: list[tuple[Result, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._stored = self._waiting_bytes = 0

    @property
    def bytes(self) -> int:
        """Of all results, those that wait to be written too."""
        return self._stored + self._waiting_bytes

    @property
    def has_room(self) -> bool:
        """Whether another line may be called before those that wait are written."""
        return self._waiting_bytes < WAITING_BYTES_MAX

    async def keep(self, result: Result) -> None:
        """Keep a result, however long the database is away: the call is charged.

        Raises LostError, and ApiError 400 where the data key was destroyed.
        """
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((result, kept))
        self._waiting_bytes += len(result.body)
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._write())
        await kept

    async def stop(self) -> None:
        """Write nothing more: nobody waits for it."""
        writing = self._writing
        if writing is not None:
            writing.cancel()
            await asyncio.wait({writing})

    async def _write(self) -> None:
        now = self._next()
        try:
            while now:
                await self._kept([result for result, _ in now])
                for _, kept in now:
                    if not kept.done():
                        kept.set_result(None)
                now = self._next()
        except (ApiError, LostError) as error:
            # Each line tells it itself: one that was cancelled while it was called may come late.
            for _, kept in (*now, *self._waiting):
                if not kept.done():
                    kept.set_exception(error)
            self._waiting.clear()
        finally:
            self._writing = None
            for _, kept in (*now, *self._waiting):
                kept.cancel()

    def _next(self) -> list[tuple[Result, asyncio.Future[None]]]:
        """The results that are written together now."""
        taken, size = 0, 0
        for result, _ in self._waiting[:AT_ONCE]:
            taken, size = taken + 1, size + len(result.body)
            if size >= BYTES_AT_ONCE:
                break
        now, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return now

    async def _kept(self, results: list[Result]) -> None:
        while True:
            try:
                size = await self._rows.record(self._batch, results)
            except ApiError as error:
                if error.status != AWAY:
                    raise  # Nothing can be sealed for the owner any more.
                await asyncio.sleep(PAUSE_S)
                continue
            if size is None:
                raise LostError
            self._stored = size
            self._waiting_bytes -= sum(len(each.body) for each in results)
            return
