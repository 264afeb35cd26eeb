"""Outcomes that the ledger could not take, kept on disk until it can (P2, P12).

Written only when an append of an outcome failed. One file an outcome, below a folder of the
owner's: written aside, fsynced, renamed, and the folder fsynced, so that a file that is there
is whole. The entry keeps its event id, so that appending it twice changes nothing.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from event_store.append.entries import AppendCode, Entry, EntryKind
from event_store.errors import LedgerUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.append.committer import Committer

logger = logging.getLogger("gatewayz.spool")

IN_DOUBT_S = 60
"""How long a void waits for a hold that may yet appear, seconds."""
SPOOLED_MAX = 100_000
"""Most outcomes in one owner's spool; one more is an error that is logged with its call."""


class SpoolFullError(RuntimeError):
    """The spool is at its named maximum."""


class Spool:
    """The spool of one home; each process writes below its own owner id."""

    def __init__(self, home: Path, owner_id: UUID) -> None:
        """Nothing is made until something must be kept."""
        self.root = home / "spool"
        self.own = self.root / str(owner_id)
        self._kept = 0

    def keep(self, entry: Entry) -> None:
        """Write an outcome durably; raises SpoolFullError, OSError when the disk refuses."""
        if self._kept >= SPOOLED_MAX:
            message = f"{SPOOLED_MAX} outcomes already wait in {self.own}"
            raise SpoolFullError(message)
        self.own.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{UUID(bytes=entry.stream)}-{entry.kind}.json"
        aside = self.own / f".{name}"
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(entry))
            file.flush()
            os.fsync(file.fileno())
        aside.rename(self.own / name)
        folder = os.open(self.own, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._kept += 1

    def owners(self) -> list[UUID]:
        """Owners that have something spooled."""
        if not self.root.is_dir():
            return []
        return [UUID(folder.name) for folder in self.root.iterdir() if any(folder.glob("*.json"))]

    def files(self, owner_id: UUID) -> list[Path]:
        """The outcomes of one owner, oldest call first."""
        return sorted((self.root / str(owner_id)).glob("*.json"))

    async def drain(self, committer: Committer, owner_id: UUID) -> int:
        """Append an owner's outcomes and remove them; returns how many. Stops when cut off."""
        drained = 0
        for file in self.files(owner_id):
            entry = msgspec.json.decode(file.read_bytes(), type=Entry)
            try:
                answer = await committer.append(entry)
            except LedgerUnavailableError:
                break
            in_doubt = entry.kind == EntryKind.VOID and answer.code == AppendCode.UNKNOWN_CALL
            if in_doubt and time.time() - file.stat().st_mtime < IN_DOUBT_S:
                continue  # The hold may still be on its way through a dying connection.
            logger.warning(
                "spooled outcome of call %s appended: code %d",
                UUID(bytes=entry.stream),
                answer.code,
            )
            file.unlink(missing_ok=True)
            drained += 1
        if owner_id == UUID(self.own.name):
            self._kept = len(self.files(owner_id))
        return drained
