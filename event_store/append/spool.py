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
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import msgspec

from event_store.append.entries import AppendCode, Entry, EntryKind
from event_store.append.outcome_files import (
    ASIDE,
    OUTCOME_BYTES_MAX,
    NotAnOutcomeError,
    Spooled,
    finished,
    is_owner,
    outcomes_of,
    read_outcome,
    unfinished,
    without_reply,
)
from event_store.append.quarantine import Quarantine
from event_store.append.reserve import NO_ROOM, Reserve, sync_folder, write
from event_store.errors import EntryRefusedError, LedgerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from event_store.append.committer import Committer

logger = logging.getLogger("gatewayz.spool")

T = TypeVar("T")

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
        self._counting = Lock()
        self._remembered: list[Entry] = []
        self._quarantine = Quarantine()

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
        if len(content) > OUTCOME_BYTES_MAX:
            content = without_reply(entry)
        try:
            self._write(name, content)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            # A reply would take the room of hundreds of outcomes.
            self.reserve.keep(f"{self._owner_id}.{name}", without_reply(entry))
            logger.warning("the disk is full: an outcome of call %s is in the reserve", name[:36])
        with self._counting:
            self._kept += 1

    def _write(self, name: str, content: bytes) -> None:
        if not self.own.is_dir():
            self.own.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in (self.root.parent, self.root):
                sync_folder(folder)
        aside = self.own / f"{ASIDE}{name}"
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
        await asyncio.shield(self._aside(self.keep_or_remember, entry))

    def _aside(self, work: Callable[..., T], *given: Any) -> asyncio.Future[T]:
        """Have a thread wait for the disk."""
        return asyncio.get_running_loop().run_in_executor(self._writers, work, *given)

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

    def take_up_unfinished(self, owner_id: UUID) -> int:
        """Finish what an owner that is dead wrote and did not rename; returns how many.

        What is not whole goes into quarantine, once nobody can be at work on it any more.
        """
        taken = 0
        for spooled in outcomes_of(owner_id, self.root, self.reserve.folder, unfinished):
            file = spooled.file
            target = file.with_name(file.name.removeprefix(ASIDE))
            try:
                read_outcome(spooled)
                if target.exists():
                    self._quarantine.put(file, f"{target.name} is there as well")
                    continue
                file.rename(target)
                sync_folder(file.parent)
                taken += 1
                logger.warning("%s was written by a process that died: taken up", target)
            except FileNotFoundError:
                continue  # Its writer lives after all, or somebody else had it.
            except (OSError, NotAnOutcomeError) as error:
                with suppress(OSError):
                    if not _passing(error) and time.time() - file.stat().st_mtime > IN_DOUBT_S:
                        self._quarantine.put(file, error)
        return taken

    def unfinished_owners(self) -> set[UUID]:
        """Owners of which something was written and not renamed, other than this process."""
        found = {
            UUID(folder.name)
            for folder in self._folders()
            if is_owner(folder.name) and any(unfinished(folder))
        }
        found.update(owner for owner, _ in unfinished(self.reserve.folder) if owner is not None)
        return found - {self._owner_id}

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

    def calls_of_all(self) -> set[UUID]:
        """Calls of any owner for which an outcome is on the disk, wholly or not yet."""
        return {
            spooled.call
            for folder in self._folders()  # The reserve is one of them.
            for look in (finished, unfinished)
            for _, spooled in look(folder)
        }

    def _spooled(self, owner_id: UUID) -> list[Spooled]:
        return outcomes_of(owner_id, self.root, self.reserve.folder, finished)

    def _recount(self) -> None:
        """Look what there is; what is kept meanwhile is counted afterwards, and never lost."""
        with self._counting:
            self._kept = len(self.files(self._owner_id))

    async def drain(self, committer: Committer, owner_id: UUID) -> int:
        """Append an owner's outcomes and remove them; returns how many. Stops when cut off.

        What cannot be read or is refused goes into quarantine, and the rest goes on.
        """
        drained = 0
        with suppress(LedgerUnavailableError):
            if owner_id == self._owner_id:
                drained += await self._drain_remembered(committer)
            for spooled in await self._aside(self._spooled, owner_id):
                drained += await self._drain_one(committer, spooled)
        if owner_id == self._owner_id:
            await self._aside(self._recount)
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
        entry = await self._aside(self._load, spooled)
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
            await self._aside(self._quarantine.put, file, error)
            return False
        if answer.code in _ABSURD or (unknown and entry.kind == EntryKind.SETTLE):
            # A provider was paid, so there was a hold: an unknown one is another ledger's.
            why = f"the ledger answers it with code {answer.code}"
            await self._aside(self._quarantine.put, file, why)
            return False
        _said(entry, answer.code)
        await self._aside(self._remove, file)
        return True

    def _remove(self, file: Path) -> None:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            self._quarantine.leave(file, f"it is appended and cannot be removed: {error}")

    def _load(self, spooled: Spooled) -> Entry | None:
        """The outcome of a file; None for one that is gone, put aside, or to be read later."""
        try:
            return read_outcome(spooled)
        except FileNotFoundError:
            pass  # Somebody else had it.
        except (OSError, NotAnOutcomeError) as error:
            if not _passing(error):
                self._quarantine.put(spooled.file, error)
        return None


def _passing(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in _PASSING


def _said(entry: Entry, code: int) -> None:
    logger.warning("spooled outcome of call %s appended: code %d", UUID(bytes=entry.stream), code)
