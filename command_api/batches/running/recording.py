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
        self._writes = False
        self.bytes = 0
        """Of all results, as far as they are known."""

    async def keep(self, result: Result, group: asyncio.TaskGroup) -> None:
        """Keep a result, however long the database is away: the call is charged.

        It is written by a task of the group, which fails with LostError, or with ApiError 400
        where the data key was destroyed.
        """
        kept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((result, kept))
        if not self._writes:
            self._writes = True
            group.create_task(self._write())
        await kept

    async def _write(self) -> None:
        try:
            while self._waiting:
                taken, size = 0, 0
                for result, _ in self._waiting[:AT_ONCE]:
                    taken, size = taken + 1, size + len(result.body)
                    if size >= BYTES_AT_ONCE:
                        break
                now, self._waiting = self._waiting[:taken], self._waiting[taken:]
                await self._kept([result for result, _ in now])
                for _, kept in now:
                    if not kept.done():
                        kept.set_result(None)
        finally:
            self._writes = False

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
            self.bytes = size
            return
