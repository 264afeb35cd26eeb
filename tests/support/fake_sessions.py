"""The database in memory for who asks it: owners of holds, leases, and sessions that break.

It answers the questions of the sweeper, and takes an expiry as the append does: of a hold past
its life, from its owner, or from anybody once the owner's lease has lapsed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import psycopg

from event_store.append.entries import AppendCode, Entry, EntryKind
from tests.support.fake_ledger import ACCOUNT, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.scheduler import Fate

STANDSTILL_S = 60.0
"""A session without a bound of its own fails the test when nobody ends it for so long."""


class Sent(list[Entry]):
    """A batch with what its committer says of itself."""

    def __init__(self, batch: list[Entry], owner: bytes, life_s: float) -> None:
        super().__init__(batch)
        self.owner, self.life_s = UUID(bytes=owner), life_s


class OwnedLedger(Ledger):
    """A ledger that knows whose the holds are, how long they live, and who lives."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._holds: dict[bytes, tuple[UUID, float]] = {}
        self.leases: dict[UUID, float] = {}

    def append(self, batch: list[Entry]) -> list[int]:
        """Each by itself; batches come from committers of known owners."""
        assert isinstance(batch, Sent)
        return [self._take_of(each, batch) for each in batch]

    def _take_of(self, entry: Entry, sent: Sent) -> int:
        if entry.kind == EntryKind.HOLD:
            until = self._clock() + sent.life_s
            self._holds.setdefault(entry.stream, (sent.owner, until))
        elif entry.kind == EntryKind.EXPIRE and entry.stream in self.open:
            owner, until = self._holds[entry.stream]
            if until > self._clock() or (owner != sent.owner and self.alive(owner)):
                return AppendCode.OWNER_ALIVE
        return self._take(entry)

    def alive(self, owner: UUID) -> bool:
        """Whether an owner's lease has not lapsed."""
        return self.leases.get(owner, 0.0) > self._clock()

    def past_life(self) -> list[tuple[UUID, UUID]]:
        """Open holds past their life, with their owners."""
        return [
            (UUID(bytes=stream), self._holds[stream][0])
            for stream in self.open
            if self._holds[stream][1] <= self._clock()
        ]


class Rows:
    """What a statement gave."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self._rows = rows

    async def fetchall(self) -> list[tuple[Any, ...]]:
        return self._rows

    async def fetchone(self) -> tuple[Any, ...] | None:
        return self._rows[0] if self._rows else None


class Session:
    """A connection that asks."""

    def __init__(self, ledger: OwnedLedger, fate: Fate, statement_s: float | None) -> None:
        self._ledger, self._fate, self._statement_s = ledger, fate, statement_s
        self._hung_up = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def fileno(self) -> int:
        """Asked for by who hangs up."""
        if not self._hung_up.done():
            self._hung_up.set_result(None)
        message = "hung up"
        raise OSError(message)

    async def execute(self, statement: str, values: list[Any]) -> Rows:
        """Answer, late or never."""
        fate = self._fate
        if fate.happens("the server stands still", 0.05):
            await self._stand_still()
        done, _ = await asyncio.wait({self._hung_up}, timeout=fate.delay())
        if done or fate.happens("a session breaks", 0.1):
            message = "a session broke"
            raise psycopg.OperationalError(message)
        return Rows(self._answer(statement, values))

    async def _stand_still(self) -> None:
        seconds = self._statement_s or STANDSTILL_S
        done, _ = await asyncio.wait({self._hung_up}, timeout=seconds)
        assert done or self._statement_s, "nobody ended a statement without an end"
        if not done:
            raise psycopg.errors.QueryCanceled

    def _answer(self, statement: str, values: list[Any]) -> list[tuple[Any, ...]]:
        ledger = self._ledger
        if statement.startswith("DELETE"):
            return []
        if "FROM open_hold h LEFT JOIN process_lease" in statement:
            return [
                (call, ACCOUNT, owner)
                for call, owner in ledger.past_life()
                if not ledger.alive(owner) and call not in values[0]
            ]
        if "FROM open_hold WHERE owner_id" in statement:
            return [(c, ACCOUNT) for c, owner in ledger.past_life() if owner == values[0]]
        assert "FROM process_lease WHERE owner_id" in statement, statement
        return [()] if ledger.alive(values[0]) else []


class Sessions:
    """Stands where the database does."""

    def __init__(self, ledger: OwnedLedger, fate: Fate) -> None:
        self._ledger, self._fate = ledger, fate

    async def connect_async(self, *, statement_s: float | None = None) -> Session:
        """A session, unless there is none to be had."""
        await asyncio.sleep(self._fate.delay(1))
        if self._fate.happens("no session", 0.1):
            message = "no session"
            raise psycopg.OperationalError(message)
        return Session(self._ledger, self._fate, statement_s)
