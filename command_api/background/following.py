"""The events of a response that was made in the background, told again to who comes back.

Where it runs they follow as they come. Elsewhere they are waited for, and told once it has ended.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from command_api.background.feed import ALIVE, ALIVE_S
from command_api.background.run import SAVING_S
from command_api.replies.responses.events import decode_event, numbered, written
from command_api.replies.scanners.wire import data_of
from edge.errors import ApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from command_api.background.runs import Runs
    from command_api.kept_replies.responses import Found, KeptResponses
    from edge.caller import Caller

POLL_S = 0.5
CANCEL_WAIT_S = 5.0
"""Longest that a cancel waits for the end of what it cancelled, seconds."""
AWAY = 503


class Background:
    """What routes ask about responses of the background, wherever they run."""

    def __init__(self, kept: KeptResponses, runs: Runs) -> None:
        """Of one process."""
        self._kept, self._runs = kept, runs

    async def find(self, caller: Caller, response_id: str) -> Found:
        """As `KeptResponses.find`; of one that ended here and is not stored yet, its end."""
        found = await self._kept.find(caller, response_id)
        run = self._runs.find(caller, response_id) if found.unfinished else None
        if run is None:
            return found
        if run.feed.closed and run.feed.response is not None:
            return found._replace(response=run.feed.response, runs=False)
        # Whatever became of the lease meanwhile: it runs here.
        running = {**found.response, "status": "in_progress", "error": None}
        return found._replace(response=running, runs=True)

    async def cancel(self, caller: Caller, response_id: str) -> dict[str, Any]:
        """End it, and tell it as it is then; raises ApiError 400, 404 or 503."""
        run = self._runs.find(caller, response_id)
        if run is not None:
            run.stream.cancel()  # Also while the database is away.
        found = await self.find(caller, response_id)
        if not found.background:
            message = "Only a response that was made with background: true can be cancelled."
            raise bad_request("response_not_in_background", message)
        if run is None and found.runs:
            await self._runs.rows.cancel(caller, response_id)
        until = time.monotonic() + CANCEL_WAIT_S
        while found.runs and time.monotonic() < until:
            await asyncio.sleep(POLL_S / 10 if run is not None else POLL_S)
            found = await self.find(caller, response_id)
        return found.response

    async def delete(self, caller: Caller, response_id: str) -> None:
        """Forget it, and end it where it runs; raises ApiError 404 or 503."""
        await self._kept.delete(caller, response_id)
        run = self._runs.find(caller, response_id)
        if run is not None:
            run.stream.cancel()

    async def follow(self, caller: Caller, response_id: str, after: int) -> AsyncIterator[bytes]:
        """Its events behind a number; raises ApiError 400, 404 or 503 before the first."""
        found = await self.find(caller, response_id)
        if not found.streamed:
            message = (
                "Only a response that was made with background: true and stream: true is told as a "
                "stream again: get it without stream."
            )
            raise bad_request("response_not_streamed", message, "stream")
        run = self._runs.find(caller, response_id)
        if run is not None:
            return run.feed.follow(after)
        return self._from_storage(caller, response_id, found, after)

    async def _from_storage(
        self, caller: Caller, response_id: str, found: Found, after: int
    ) -> AsyncIterator[bytes]:
        until = time.monotonic() + self._runs.run_s + SAVING_S
        told = time.monotonic()
        try:
            while found.runs and time.monotonic() < until:
                if time.monotonic() - told > ALIVE_S:
                    told = time.monotonic()
                    yield ALIVE
                await asyncio.sleep(POLL_S)
                found = await self._again(caller, response_id, found)
            events = await self._runs.rows.events(caller, response_id)
        except ApiError:
            return  # It was deleted meanwhile, or the database is away: there is no end to tell.
        for piece in told_again(events, found.response, after):
            yield piece

    async def _again(self, caller: Caller, response_id: str, before: Found) -> Found:
        try:
            return await self.find(caller, response_id)
        except ApiError as error:
            if error.status != AWAY:
                raise
            return before


def told_again(events: list[bytes], response: dict[str, Any], after: int) -> Iterator[bytes]:
    """Kept events behind a number. Where none are kept, the end alone, which has all of it."""
    if not events:
        if after < 0:
            begun = {**response, "status": "in_progress", "output": [], "error": None}
            yield written(numbered({"type": "response.created", "response": begun}, 0))
        kind = f"response.{response.get('status')}"
        number = max(after, 0) + 1
        yield written(numbered({"type": kind, "response": response}, number))
        return
    yield from events[after + 1 : -1]
    last = events[-1]
    if decode_event(data_of(last) or b"")["sequence_number"] > after:
        yield last
