"""The responses that a process runs in the background, within their bounds.

Each second in which any runs, their rows are looked at: one that was cancelled at another process,
or deleted, is ended here. An end that could not be stored is tried again then.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from command_api.background.run import Run, call_of
from command_api.calls.beside.keeping import stored_reply
from command_api.kept_replies.background import OF_ACCOUNT, too_many
from edge.asgi import EVENT_STREAM
from edge.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.calls.call import Call
    from command_api.calls.parts import CallParts
    from command_api.kept_replies.background import BackgroundRows
    from command_api.operations.responses.request import ResponsesRequest
    from edge.caller import Caller

logger = logging.getLogger("gatewayz.background")

LOOK_S = 1.0
LAST_WORDS_S = 3.0
"""How long a run may take to settle and to tell its end when its process stops, seconds."""


class Runs:
    """Those of one process."""

    def __init__(self, parts: CallParts, rows: BackgroundRows) -> None:
        """Nothing runs."""
        self._parts, self.rows = parts, rows
        settings = parts.settings
        self._bounds = settings.background
        self._bytes_max = max(settings.requests.bodies_bytes_max, settings.requests.body_bytes_max)
        self.run_s = min(self._bounds.run_s, settings.calls.deadline_s)
        self.tasks: set[asyncio.Task[None]] = set()
        """The server's own: what it waits for before it stops, requests with them."""
        self._own: set[asyncio.Task[None]] = set()
        self._rooms: dict[Call, int] = {}
        self._runs: dict[UUID, Run] = {}
        self._looking: asyncio.Task[None] | None = None

    @property
    def running(self) -> int:
        """How many run, or are about to."""
        return len(self._rooms)

    async def stop(self) -> None:
        """End what the server did not wait for."""
        running = set(self._own)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=LAST_WORDS_S)
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                for run in self._runs.values():
                    if run.feed.closed and not run.saved:
                        await run.save()

    async def reserve(self, call: Call, size: int) -> ApiError | None:
        """Take room for a run whose body has so many bytes, or say why there is none."""
        account, most = call.caller.account_id, self._bounds.account_runs_max
        if len(self._rooms) >= self._bounds.runs_max:
            return too_many(f"This process runs {self._bounds.runs_max} responses of all callers")
        if sum(each.caller.account_id == account for each in self._rooms) >= most:
            return too_many(OF_ACCOUNT.format(most))
        if sum(self._rooms.values()) + size > self._bytes_max:
            return too_many(f"Those that run hold {self._bytes_max} bytes of bodies")
        self._rooms[call] = size
        try:
            await self.rows.check(call.caller, most)
        except ApiError as error:
            self.release(call)
            return error
        except BaseException:
            self.release(call)
            raise
        return None

    def release(self, call: Call) -> None:
        """It does not run, or no more."""
        self._rooms.pop(call, None)

    async def begin(
        self, call: Call, request: ResponsesRequest, done: Callable[[Call], None]
    ) -> Run:
        """Let a held call run, once its row stands; raises ApiError 400, 413, 429 or 503."""
        request.run_here()
        run = Run(
            self._parts,
            self.rows,
            call,
            request,
            run_s=self.run_s,
            events_bytes_max=self._bounds.events_bytes_max,
        )
        if call.idempotency_key:
            kind = EVENT_STREAM.decode() if request.streamed else "application/json"
            body = b"" if request.streamed else msgspec.json.encode(run.queued)
            reply = stored_reply(call, body, kind)
            call.kept_reply = await self._parts.idempotency.sealed(call.caller, reply)
        await run.keep(self._bounds.account_runs_max)
        self._runs[UUID(call.id)] = run
        task = asyncio.get_running_loop().create_task(self._run(run, done))
        for tasks in (self._own, self.tasks):
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())
        return run

    def find(self, caller: Caller, response_id: str) -> Run | None:
        """The caller's run of a response, where this process runs it."""
        call_id = call_of(response_id)
        run = self._runs.get(call_id) if call_id is not None else None
        if run is None:
            return None
        theirs = run.call.caller
        same = (theirs.account_id, theirs.owner_id) == (caller.account_id, caller.owner_id)
        return run if same else None

    async def _run(self, run: Run, done: Callable[[Call], None]) -> None:
        try:
            await run.run()
        finally:
            run.feed.close()
            if run.saved or run.feed.response is None:
                self._forget(run)
            done(run.call)

    def _forget(self, run: Run) -> None:
        self.release(run.call)
        self._runs.pop(UUID(run.call.id), None)

    async def _look(self) -> None:
        while self._runs:
            await asyncio.sleep(LOOK_S)
            try:
                await self._look_once()
            except ApiError:
                continue  # The database is away; what runs goes on.
            except Exception:
                logger.exception("what runs in the background could not be looked at")

    async def _look_once(self) -> None:
        for run in list(self._runs.values()):
            if run.feed.closed and time.monotonic() > run.until:
                logger.error("the end of response %s is given up", run.response_id)
                self._forget(run)
            elif run.feed.closed:
                await run.save()
                if run.saved:
                    self._forget(run)
        before = dict(self._runs)
        wanted = await self.rows.wanted()
        for call_id, run in before.items():
            if call_id not in wanted.there or call_id in wanted.ending:
                run.stream.cancel()
