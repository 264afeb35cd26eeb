"""Group commit: all entries that wait go to the database as one call and one durable commit.

One connection, one statement in flight. While a batch commits, the next one gathers, so the
cost of a commit is shared under load and nobody waits for company when there is none.

A lost connection leaves the batch in doubt. It is sent again on the next connection: every
entry carries its event's id, and the append answers DUPLICATE for what already stands.

An entry that the database cannot take fails its whole batch, of which then nothing stands: it is
sent again in smaller batches, until the one at fault is alone and has its error.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from psycopg import pq

from event_store.append.connection import Connection, ConnectionLostError
from event_store.append.entries import (
    AppendAnswer,
    AppendCode,
    Entry,
    UnpackableEntryError,
    fits,
    pack,
    trial_entry,
    unpack,
)
from event_store.errors import (
    EntryRefusedError,
    EventStoreError,
    LedgerUnavailableError,
    QueueFullError,
)

if TYPE_CHECKING:
    from uuid import UUID

    from psycopg.pq.abc import PGresult

logger = logging.getLogger("gatewayz.committer")

BATCH_ENTRIES_MAX = 500
BATCH_REPLY_BYTES_MAX = 8 * 2**20
"""Of kept replies in one batch; a single larger one goes alone."""
QUEUE_ENTRIES_MAX = 20_000
RECONNECT_WAIT_S = 0.1
WATCH_S = 0.5
PROBE_S = 1.0
"""How long nothing is asked of the database before it is asked whether it is there, seconds."""
SHUTTING_DOWN = b"57"
ENTRY_FAULTS = (b"22", b"23", b"54", b"P0", b"08P01")
"""Classes of SQLSTATE that are some entry's own fault: data, constraints, size, raised, packing."""


class _Waiting:
    __slots__ = ("deadline", "entry", "future", "in_doubt")

    def __init__(self, entry: Entry, future: asyncio.Future[AppendAnswer], deadline: float) -> None:
        self.entry, self.future, self.deadline, self.in_doubt = entry, future, deadline, False


class AppendInDoubtError(LedgerUnavailableError):
    """The entry was sent, and the connection died before an answer: it may stand in the log."""


