"""The committer's connection: libpq on the event loop, with one statement prepared.

libpq is driven directly: packing the parameters ourselves took half the CPU of any driver
(ADR 0006).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from psycopg import pq

from event_store.append.entries import APPEND_SQL
from event_store.errors import LedgerUnavailableError

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

BATCH_TIMEOUT_S = 10.0
_BINARY = [1] * 12


class ConnectionLostError(Exception):
    """The connection of the batch in flight is gone."""


class Connection:
    """One libpq connection with the append prepared on it."""

    def __init__(self, conninfo: str) -> None:
        """Connect and prepare; blocking. Raises LedgerUnavailableError."""
        self.pg = pq.PGconn.connect(conninfo.encode())
        if self.pg.status != pq.ConnStatus.OK:
            raise LedgerUnavailableError(self.pg.get_error_message())
        result = self.pg.prepare(b"append", APPEND_SQL)
        if result.status != pq.ExecStatus.COMMAND_OK:
            message = result.get_error_message()
            self.pg.finish()
            raise LedgerUnavailableError(message)
        self.pg.nonblocking = 1
        self._answer: asyncio.Future[PGresult] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._descriptor: int | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Listen for answers on the loop."""
        self._loop = loop
        self._descriptor = self.pg.socket  # libpq no longer tells it once the connection is bad.
        loop.add_reader(self._descriptor, self._readable)

    def close(self) -> None:
        """Stop listening and disconnect."""
        self._detach()
        self.pg.finish()

    def _detach(self) -> None:
        if self._loop is not None and self._descriptor is not None:
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

    @property
    def usable(self) -> bool:
        """Whether the connection still stands."""
        return self.pg.status == pq.ConnStatus.OK

    async def append(self, parameters: list[bytes]) -> PGresult:
        """Send one batch and await its result; raises ConnectionLostError."""
        assert self._loop is not None
        answer = self._answer = self._loop.create_future()
        try:
            self.pg.send_query_prepared(b"append", parameters, _BINARY, result_format=1)
            while self.pg.flush():
                await asyncio.sleep(0)
        except Exception as error:
            raise ConnectionLostError from error
        try:
            async with asyncio.timeout(BATCH_TIMEOUT_S):
                result: PGresult = await answer
                return result
        except TimeoutError as error:
            raise ConnectionLostError from error
