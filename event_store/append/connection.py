"""The committer's connection: libpq on the event loop, with one statement prepared.

libpq is driven directly: packing the parameters ourselves took half the CPU of any driver
(ADR 0006).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import pq

from event_store.append.entries import APPEND_PARAMETERS, APPEND_SQL
from event_store.errors import LedgerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.pq.abc import PGresult

BATCH_TIMEOUT_S = 10.0
"""Longest wait for an answer, seconds; the server gives up by itself a moment before."""
STATEMENT_TIMEOUT_MS = 9_500
PREPARE_TIMEOUT_S = 2.0
PROBE_TIMEOUT_S = 2.0
WRITES_SQL = b"SELECT WHERE current_setting('transaction_read_only') = 'off'"
"""Of a standby too: there it is always on."""
TRIAL_TIMEOUT_MS = 1_500
BEGIN_TRIAL_SQL = b"BEGIN; SET LOCAL statement_timeout = %d" % TRIAL_TIMEOUT_MS
_BINARY = [1] * APPEND_PARAMETERS
_STARTED = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


class ConnectionLostError(Exception):
    """The connection of the batch in flight is gone."""


class Connection:
    """One libpq connection with the append prepared on it."""

    def __init__(self, opened: psycopg.AsyncConnection[Any], on_lost: Callable[[], None]) -> None:
        """Listen for answers on the running loop; `on_lost` is called when there is no more."""
        self._opened = opened  # Only libpq's own part of it is used from here on.
        self.pg = opened.pgconn
        self.pg.nonblocking = 1
        self._on_lost = on_lost
        self._answer: asyncio.Future[PGresult] | None = None
        self._loop = asyncio.get_running_loop()
        # libpq no longer tells the descriptor once the connection is bad.
        self._descriptor: int | None = self.pg.socket
        self._loop.add_reader(self._descriptor, self._readable)

    @classmethod
    async def open(cls, conninfo: str, on_lost: Callable[[], None]) -> Connection:
        """Connect and prepare, each in its time; raises LedgerUnavailableError."""
        try:
            opened = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
        except psycopg.Error as error:
            raise LedgerUnavailableError(str(error)) from None
        made = cls(opened, on_lost)
        try:
            limit = b"SET statement_timeout = %d" % STATEMENT_TIMEOUT_MS
            await made._started(lambda: made.pg.send_query(limit))
            await made._started(lambda: made.pg.send_prepare(b"append", APPEND_SQL))
        except BaseException:
            made.close()
            raise
        return made

    async def _started(self, send: Callable[[], None]) -> None:
        try:
            result = await self._ask(send, PREPARE_TIMEOUT_S)
        except ConnectionLostError as error:
            message = "the database was lost while the append was prepared"
            raise LedgerUnavailableError(message) from error
        if result.status not in _STARTED:
            raise LedgerUnavailableError(result.get_error_message())

    def close(self) -> None:
        """Stop listening and disconnect; whoever waits for an answer is told that it is lost."""
        self._on_lost = lambda: None
        self._lost()
        self.pg.finish()

    def _detach(self) -> None:
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            self._descriptor = None

    def _readable(self) -> None:
        try:
            self.pg.consume_input()
            if self.pg.is_busy():
                return
        except Exception:
            self._lost()
            return
        answer, last = self._answer, None
        result = self.pg.get_result()
        while result is not None:
            last = result
            result = self.pg.get_result()
        if self.pg.status != pq.ConnStatus.OK:
            self._lost()
        elif answer is not None and last is not None and not answer.done():
            self._answer = None
            answer.set_result(last)

    def _lost(self) -> None:
        answer, self._answer = self._answer, None
        self._detach()
        if answer is not None and not answer.done():
            answer.set_exception(ConnectionLostError)
        self._on_lost()

    @property
    def usable(self) -> bool:
        """Whether the connection still stands."""
        return self.pg.status == pq.ConnStatus.OK

    async def append(self, parameters: list[bytes]) -> PGresult:
        """Send one batch and await its result; raises ConnectionLostError."""
        return await self._ask(
            lambda: self.pg.send_query_prepared(b"append", parameters, _BINARY, result_format=1),
            BATCH_TIMEOUT_S,
        )

    async def writes(self) -> bool:
        """Whether this session may write at all; raises ConnectionLostError when none answers."""
        result = await self._ask(lambda: self.pg.send_query(WRITES_SQL), PROBE_TIMEOUT_S)
        return result.status == pq.ExecStatus.TUPLES_OK and result.ntuples == 1

    async def takes(self, parameters: list[bytes]) -> bool:
        """Whether a batch would be taken: it is appended and rolled back.

        What stays is a gap in the positions. Raises ConnectionLostError.
        """
        await self._ask(lambda: self.pg.send_query(BEGIN_TRIAL_SQL), PROBE_TIMEOUT_S)
        result = await self.append(parameters)
        await self._ask(lambda: self.pg.send_query(b"ROLLBACK"), PROBE_TIMEOUT_S)
        return result.status == pq.ExecStatus.TUPLES_OK

    async def _ask(self, send: Callable[[], None], timeout_s: float) -> PGresult:
        answer = self._answer = self._loop.create_future()
        try:
            send()
            while self.pg.flush():
                await asyncio.sleep(0)
        except Exception as error:
            raise ConnectionLostError from error
        try:
            async with asyncio.timeout(timeout_s):
                result: PGresult = await answer
                return result
        except TimeoutError as error:
            raise ConnectionLostError from error
