"""A database in memory behind the committer, on a line that breaks in every way by a seed.

It answers as the append does: each event once, one outcome a hold. What was on its way when the
line broke may arrive, never, or some seconds late.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING
from uuid import UUID

from psycopg import pq

from event_store.append.connection import ConnectionLostError
from event_store.append.entries import AppendCode, Entry, EntryKind
from event_store.errors import LedgerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.scheduler import Fate

ACCOUNT = UUID(int=1)

LATE_MAX_S = 9.0
"""A batch whose connection is lost ends within its statement's time-out."""


def entry(call: int, kind: EntryKind) -> Entry:
    """An entry whose ids follow from the call, so that a run can be repeated."""
    event, stream = UUID(int=1_000 * call + kind), UUID(int=10**9 + call)
    state = b'{"id":"%b","account_id":"%b"' % (str(event).encode(), str(ACCOUNT).encode())
    return Entry(kind, stream.bytes, ACCOUNT.bytes, 0, state)


class Ledger:
    """What stands: the events, and which holds are open."""

    def __init__(self) -> None:
        self.events: dict[bytes, Entry] = {}
        self.open: dict[bytes, bytes] = {}
        self.resolved: set[bytes] = set()

    def append(self, batch: list[Entry]) -> list[int]:
        """Take a batch, each entry by itself."""
        return [self._take(entry) for entry in batch]

    def _take(self, entry: Entry) -> int:
        if entry.event_id in self.events:
            return AppendCode.DUPLICATE
        if entry.kind == EntryKind.HOLD:
            self.open[entry.stream] = entry.event_id
        elif entry.stream in self.open:
            del self.open[entry.stream]
            self.resolved.add(entry.stream)
        else:
            known = entry.stream in self.resolved
            return AppendCode.ALREADY_RESOLVED if known else AppendCode.UNKNOWN_CALL
        self.events[entry.event_id] = entry
        return AppendCode.OK

    def of(self, call: bytes, kind: EntryKind) -> int:
        """How many events of a kind a call has."""
        return sum(e.stream == call and e.kind == kind for e in self.events.values())


class Result:
    """What libpq would give."""

    def __init__(self, codes: list[int] | None, state: bytes = b"") -> None:
        self.status = pq.ExecStatus.FATAL_ERROR if codes is None else pq.ExecStatus.TUPLES_OK
        self._codes, self._state = codes or [], state

    def get_value(self, _: int, column: int) -> bytes:
        form = "ih" if column == 0 else "iq"
        items = [item for code in self._codes for item in (2, code if column == 0 else 0)]
        return bytes(20) + struct.pack("!" + form * len(self._codes), *items)

    def get_error_message(self) -> str:
        return "refused by the test"

    def error_field(self, _: object) -> bytes:
        return self._state


class Line:
    """Stands where the committer's connection does."""

    ledger: Ledger
    fate: Fate
    lines: list[Line]

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self.usable = True
        self._on_lost = on_lost
        self._broken = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, _: str, on_lost: Callable[[], None]) -> Line:
        await asyncio.sleep(cls.fate.delay(1))
        if cls.fate.happens("no connection", 0.3):
            message = "no connection"
            raise LedgerUnavailableError(message)
        line = cls(on_lost)
        cls.lines.append(line)
        return line

    def lose(self) -> None:
        """The other end is gone."""
        if self.usable:
            self.usable = False
            if not self._broken.done():
                self._broken.set_result(None)
            self._on_lost()

    def close(self) -> None:
        self.usable = False
        if not self._broken.done():
            self._broken.set_result(None)

    async def append(self, batch: list[Entry]) -> Result:
        fate, ledger, loop = self.fate, self.ledger, asyncio.get_running_loop()
        await self._pass(fate.delay())
        if fate.happens("a batch is lost on its way", 0.1):
            self.usable = False
            raise ConnectionLostError
        if fate.happens("a batch arrives late and its answer never", 0.1):
            loop.call_later(fate.delay(LATE_MAX_S), ledger.append, batch)
            self.usable = False
            raise ConnectionLostError
        if fate.happens("the database refuses", 0.1):
            return Result(None, fate.pick(b"53100", b"25006", b"55P03", b"57P01"))
        codes = ledger.append(batch)
        await self._pass(fate.delay())
        if fate.happens("an answer is lost", 0.1):
            self.usable = False
            raise ConnectionLostError
        return Result(codes)

    async def _pass(self, seconds: float) -> None:
        if not self.usable:
            raise ConnectionLostError
        done, _ = await asyncio.wait({self._broken}, timeout=seconds)
        if done:
            raise ConnectionLostError

    async def takes(self, _: list[Entry]) -> bool:
        return await self.writes()

    async def writes(self) -> bool:
        await self._pass(self.fate.delay(1))
        return not self.fate.happens("the database does not write", 0.1)
