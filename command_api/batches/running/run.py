"""One batch at one process, from wherever it stood to its end.

A line that has a result is never called again. One that was called and has none, because a process
died between, is asked for anew under the same idempotency key: what was settled is answered
again, what is still held is waited for, what was voided or expired is a new attempt of its call.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from command_api.batches.checking import BatchError, check_file
from command_api.batches.lines import WRAPPING_BYTES, LineError, lines_of, parse_line
from command_api.batches.running.asking import AWAY, PAUSE_S, Asking
from command_api.batches.running.finishing import Finishing
from command_api.batches.running.line_route import LinesOf
from command_api.batches.running.recording import LostError, Recording
from command_api.batches.shapes import Result, answered_line, uncalled_line
from command_api.files.ids import BATCH, shown_id
from command_api.files.store import CHUNK_BYTES
from domain.batches.batch import Status
from edge.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from command_api.batches.lines import Line
    from command_api.batches.rows import BatchRow
    from command_api.batches.running.parts import BatchParts

logger = logging.getLogger("gatewayz.batches")

OK = 200
KEEPING_MAX = 256
"""Most lines of a batch that were answered, and whose result is not kept yet."""


class BatchRun:
    """The running of one batch."""

    def __init__(self, parts: BatchParts, batch: BatchRow) -> None:
        """Nothing is done yet."""
        self._parts, self.batch = parts, batch
        self._name = shown_id(BATCH, batch.batch_id)
        self._ending = asyncio.Event()
        self._slots = asyncio.Semaphore(parts.settings.lines_at_once)
        self._keeping, self._stopped = asyncio.Semaphore(KEEPING_MAX), False
        self._recording = Recording(parts.rows, batch)
        lines = LinesOf(batch.endpoint, str(batch.key_id), self._name, batch.price_percent)
        self._asking = Asking(parts, batch, lines, self._ending)
        self.stands(batch.status, expired=batch.expires_at <= datetime.now(UTC))

    def stands(self, status: str, *, expired: bool) -> None:
        """It is told so now: of what was cancelled or is over no more lines begin."""
        self._cancelled = status == Status.CANCELLING
        self.expired = expired
        if self._cancelled or expired:
            self._ending.set()

    def stop(self) -> None:
        """The process stops: another one goes on from here."""
        self._stopped = True
        self._ending.set()

    async def run(self) -> None:
        """To its end. Raises LostError, ApiError 503 where the database is away."""
        batch = self.batch
        try:
            if batch.status == Status.VALIDATING and not self._ending.is_set():
                errors = await self._check()
                if errors:
                    sealed = await self._parts.store.seal(batch.owner, msgspec.json.encode(errors))
                    await self._parts.log.end(batch.batch_id, Status.FAILED, (0, 0), errors=sealed)
                    return
            if not self._ending.is_set():
                await self._call_all()
            if self._stopped:
                return
            finishing = Finishing(self._parts, batch, self._lines)
            await finishing.run(expired=self.expired and not self._cancelled)
        except ApiError as error:
            if error.status == AWAY:
                raise
            await self._give_up(error)

    async def _give_up(self, error: ApiError) -> None:
        """Nothing of it can be read or written any more: whoever owned it is gone."""
        logger.warning("%s is given up: %s", self._name, error.message)
        counts = (self.batch.completed, self.batch.failed)
        await self._parts.log.end(self.batch.batch_id, Status.FAILED, counts)

    async def _lines(self) -> AsyncIterator[Line]:
        """The lines of its file; raises EOFError where that is gone."""
        most = self._parts.body_bytes_max + WRAPPING_BYTES
        async for line in lines_of(self._chunks(), most):
            yield line

    async def _chunks(self) -> AsyncIterator[bytes]:
        """What its file holds. A database that is away is waited for: lines are under way."""
        store, batch, number = self._parts.store, self.batch, 0
        while True:
            try:
                file = await store.find_any(batch.owner, batch.input_file_id)
                if file is None:
                    raise EOFError
                if number * CHUNK_BYTES >= file.bytes:
                    return
                chunk = await store.chunk(file.file_id, number)
            except ApiError as error:
                if error.status != AWAY or self._stopped:
                    raise
                await asyncio.sleep(PAUSE_S)
                continue
            if chunk is None:
                raise EOFError
            number += 1
            yield chunk

    async def _check(self) -> list[BatchError]:
        """What is wrong with its file; else it has started."""
        batch = self.batch
        try:
            found = await check_file(self._lines(), batch.endpoint, self._parts.settings.lines_max)
        except EOFError:
            message = "The input file was deleted, or its time is over."
            return [BatchError("input_file_gone", message, "input_file_id")]
        if not (found.errors or await self._parts.log.start(batch.batch_id, found.requests)):
            self.stands(Status.CANCELLING, expired=self.expired)
        return found.errors

    async def _call_all(self) -> None:
        """Call every line that has no result, as long as no more is forbidden."""
        done = await self._parts.rows.done(self.batch)
        try:
            async with asyncio.TaskGroup() as group:
                await self._begin_lines(group, done)
        except ExceptionGroup as errors:
            for kind in (LostError, ApiError):
                if (found := errors.subgroup(kind)) is not None:
                    raise found.exceptions[0] from None
            raise
        finally:
            await self._recording.stop()

    async def _begin_lines(self, group: asyncio.TaskGroup, done: set[int]) -> None:
        try:
            async for line in self._lines():
                if line.number in done:
                    continue
                await self._slots.acquire()
                # Of each batch at most one line is in memory that has no room yet.
                size = len(line.raw or b"")
                await self._parts.room.take(size)
                if self._ending.is_set():
                    self._parts.room.give_back(size)
                    return
                # A task that is cancelled before its first step gives back what it has, too.
                place = _Place(self._slots)
                ended = partial(self._ended, size, place)
                group.create_task(self._line(line, place)).add_done_callback(ended)
        except EOFError:
            logger.warning("the input file of %s is gone", self._name)

    def _ended(self, size: int, place: _Place, task: asyncio.Task[None]) -> None:
        """Another line may have its bytes."""
        del task
        self._parts.room.give_back(size)
        place.leave()

    async def _line(self, line: Line, place: _Place) -> None:
        parts, number = self._parts, line.number
        asked = parse_line(line.raw, self.batch.endpoint)
        custom_id, raw = asked.custom_id, bytes(asked.body)
        del line, asked
        full = self._recording.bytes > parts.settings.result_bytes_max
        parts.counts.running += 1
        try:
            answer = await self._asking.answer(raw, number, full=full)
        finally:
            parts.counts.running -= 1
        if answer is None:
            return
        failed = isinstance(answer, LineError) or answer.status != OK
        if isinstance(answer, LineError):
            out = uncalled_line(self.batch.batch_id, number, custom_id, answer)
        else:
            out = answered_line(self.batch.batch_id, number, custom_id, answer)
        del raw, answer
        async with self._keeping:
            # The next line is called while this one's result is written.
            if self._recording.has_room:
                place.leave()
            await self._recording.keep(Result(number, out, failed))
        parts.counts.ended["failed" if failed else "completed"] += 1


class _Place:
    """A line's place among those that are called at once; whoever has one may leave twice."""

    def __init__(self, slots: asyncio.Semaphore) -> None:
        """It was taken."""
        self._slots: asyncio.Semaphore | None = slots

    def leave(self) -> None:
        """Another line may have it."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.release()
