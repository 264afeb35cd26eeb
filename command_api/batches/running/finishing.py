"""The end of a batch: what was not called is told, and the files of what came out are written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from command_api.batches.lines import LineError, parse_line
from command_api.batches.rows import Wanted
from command_api.batches.shapes import Result, uncalled_line
from command_api.files.ids import BATCH, shown_id
from command_api.files.uploads import EXPIRES_S_MAX, UNLIMITED, Writing
from domain.batches.batch import Status
from event_store.ids import new_uuid7

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from command_api.batches.lines import Line
    from command_api.batches.rows import BatchRow
    from command_api.batches.running.parts import BatchParts

PURPOSE = "batch_output"
EXPIRED = "batch_expired"
AT_ONCE = 100
"""Lines that were not called and are told in one statement."""


class Files(NamedTuple):
    """What came out; None for a file that would hold nothing."""

    output: UUID | None
    errors: UUID | None


class Finishing:
    """The last part of a run, which may be begun again by another process."""

    def __init__(
        self, parts: BatchParts, batch: BatchRow, lines: Callable[[], AsyncIterator[Line]]
    ) -> None:
        """`lines` reads the batch's file anew."""
        self._parts, self._batch, self._lines = parts, batch, lines

    async def run(self, *, expired: bool) -> None:
        """Write the files, and end; nothing where another process runs it by now.

        Raises ApiError 503, and 400 where nothing can be written for the owner any more.
        """
        parts, batch = self._parts, self._batch
        if expired:
            await self._tell_expired()
        made = await parts.rows.finalize(batch, new_uuid7(), new_uuid7())
        if made is None:
            return
        files = Files(
            await self._write(made.output_file_id, "output", failed=False),
            await self._write(made.error_file_id, "error", failed=True),
        )
        wanted = Status.EXPIRED if expired else Status.COMPLETED
        counts = (made.completed, made.failed)
        for status in (wanted, Status.CANCELLED):
            # It may have been cancelled while its files were written.
            if await parts.log.end(batch.batch_id, status, counts, files):
                return

    async def _tell_expired(self) -> None:
        """Every line that has no result is told as one whose time was over."""
        rows, batch = self._parts.rows, self._batch
        done = await rows.done(batch)
        why = LineError(
            EXPIRED, "This request could not be executed before the completion window expired."
        )
        told: list[Result] = []
        try:
            async for line in self._lines():
                if line.number in done:
                    continue
                try:
                    custom_id = parse_line(line.raw, batch.endpoint).custom_id
                except LineError:
                    continue  # It expired before it was checked.
                out = uncalled_line(batch.batch_id, line.number, custom_id, why)
                told.append(Result(line.number, out, failed=True))
                if len(told) == AT_ONCE:
                    await rows.record(batch, told)
                    told.clear()
                    await asyncio.sleep(0)
        except EOFError:
            pass
        if told:
            await rows.record(batch, told)

    async def _write(self, file_id: UUID, what: str, *, failed: bool) -> UUID | None:
        """A file of all results of a kind, anew; None where there are none."""
        parts, batch = self._parts, self._batch
        await parts.store.drop(file_id)
        # What comes out is bounded by the batch's own maximum.
        writing = Writing(parts.store, batch.owner, file_id, UNLIMITED)
        after, begun = 0, False
        while page := await parts.rows.results(batch, after, failed=failed):
            if not begun:
                await writing.begin(PURPOSE)
                begun = True
            for number, body in page:
                after = number
                await writing.write(body or b"")
        if not begun:
            return None
        name = f"{shown_id(BATCH, batch.batch_id)}_{what}.jsonl"
        await writing.finish(name, self._expires_s())
        return file_id

    def _expires_s(self) -> int:
        batch = self._batch
        sealed = self._parts.store.opened(batch.wrapped_key, batch.sealed)
        if sealed is None:
            return EXPIRES_S_MAX
        return msgspec.msgpack.decode(sealed, type=Wanted).output_expires_s
