"""One batch at one process, from wherever it stood to its end.

A line that has a result is never called again. One that was called and has none, because a process
died between, is asked for anew under the same idempotency key: what was settled is answered
again, what is still held is waited for, what was voided or expired is a new attempt of its call.
"""

from __future__ import annotations

import asyncio
import logging
import random
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from command_api.batches.checking import BatchError, check_file
from command_api.batches.lines import WRAPPING_BYTES, LineError, lines_of, parse_line
from command_api.batches.running.finishing import Finishing
from command_api.batches.shapes import answered_line, uncalled_line
from command_api.files.ids import BATCH, shown_id
from command_api.files.store import CHUNK_BYTES
from domain.batches.batch import Status
from edge.envelopes import OVERLOADED
from edge.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from command_api.batches.lines import Line
    from command_api.batches.rows import BatchRow
    from command_api.batches.running.line_route import Answer
    from command_api.batches.running.parts import BatchParts

logger = logging.getLogger("gatewayz.batches")

OK = 200
TRIES_MAX = 4
"""How often a line is tried whose provider fails."""
PAUSE_S, PAUSE_S_MAX = 1.0, 60.0
"""First and longest pause before a line is tried again, seconds."""
CALM_S = 0.2
"""Time between looks whether other calls wait, seconds."""
AWAY = 503
WAITED_FOR = frozenset({429, AWAY})
PROVIDERS = frozenset({500, 502, AWAY, 504, OVERLOADED})
"""Statuses of a provider that failed, and of a defect: they may pass."""
NEVER_PASSES = "quota_exceeded"
IN_PROGRESS = "idempotency_in_progress"
UPSTREAM = "upstream_"
"""How the codes begin of what a provider is the cause of."""


class LostError(Exception):
    """Another process runs the batch by now."""


class BatchRun:
    """The running of one batch."""

    def __init__(self, parts: BatchParts, batch: BatchRow) -> None:
        """Nothing is done yet."""
        self._parts, self.batch = parts, batch
        self._name = shown_id(BATCH, batch.batch_id)
        self._ending = asyncio.Event()
        self._slots = asyncio.Semaphore(parts.settings.lines_at_once)
        self._bytes, self._stopped = 0, False
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
                ended = partial(self._ended, size)
                group.create_task(self._line(line)).add_done_callback(ended)
        except EOFError:
            logger.warning("the input file of %s is gone", self._name)

    def _ended(self, size: int, task: asyncio.Task[None]) -> None:
        """Another line may have its place, and its bytes."""
        del task
        self._parts.room.give_back(size)
        self._slots.release()

    async def _line(self, line: Line) -> None:
        parts, number = self._parts, line.number
        asked = parse_line(line.raw, self.batch.endpoint)
        custom_id, raw = asked.custom_id, bytes(asked.body)
        del line, asked
        parts.counts.running += 1
        try:
            answer = await self._answer(raw, number)
        finally:
            parts.counts.running -= 1
        if answer is None:
            return
        failed = isinstance(answer, LineError) or answer.status != OK
        if isinstance(answer, LineError):
            out = uncalled_line(self.batch.batch_id, number, custom_id, answer)
        else:
            out = answered_line(self.batch.batch_id, number, custom_id, answer)
        await self._record(number, out, failed=failed)
        parts.counts.ended["failed" if failed else "completed"] += 1

    async def _answer(self, raw: bytes, number: int) -> Answer | LineError | None:
        """What the line is answered in the end; None where that is not waited for any more."""
        parts, tries, waits = self._parts, 0, 0
        if self._bytes > parts.settings.result_bytes_max:
            message = "The answers of this batch are as large as they may be: it was not called."
            return LineError("batch_results_too_large", message)
        while not self._ending.is_set():
            if parts.lines.queue.waiting:
                await self._pause(CALM_S)  # Whoever waits for an answer comes first.
                continue
            answer = await parts.lines.call(
                self.batch.endpoint,
                raw,
                key_id=str(self.batch.key_id),
                batch_id=self._name,
                line=number,
                percent=self.batch.price_percent,
            )
            if not waits_for(answer):
                tries += 1
                if answer.status not in PROVIDERS or tries == TRIES_MAX:
                    return answer
            waits += 1
            pause = min(PAUSE_S * 2 ** min(waits, 6), PAUSE_S_MAX)
            await self._pause(min(answer.retry_after_s or pause, PAUSE_S_MAX))
        return None

    async def _pause(self, seconds: float) -> None:
        """Wait so long and a little, or until no more is waited for."""
        counts = self._parts.counts
        counts.waiting += 1
        counts.running -= 1
        try:
            async with asyncio.timeout(seconds * (1 + random.random() / 4)):  # noqa: S311
                await self._ending.wait()
        except TimeoutError:
            pass
        finally:
            counts.waiting -= 1
            counts.running += 1

    async def _record(self, number: int, out: bytes, *, failed: bool) -> None:
        """Keep a result, however long the database is away: the call is charged.

        Raises LostError, and ApiError 400 where the data key was destroyed.
        """
        while True:
            try:
                size = await self._parts.rows.record(self.batch, [(number, out)], failed=failed)
            except ApiError as error:
                if error.status != AWAY:
                    raise  # Nothing can be sealed for the owner any more.
                await asyncio.sleep(PAUSE_S)
                continue
            if size is None:
                raise LostError
            self._bytes = size
            return


def waits_for(answer: Answer) -> bool:
    """Whether a refusal passes by itself: the line waits, as long as its batch runs.

    A quota that is never given back passes never, and says no time after which to try again.
    """
    if answer.code == NEVER_PASSES:
        return answer.retry_after_s is not None
    if answer.status == AWAY and answer.code.startswith(UPSTREAM):
        return False
    return answer.status in WAITED_FOR or answer.code == IN_PROGRESS
