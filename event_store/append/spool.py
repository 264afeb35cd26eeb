"""Outcomes that the ledger could not take, kept on disk until it can (P2, P12).

Written only when an append of an outcome failed. One file an outcome, below a folder of the
owner's: written aside, fsynced, renamed, and the folder fsynced, so that a file that is there
is whole. The entry keeps its event id, so that appending it twice changes nothing. A full disk
keeps it in the reserve. A file that is no outcome all the same is put into quarantine beside.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from event_store.append.entries import AppendCode, Entry, EntryKind
from event_store.append.outcome_files import (
    QUARANTINE,
    NotAnOutcomeError,
    Spooled,
    finished,
    is_owner,
    read_outcome,
)
from event_store.append.reserve import NO_ROOM, Reserve, sync_folder, write
from event_store.errors import EntryRefusedError, LedgerUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.append.committer import Committer

logger = logging.getLogger("gatewayz.spool")

IN_DOUBT_S = 60
"""How long an outcome waits for a hold that may yet appear, seconds."""
SPOOLED_MAX = 100_000
"""Most outcomes in one owner's spool; one more is an error that is logged with its call."""
REMEMBERED_MAX = 10_000
"""Most outcomes that wait in memory because no disk would take them."""
WRITERS = 4
"""Threads that wait for the disk, so that the event loop does not."""
_ABSURD = frozenset({AppendCode.AMOUNT_OUT_OF_RANGE, AppendCode.ACCOUNT_FULL})
_PASSING = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})
"""Errors of reading that say nothing of the file."""


class SpoolFullError(RuntimeError):
    """The spool is at its named maximum."""