class Committer:
    """The one writer of money in a process. Start it, await `append`, stop it."""

    def __init__(
        self, conninfo: str, *, owner_id: UUID, hold_ttl_s: int, append_timeout_s: float
    ) -> None:
        """`hold_ttl_s` is a hold's life; an entry waits at most `append_timeout_s`."""
        self._conninfo = conninfo
        self._owner = owner_id.bytes
        self._hold_ttl_s = hold_ttl_s
        self._timeout_s = append_timeout_s
        self._queue: deque[_Waiting] = deque()
        self._batch_max = BATCH_ENTRIES_MAX
        self._wake = asyncio.Event()
        self._connection: Connection | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._refusing = False
        self._asked_at = self._connected_at = 0.0
        self._asking = False
        self._probe_due = False

    async def start(self) -> None:
        """Connect and begin; raises LedgerUnavailableError when the database is not there."""
        self._loop = asyncio.get_running_loop()
        await self._connect()
        self._tasks = [self._loop.create_task(each) for each in (self._run(), self._watch())]

    async def stop(self) -> None:
        """Stop writing; whoever still waits is told that the ledger is unavailable."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._drop()
        while self._queue:
            self._fail(self._queue.popleft())

    @property
    def connected(self) -> bool:
        """Whether an append would be sent at once."""
        return self._connection is not None and self._connection.usable

    @property
    def ready(self) -> bool:
        """Whether an append would be taken: connected, not refused lately, and not stuck."""
        stuck = self._asking and self._loop.time() - self._asked_at > self._timeout_s
        return self.connected and not self._refusing and not stuck

    def append(self, entry: Entry) -> asyncio.Future[AppendAnswer]:
        """Queue an entry; the future is its answer, durable when it is ok.

        Raises QueueFullError at once; the future raises LedgerUnavailableError, or
        AppendInDoubtError when the entry may have been written all the same, or
        EntryRefusedError when the entry itself can never be taken.
        """
        if len(self._queue) >= QUEUE_ENTRIES_MAX:
            message = f"{QUEUE_ENTRIES_MAX} entries already wait for the database"
            raise QueueFullError(message)
        future: asyncio.Future[AppendAnswer] = self._loop.create_future()
        self._queue.append(_Waiting(entry, future, self._loop.time() + self._timeout_s))
        self._wake.set()
        return future

    async def _connect(self) -> None:
        self._connection = await Connection.open(self._conninfo, self._wake.set)
        self._connected_at = self._loop.time()
        self._probe_due = True  # It may be a server that cannot write.

    async def _watch(self) -> None:
        """Let entries meet their deadline while nothing answers, and ask where nobody asks."""
        while True:
            await asyncio.sleep(WATCH_S)
            if self._connection is None:
                self._fail_overdue()
            elif not self._asking and self._loop.time() - self._asked_at > PROBE_S:
                self._probe_due = True
                self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._turn()
            except Exception:
                # A defect here must not leave callers waiting for ever: its batch was failed, and
                # every other entry meets its deadline or the next connection.
                logger.exception("the committer met a defect")
                self._drop()
                await asyncio.sleep(RECONNECT_WAIT_S)
                self._fail_overdue()

    async def _turn(self) -> None:
        if not self._queue and self.connected and not self._probe_due:
            self._wake.clear()
            await self._wake.wait()
        if not self.connected:
            await self._reconnect()
        connection, batch = self._connection, self._take()
        if connection is None:
            return
        self._asking, self._asked_at = True, self._loop.time()
        try:
            if batch:
                await self._commit(connection, batch)
            elif self._probe_due:
                await self._probe(connection)
        except Exception:
            for waiting in batch:
                waiting.in_doubt = True
                self._fail(waiting)
            raise
        finally:
            self._asking = False

    async def _probe(self, connection: Connection) -> None:
        """Is there still a server, and does it write? One that does not may have a successor."""
        self._probe_due = False
        try:
            if self._refusing:
                # Other tables may well be written: only an append tells whether one is taken.
                trial = pack([trial_entry()], self._owner, self._hold_ttl_s)
                self._refusing = not await connection.takes(trial)
            else:
                self._refusing = not await connection.writes()
        except ConnectionLostError:
            self._drop()
            return
        if self._refusing:
            logger.warning("the ledger's database does not write")
            self._drop()
            self._wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), PROBE_S)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    async def _reconnect(self) -> None:
        self._drop()
        while self._connection is None:
            try:
                await self._connect()
            except LedgerUnavailableError as error:
                logger.warning("the ledger is unreachable: %s", str(error).strip())
                self._fail_overdue()
                await asyncio.sleep(RECONNECT_WAIT_S)
                self._fail_overdue()

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        streams: set[bytes] = set()
        room = BATCH_REPLY_BYTES_MAX
        while self._queue and len(batch) < self._batch_max:
            stream = self._queue[0].entry.stream
            if stream in streams:
                break  # Two entries of one call are two batches, in order.
            room -= len(self._queue[0].entry.reply)
            if room < 0 and batch:
                break
            streams.add(stream)
            batch.append(self._queue.popleft())
        return batch

    async def _commit(self, connection: Connection, batch: list[_Waiting]) -> None:
        entries = [waiting.entry for waiting in batch]
        try:
            parameters = pack(entries, self._owner, self._hold_ttl_s)
        except UnpackableEntryError as error:
            self._apart(batch, str(error))
            return
        try:
            result = await connection.append(parameters)
        except (ConnectionLostError, asyncio.CancelledError) as error:
            for waiting in batch:
                waiting.in_doubt = True
            self._queue.extendleft(reversed(batch))
            self._drop()
            if isinstance(error, asyncio.CancelledError):
                raise
            self._fail_overdue()
            return
        if result.status == pq.ExecStatus.TUPLES_OK:
            codes, figures = result.get_value(0, 0), result.get_value(0, 1)
            assert codes is not None and figures is not None
            for waiting, answer in zip(batch, unpack(codes, figures, len(batch)), strict=True):
                if answer.code == AppendCode.OK:
                    self._refusing = False  # Answers that write nothing do not say so.
                if not waiting.future.done():
                    waiting.future.set_result(answer)
            self._batch_max = min(2 * self._batch_max, BATCH_ENTRIES_MAX)
            return
        self._refused(batch, result)

    def _refused(self, batch: list[_Waiting], result: PGresult) -> None:
        """The database took nothing of the batch: for an entry's sake, or for its own."""
        message = result.get_error_message().strip()
        state = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
        if state.startswith(SHUTTING_DOWN):
            self._refusing = True  # Until the next server, or this one, has taken something.
            self._queue.extendleft(reversed(batch))
            self._drop()
            self._fail_overdue()
        elif state.startswith(ENTRY_FAULTS):
            self._apart(batch, message)
        else:
            self._refusing = True
            logger.error("the database refused %d entries: %s", len(batch), message)
            if self._loop.time() - self._connected_at > PROBE_S:
                self._drop()  # The next connection may find a server that writes.
            for waiting in batch:  # One that went out before, on a line that broke, may stand.
                error = AppendInDoubtError if waiting.in_doubt else LedgerUnavailableError
                self._answer(waiting, error(message))

    def _apart(self, batch: list[_Waiting], message: str) -> None:
        """One entry is at fault: smaller batches find it, and its neighbours are answered."""
        if len(batch) > 1:
            self._batch_max = len(batch) // 2
            self._queue.extendleft(reversed(batch))
            return
        entry = batch[0].entry
        logger.error("the database refused an entry of kind %d: %s", entry.kind, message)
        if fits(entry):
            self._answer(batch[0], EntryRefusedError(message))
        else:
            self._answer(batch[0], AppendAnswer(AppendCode.AMOUNT_OUT_OF_RANGE, 0))

    @staticmethod
    def _answer(waiting: _Waiting, answer: AppendAnswer | EventStoreError) -> None:
        if waiting.future.done():
            return
        if isinstance(answer, EventStoreError):
            waiting.future.set_exception(answer)
        else:
            waiting.future.set_result(answer)

    def _fail_overdue(self) -> None:
        now = self._loop.time()
        kept = deque(waiting for waiting in self._queue if waiting.deadline > now)
        for waiting in self._queue:
            if waiting.deadline <= now:
                self._fail(waiting)
        self._queue = kept

    @staticmethod
    def _fail(waiting: _Waiting) -> None:
        if not waiting.future.done():
            error = AppendInDoubtError if waiting.in_doubt else LedgerUnavailableError
            waiting.future.set_exception(error("the ledger's database cannot be reached"))
