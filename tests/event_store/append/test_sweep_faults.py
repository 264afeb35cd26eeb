"""The sweeper under faults at every await: one process dies, one lives, and every hold has one end.

`FAULTS_SEEDS=1000 pytest tests/event_store/append/test_sweep_faults.py` looks further.
"""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import psycopg
import pytest

from event_store.append import committer as committers
from event_store.append import spool as spools
from event_store.append.committer import AppendInDoubtError, Committer
from event_store.append.entries import EntryKind
from event_store.append.outcome_files import quarantined, read_outcome
from event_store.append.reserve import write
from event_store.append.spool import Spool
from event_store.append.sweeper import OwnHolds, Sweeper
from event_store.errors import LedgerUnavailableError
from tests.support.fake_ledger import Line, entry
from tests.support.fake_sessions import OwnedLedger, Sent, Sessions
from tests.support.scheduler import (
    Fate,
    Killed,
    Life,
    VirtualLoop,
    at_every_await,
    until_killed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from event_store.append.entries import Entry
    from event_store.append.outcome_files import Spooled

CALLS = 8
"""Of each of the two processes."""
HOLD_LIFE_S = 15
LEASE_LIFE_S = 4.0
LATE_SWEEPS_S = 50.0
CALM_AFTER_S = 90.0
SETTLED_WITHIN_S = 200.0
ODDS = {"cancel": 0.03, "delay": 0.1}
SEEDS = range(int(os.environ.get("FAULTS_SEEDS", "30")))


class Process:
    """One that calls: holds and settles as the cashier does, and drains as the gateway does."""

    def __init__(self, world: World, owner: UUID, first: int) -> None:
        self.world, self.fate, self.owner, self.life = world, world.fate, owner, Life()
        self.calls = range(first, first + CALLS)
        self.told: dict[int, str] = {}
        self.live: set[bytes] = set()
        self.lapsed = False
        self.spool = Spool(world.home, owner)
        self.committer = world.committer(owner)
        self.own = OwnHolds(
            cast("Any", Sessions(world.ledger, world.fate)), self.committer, self.spool, owner
        )

    def begin(self) -> list[asyncio.Future[Any]]:
        """Everything that it does."""
        self.answering = [
            self._alive(at_every_await(self._call(number), self.fate, name="a call", **ODDS))
            for number in self.calls
        ]
        work = (self._renew(), self._again(self._drain), self._again(self._reconcile))
        return [*self.answering, *(self._alive(each) for each in work)]

    def _alive(self, work: Any) -> asyncio.Future[Any]:
        return asyncio.ensure_future(until_killed(work, self.life))

    async def die(self) -> None:
        """As by kill -9: nothing of it runs any more."""
        self.life.over = True
        self.fate.trace.append("killed")
        await self.committer.stop()

    async def _call(self, number: int) -> None:
        hold, outcome = entry(number, EntryKind.HOLD), entry(number, EntryKind.SETTLE)
        await asyncio.sleep(self.fate.delay(20))
        self.live.add(hold.stream)
        try:
            if await self._held(number, hold):
                if self.fate.happens("a call is forgotten", 0.1):
                    self.told[number] = "forgotten"
                    return
                await self._settled(outcome)
                self.told[number] = "answered"
        finally:
            if not self.life.over:
                self.live.discard(hold.stream)

    async def _held(self, number: int, hold: Entry) -> bool:
        void = entry(number, EntryKind.VOID)
        try:
            await self.committer.append(hold)
            await asyncio.sleep(self.fate.delay(10))
        except AppendInDoubtError:
            await self.spool.keep_aside(void)
        except LedgerUnavailableError:
            pass
        except asyncio.CancelledError:
            self.spool.keep_or_remember(void)
            raise
        else:
            return True
        self.told[number] = "refused"
        return False

    async def _settled(self, outcome: Entry) -> None:
        try:
            await self.committer.append(outcome)
        except LedgerUnavailableError:
            await self.spool.keep_aside(outcome)
        except asyncio.CancelledError:
            self.spool.keep_or_remember(outcome)
            raise

    async def _renew(self) -> None:
        while True:
            lease = self.world.ledger.leases
            self.lapsed |= self.owner in lease and not self.world.ledger.alive(self.owner)
            lease[self.owner] = self.world.loop.time() + LEASE_LIFE_S
            late = self.fate.happens("a lease is not renewed", 0.02)
            await asyncio.sleep(8.0 if late else 1.0)

    async def _again(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        while True:
            await asyncio.sleep(1.0)
            await self.world.try_(work, "a drain")

    async def _drain(self) -> None:
        if self.committer.connected:
            await self.spool.drain(self.committer, self.owner)
        else:
            self.spool.keep_remembered()

    async def _reconcile(self) -> None:
        await self.own.reconcile(set(self.live))


class World:
    """One run: a process that dies, one that lives, and one that sweeps."""

    def __init__(self, seed: int, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fate, self.loop, self.home = Fate(seed), VirtualLoop(), home
        self.ledger = OwnedLedger(self.loop.time)
        self.line: type[Line] = type(
            "Seeded", (Line,), {"ledger": self.ledger, "fate": self.fate, "lines": []}
        )
        self.kept: set[int] = set()
        self.torn: set[str] = set()
        self.sweeps: list[float] = []
        self.over = False
        monkeypatch.setattr(committers, "Connection", self.line)
        monkeypatch.setattr(committers, "pack", Sent)
        monkeypatch.setattr(spools, "write", self._write)
        monkeypatch.setattr(spools, "read_outcome", self._read)
        monkeypatch.setattr(spools, "time", SimpleNamespace(time=self.loop.time))
        self.mortal, self.living = Process(self, UUID(int=2), 1), Process(self, UUID(int=3), 101)
        sweeps = UUID(int=4)
        self.sweeping = self.committer(sweeps)
        self.sweeper = Sweeper(
            cast("Any", Sessions(self.ledger, self.fate)),
            self.sweeping,
            Spool(home, sweeps),
            reply_hours=1,
        )

    def committer(self, owner: UUID) -> Committer:
        return Committer("", owner_id=owner, hold_ttl_s=HOLD_LIFE_S, append_timeout_s=2)

    def _write(self, file: Path, content: bytes) -> None:
        mortal = file.parent.name == str(self.mortal.owner)
        if self.fate.happens("the disk is full", 0.1):
            raise OSError(errno.ENOSPC, "full")
        dies = mortal and not self.mortal.life.over and self.fate.happens("dies writing", 0.3)
        torn = dies and self.fate.happens("half of it is written", 0.5)
        write(file, content[: len(content) // 2] if torn else content)
        os.utime(file, (self.loop.time(), self.loop.time()))
        if torn:
            self.torn.add(file.name)
        elif file.name.endswith(f"-{EntryKind.SETTLE:d}.json"):
            self.kept.add(UUID(file.name.removeprefix(".")[:36]).int - 10**9)
        if dies:
            self.dying = asyncio.ensure_future(self.mortal.die())
            self.mortal.life.over = True
            raise Killed

    def _read(self, spooled: Spooled) -> Entry:
        if self.fate.happens("too many open files", 0.2):
            raise OSError(errno.EMFILE, "too many open files")
        return read_outcome(spooled)

    async def try_(self, work: Callable[[], Coroutine[Any, Any, Any]], name: str) -> bool:
        """As those who do it again and again: whether it came to its end."""
        try:
            await at_every_await(work(), self.fate, name=name, **ODDS)
        except (psycopg.Error, LedgerUnavailableError):
            return False
        except asyncio.CancelledError:
            if self.over:
                raise
            return False
        return True

    def run(self) -> None:
        try:
            self.loop.run_until_complete(self._run())
        finally:
            self.loop.close()

    async def _run(self) -> None:
        for each in (self.mortal.committer, self.living.committer, self.sweeping):
            while not each.connected:
                with suppress(LedgerUnavailableError):
                    await each.start()
        tasks = [*self.mortal.begin(), *self.living.begin()]
        tasks += [asyncio.ensure_future(each) for each in (self._sweep(), self._break())]
        await asyncio.sleep(self.fate.delay(25))
        if not self.mortal.life.over:
            await self.mortal.die()
        await asyncio.sleep(CALM_AFTER_S)
        self.fate.calm = True
        await asyncio.sleep(SETTLED_WITHIN_S)
        self.over = True
        self.unanswered = [each for each in self.living.answering if not each.done()]
        broken = [each for each in tasks if each.done() and not each.cancelled()]
        self.defects = [each.exception() for each in broken if each.exception() is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.living.committer.stop()
        await self.sweeping.stop()

    async def _sweep(self) -> None:
        """As the background process, which may be there only when all is past its life."""
        await asyncio.sleep(self.fate.pick(0.0, LATE_SWEEPS_S))
        while True:
            await asyncio.sleep(2.0)
            if await self.try_(self.sweeper.sweep, "the sweep"):
                self.sweeps.append(self.loop.time())

    async def _break(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            if self.fate.happens("an idle line breaks", 0.2) and self.line.lines:
                self.fate.pick(*self.line.lines[-3:]).lose()

    def check(self) -> None:
        """Every hold has one end, and the right one; nothing waits, and sweeps go on."""
        assert (self.defects, self.unanswered) == ([], [])
        assert [each for each in self.sweeps if each > CALM_AFTER_S]
        assert self.ledger.open == {}
        assert self.living.spool.waiting == 0
        assert self.living.spool.owners() == []
        names = {each.name for each in quarantined(self.home)}
        assert names == self.torn
        assert {each.name for each in (self.home / "spool").rglob("*.json")} == names
        for process in (self.mortal, self.living):
            for number in process.calls:
                self._check_call(process, number)

    def _check_call(self, process: Process, number: int) -> None:
        stream = entry(number, EntryKind.HOLD).stream
        count = {kind: self.ledger.of(stream, kind) for kind in EntryKind}
        held, expired, settled = (
            count[kind] for kind in (EntryKind.HOLD, EntryKind.EXPIRE, EntryKind.SETTLE)
        )
        assert settled + expired + count[EntryKind.VOID] == held <= 1
        told = process.told.get(number)
        if told == "refused":
            assert settled == 0
        if told == "forgotten":
            assert expired == held
        if number in self.kept and not process.lapsed:
            assert settled == held == 1
        if told == "answered" and process is self.living and not process.lapsed:
            assert settled == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_every_hold_is_settled_or_expired_once(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the dead and of the living, whatever breaks meanwhile; what is spooled counts (P2, P3)."""
    world = World(seed, tmp_path, monkeypatch)
    world.run()
    world.check()


def test_a_sweep_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same faults in the same order, and many of them (P2)."""
    traces = []
    for number in range(2):
        world = World(7, tmp_path / str(number), monkeypatch)
        world.run()
        kinds = [each.kind for each in world.ledger.events.values()]
        traces.append((world.fate.trace, world.living.told, kinds, world.sweeps))
    assert traces[0] == traces[1]
    assert len(set(traces[0][0])) > 8
