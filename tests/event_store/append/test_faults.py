"""Committer, spool and drain under faults at every await: nothing lost, nothing double.

`FAULTS_SEEDS=1000 pytest tests/event_store/append/test_faults.py` looks further.
"""

from __future__ import annotations

import asyncio
import errno
import os
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from event_store.append import committer as committers
from event_store.append import spool as spools
from event_store.append.committer import AppendInDoubtError, Committer
from event_store.append.entries import EntryKind
from event_store.append.outcome_files import quarantined
from event_store.append.reserve import write
from event_store.append.spool import Spool
from event_store.errors import LedgerUnavailableError
from tests.support.fake_ledger import Ledger, Line, entry
from tests.support.scheduler import Fate, VirtualLoop, at_every_await

if TYPE_CHECKING:
    from pathlib import Path

OWNER = UUID(int=2)
CALLS = 12
CALM_AFTER_S = 30.0
SETTLED_WITHIN_S = 200.0
SEEDS = range(int(os.environ.get("FAULTS_SEEDS", "40")))


class World:
    """One run: calls that hold and settle as the cashier does, while everything fails."""

    def __init__(self, seed: int, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fate, self.ledger, self.loop = Fate(seed), Ledger(), VirtualLoop()
        self.told: dict[int, str] = {}
        self.over = False
        self.line: type[Line] = type(
            "Seeded", (Line,), {"ledger": self.ledger, "fate": self.fate, "lines": []}
        )
        monkeypatch.setattr(committers, "Connection", self.line)
        monkeypatch.setattr(committers, "pack", lambda batch, *_: batch)
        monkeypatch.setattr(spools, "write", self._write)
        monkeypatch.setattr(spools, "time", SimpleNamespace(time=self.loop.time))
        self.spool = Spool(home, OWNER)
        self.committer = Committer("", owner_id=OWNER, hold_ttl_s=600, append_timeout_s=2)

    def _write(self, file: Path, content: bytes) -> None:
        if self.fate.happens("the disk is full", 0.2):
            raise OSError(errno.ENOSPC, "full")
        write(file, content)
        os.utime(file, (self.loop.time(), self.loop.time()))

    def run(self) -> None:
        """Until everything is resolved, or SETTLED_WITHIN_S after the last fault."""
        try:
            self.loop.run_until_complete(self._run())
        finally:
            self.loop.close()

    async def _run(self) -> None:
        while not self.committer.connected:
            with suppress(LedgerUnavailableError):
                await self.committer.start()
        background = [asyncio.ensure_future(each) for each in (self._drain(), self._break())]
        calls = [
            asyncio.ensure_future(
                at_every_await(
                    self._call(number), self.fate, name=f"call {number}", cancel=0.05, delay=0.1
                )
            )
            for number in range(1, CALLS + 1)
        ]
        done, pending = await asyncio.wait(calls, timeout=CALM_AFTER_S)
        self.fate.calm = True
        if pending:
            more, pending = await asyncio.wait(pending, timeout=SETTLED_WITHIN_S)
            done |= more
        assert not pending, "a call was never answered"
        for task in done:
            if not task.cancelled():
                task.result()
        await asyncio.sleep(SETTLED_WITHIN_S)
        self.over = True  # A drain that is under way takes the cancellation for a fault.
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        await self.committer.stop()

    async def _call(self, number: int) -> None:
        """As the cashier: whatever is not in the ledger is in the spool."""
        await asyncio.sleep(self.fate.delay(10))
        void = entry(number, EntryKind.VOID)
        try:
            await self.committer.append(entry(number, EntryKind.HOLD))
        except AppendInDoubtError:
            await self.spool.keep_aside(void)
            self.told[number] = "refused"
            return
        except LedgerUnavailableError:
            self.told[number] = "refused"
            return
        except asyncio.CancelledError:
            self.spool.keep_or_remember(void)
            raise
        try:
            await asyncio.sleep(self.fate.delay(10))
        except asyncio.CancelledError:
            self.spool.keep_or_remember(void)
            raise
        outcome = entry(number, EntryKind.SETTLE)
        try:
            await self.committer.append(outcome)
        except LedgerUnavailableError:
            await self.spool.keep_aside(outcome)
        except asyncio.CancelledError:
            self.spool.keep_or_remember(outcome)
            raise
        self.told[number] = "answered"

    async def _drain(self) -> None:
        """As the gateway: again and again, and a cancelled drain is only begun anew."""
        while not self.over:
            await asyncio.sleep(1)
            work: Any = self._drain_once()
            with suppress(asyncio.CancelledError):
                await at_every_await(work, self.fate, name="the drain", cancel=0.1, delay=0.1)

    async def _drain_once(self) -> None:
        if self.committer.connected:
            await self.spool.drain(self.committer, OWNER)
        else:
            self.spool.keep_remembered()

    async def _break(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            if self.fate.happens("an idle line breaks", 0.2) and self.line.lines:
                self.line.lines[-1].lose()

    def check(self) -> None:
        """Every call has the end that it was told, once, and nothing waits any more."""
        assert self.committer.ready is False
        assert (self.spool.waiting, self.spool.files(OWNER)) == (0, [])
        assert quarantined(self.spool.root.parent) == []
        assert self.ledger.open == {}
        for number in range(1, CALLS + 1):
            stream = entry(number, EntryKind.HOLD).stream
            count = {kind: self.ledger.of(stream, kind) for kind in EntryKind}
            assert count[EntryKind.SETTLE] + count[EntryKind.VOID] == count[EntryKind.HOLD] <= 1
            if self.told.get(number) == "answered":
                assert count[EntryKind.SETTLE] == 1
            if self.told.get(number) == "refused":
                assert count[EntryKind.SETTLE] == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_or_double(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled, dropped, refused, late, on a full disk: what was told is what stands (P2, P3)."""
    world = World(seed, tmp_path, monkeypatch)
    world.run()
    world.check()


def test_a_seed_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same faults in the same order, and many of them (P2)."""
    traces = []
    for number in range(2):
        world = World(7, tmp_path / str(number), monkeypatch)
        world.run()
        traces.append((world.fate.trace, world.told, len(world.ledger.events)))
    assert traces[0] == traces[1]
    assert len(set(traces[0][0])) > 5
