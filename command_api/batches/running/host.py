"""The batches that a process runs: taken up when there is room, looked at each second, let go."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from command_api.batches.running.recording import LostError
from command_api.batches.running.run import BatchRun
from edge.errors import ApiError

if TYPE_CHECKING:
    from uuid import UUID

    from command_api.batches.rows import BatchRow
    from command_api.batches.running.parts import BatchParts

logger = logging.getLogger("gatewayz.batches")

LOOK_S = 1.0
"""Time between looks at what is to be run, and at what is to end, seconds."""
PURGE_S = 60.0
"""Time between looks for files whose time is over, seconds."""
STOP_S = 3.0
"""How long the lines under way may take to settle when the process stops, seconds."""


class BatchHost:
    """Those of one process."""

    def __init__(self, parts: BatchParts) -> None:
        """Nothing runs."""
        self._parts = parts
        self._runs: dict[UUID, BatchRun] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._purge_due = 0.0

    def start(self) -> None:
        """Begin to look for batches."""
        self._looking = asyncio.get_running_loop().create_task(self._look())

    async def stop(self) -> None:
        """Begin nothing more; what is under way settles, and others take up the rest."""
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        for run in self._runs.values():
            run.stop()
        ids, tasks = list(self._tasks), list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_S)
        for batch_id in ids:
            with suppress(ApiError):
                await self._parts.rows.let_go(batch_id)

    async def _look(self) -> None:
        while True:
            try:
                await self._look_once()
            except ApiError:
                pass  # The database is away; what runs goes on.
            except Exception:
                logger.exception("batches could not be looked at")
            await asyncio.sleep(LOOK_S)

    async def _look_once(self) -> None:
        if self._runs:
            await self._tell_runs()
        while len(self._runs) < self._parts.settings.running_max:
            batch = await self._parts.rows.claim(self._parts.settings.account_running_max)
            if batch is None or batch.batch_id in self._runs:
                break
            self._begin(batch)
        now = asyncio.get_running_loop().time()
        if now >= self._purge_due:
            self._purge_due = now + PURGE_S
            await self._parts.store.purge()

    async def _tell_runs(self) -> None:
        """What was cancelled or is over begins no more lines; what is not ours is left alone."""
        before = dict(self._runs)
        standing = await self._parts.rows.standing()
        for batch_id, run in before.items():
            found = standing.get(batch_id)
            if found is not None:
                run.stands(found.status, expired=found.expired)
            elif batch_id in self._tasks and self._runs.get(batch_id) is run:
                self._tasks[batch_id].cancel()

    def _begin(self, batch: BatchRow) -> None:
        run = self._runs[batch.batch_id] = BatchRun(self._parts, batch)
        task = asyncio.get_running_loop().create_task(self._run(run))
        self._tasks[batch.batch_id] = task
        self._parts.counts.batches = len(self._runs)

    async def _run(self, run: BatchRun) -> None:
        batch_id = run.batch.batch_id
        try:
            await run.run()
        except LostError:
            logger.info("batch %s is run elsewhere", batch_id)
        except ApiError as error:
            logger.warning("batch %s is put off: %s", batch_id, error.message)
            await self._put_off(batch_id)
        except Exception:
            logger.exception("batch %s met a defect, and is put off", batch_id)
            await self._put_off(batch_id)
        finally:
            self._runs.pop(batch_id, None)
            self._tasks.pop(batch_id, None)
            self._parts.counts.batches = len(self._runs)

    async def _put_off(self, batch_id: UUID) -> None:
        """It is taken up again, here or elsewhere, once it can be let go."""
        while True:
            await asyncio.sleep(LOOK_S)
            with suppress(ApiError):
                await self._parts.rows.let_go(batch_id)
                return