class Spool:
    """The spool of one home; each process writes below its own owner id."""

    def __init__(self, home: Path, owner_id: UUID) -> None:
        """Nothing is made until something must be kept."""
        self.root = home / "spool"
        self.own = self.root / str(owner_id)
        self.reserve = Reserve(self.root / "reserve")
        self._owner_id = owner_id
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="spool")
        self._kept = 0
        self._remembered: list[Entry] = []
        self._left: set[Path] = set()

    @property
    def waiting(self) -> int:
        """Outcomes of this process that wait, on disk or in memory."""
        return self._kept + len(self._remembered)

    @property
    def remembered(self) -> int:
        """Those of them that no disk would take: they are lost when this process dies."""
        return len(self._remembered)

    def keep(self, entry: Entry) -> None:
        """Write an outcome durably; raises SpoolFullError, OSError when the disk refuses."""
        if self._kept >= SPOOLED_MAX:
            message = f"{SPOOLED_MAX} outcomes already wait in {self.own}"
            raise SpoolFullError(message)
        name = f"{UUID(bytes=entry.stream)}-{entry.kind}.json"
        content = msgspec.json.encode(entry)
        try:
            self._write(name, content)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            self.reserve.keep(f"{self._owner_id}.{name}", content)
            logger.warning("the disk is full: an outcome of call %s is in the reserve", name[:36])
        self._kept += 1

    def _write(self, name: str, content: bytes) -> None:
        if not self.own.is_dir():
            self.own.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.root.parent, self.root):
                sync_folder(folder)
        aside = self.own / f".{name}"
        try:
            write(aside, content)
            aside.rename(self.own / name)
        except OSError:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            raise
        sync_folder(self.own)

    def keep_or_remember(self, entry: Entry) -> None:
        """Keep an outcome on disk, else in memory until ledger or disk take it; never raises.

        Its call was made and is answered: what the disk says is the operator's concern.
        """
        try:
            self.keep(entry)
        except (OSError, SpoolFullError) as error:
            call = UUID(bytes=entry.stream)
            if len(self._remembered) >= REMEMBERED_MAX:
                logger.critical("the outcome of call %s is LOST: %s: %r", call, error, entry)
                return
            self._remembered.append(entry)
            logger.critical("the outcome of call %s is only in memory: %s", call, error)

    async def keep_aside(self, entry: Entry) -> None:
        """The same, while the event loop goes on; what has begun outlives a cancellation."""
        loop = asyncio.get_running_loop()
        await asyncio.shield(loop.run_in_executor(self._writers, self.keep_or_remember, entry))

    def keep_remembered(self) -> None:
        """Try once more to bring to the disk what is only in memory."""
        for entry in list(self._remembered):
            try:
                self.keep(entry)
            except (OSError, SpoolFullError):
                return
            self._remembered.remove(entry)

    def owners(self) -> list[UUID]:
        """Owners that have something spooled."""
        found = {
            UUID(folder.name)
            for folder in self._folders()
            if is_owner(folder.name) and any(finished(folder))
        }
        found.update(owner for owner, _ in finished(self.reserve.folder) if owner is not None)
        return sorted(found)

    def _folders(self) -> list[Path]:
        with suppress(FileNotFoundError):
            return [each for each in self.root.iterdir() if each.is_dir()]
        return []

    def files(self, owner_id: UUID) -> list[Path]:
        """The outcomes of one owner, oldest call first."""
        return [spooled.file for spooled in self._spooled(owner_id)]

    def calls(self) -> set[UUID]:
        """Calls of this process whose outcome waits, on disk or in memory."""
        found = {spooled.call for spooled in self._spooled(self._owner_id)}
        return found | {UUID(bytes=entry.stream) for entry in self._remembered}

    def _spooled(self, owner_id: UUID) -> list[Spooled]:
        found = [each for owner, each in finished(self.root / str(owner_id)) if owner is None]
        found += [each for owner, each in finished(self.reserve.folder) if owner == owner_id]
        return sorted(found)

    async def drain(self, committer: Committer, owner_id: UUID) -> int:
        """Append an owner's outcomes and remove them; returns how many. Stops when cut off.

        What cannot be read or is refused goes into quarantine, and the rest goes on.
        """
        drained = 0
        with suppress(LedgerUnavailableError):
            if owner_id == self._owner_id:
                drained += await self._drain_remembered(committer)
            for spooled in self._spooled(owner_id):
                drained += await self._drain_one(committer, spooled)
        if owner_id == self._owner_id:
            self._kept = len(self.files(owner_id))
        return drained

    async def _drain_remembered(self, committer: Committer) -> int:
        waiting, drained = list(self._remembered), 0
        for entry in waiting:
            try:
                answer = await committer.append(entry)
            except EntryRefusedError:
                logger.critical("the ledger refuses the outcome in memory: %r", entry)
            else:
                if answer.code == AppendCode.UNKNOWN_CALL:
                    # Its hold is in doubt: a file has the time to wait for it.
                    with suppress(OSError, SpoolFullError):
                        await asyncio.to_thread(self.keep, entry)
                        self._remembered.remove(entry)
                    continue
                _said(entry, answer.code)
                drained += 1
            self._remembered.remove(entry)
        return drained

    async def _drain_one(self, committer: Committer, spooled: Spooled) -> bool:
        """Whether it is done with; raises LedgerUnavailableError when it must wait."""
        file = spooled.file
        entry = self._load(spooled)
        if entry is None:
            return False
        try:
            answer = await committer.append(entry)
            unknown = answer.code == AppendCode.UNKNOWN_CALL
            if unknown and time.time() - file.stat().st_mtime < IN_DOUBT_S:
                return False  # The hold may still be on its way through a dying connection.
        except FileNotFoundError:
            return False
        except EntryRefusedError as error:
            self._quarantine(file, error)
            return False
        if answer.code in _ABSURD or (unknown and entry.kind == EntryKind.SETTLE):
            # A provider was paid, so there was a hold: an unknown one is another ledger's.
            self._quarantine(file, f"the ledger answers it with code {answer.code}")
            return False
        _said(entry, answer.code)
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            self._leave(file, f"it is appended and cannot be removed: {error}")
        return True

    def _load(self, spooled: Spooled) -> Entry | None:
        """The outcome of a file; None for one that is gone, put aside, or to be read later."""
        try:
            return read_outcome(spooled)
        except FileNotFoundError:
            pass  # Somebody else had it.
        except (OSError, NotAnOutcomeError) as error:
            if not (isinstance(error, OSError) and error.errno in _PASSING):
                self._quarantine(spooled.file, error)
        return None

    def _quarantine(self, file: Path, why: object) -> None:
        """Put a file aside, under a name of its own; nothing is ever deleted."""
        folder = file.parent / QUARANTINE
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            target = folder / file.name
            while target.exists():
                target = folder / f"{file.name}.{time.time_ns()}"
            file.rename(target)
        except FileNotFoundError:
            return
        except OSError as error:
            self._leave(file, f"{why}; it cannot be moved: {error}")
        else:
            logger.error("%s is in quarantine, its call is unresolved: %s", target, why)

    def _leave(self, file: Path, why: object) -> None:
        """Say once what is wrong with a file that stays where it is."""
        if file not in self._left:
            self._left.add(file)
            logger.error("%s stays in the spool: %s", file, why)


def _said(entry: Entry, code: int) -> None:
    logger.warning("spooled outcome of call %s appended: code %d", UUID(bytes=entry.stream), code)
