"""Room on the disk that is taken while there is some, so that a full disk keeps outcomes too.

Files of one block each, below the spool's `reserve`, shared by the processes of a home. An
outcome that finds the disk full is written into one of them in place, which needs no new block,
and the file is renamed. They outlive the process, so that a start on a full disk has them too.
"""

from __future__ import annotations

import errno
import logging
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from event_store.ids import new_uuid7_text

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger("gatewayz.spool")

BLOCK_BYTES = 4_096
FREED_FILES_MAX = 64
"""Most files given up for one outcome that is larger than a block."""
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_SPARE = re.compile(r"\d{5}\.spare")


class Reserve:
    """The reserve of one home."""

    def __init__(self, folder: Path) -> None:
        """Nothing is made before `fill`."""
        self.folder = folder

    def spare(self) -> list[str]:
        """Names of the files that are still free."""
        with suppress(FileNotFoundError):
            return [each.name for each in self.folder.iterdir() if _SPARE.fullmatch(each.name)]
        return []

    def fill(self, files: int) -> int:
        """Make what is missing of so many, as far as there is room; returns how many there are."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            there = set(self.spare())
            for number in range(files):
                name = f"{number:05}.spare"
                if name not in there:
                    self._make(name)
                    there.add(name)
        except OSError as error:
            logger.warning("the spool's reserve is not whole: %s", error)
        return len(self.spare())

    def _make(self, name: str) -> None:
        """Made aside, for another process may take a file as soon as it bears its name."""
        aside = self.folder / f".{new_uuid7_text()}.new"
        try:
            aside.touch(0o600)
            aside.write_bytes(bytes(BLOCK_BYTES))  # Zeros that are written are blocks that are had.
            aside.rename(self.folder / name)
        except OSError:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            raise

    def keep(self, name: str, content: bytes) -> None:
        """Write a file of this name durably, in a reserved place; raises OSError without one."""
        aside = self.folder / f".{name}"
        self._claim(aside)
        for _ in range(len(content) // BLOCK_BYTES):
            self._give_up()
        for _ in range(FREED_FILES_MAX):
            try:
                write(aside, content)
                aside.rename(self.folder / name)
                break
            except OSError as error:
                if error.errno not in NO_ROOM or not self._give_up():
                    raise
        sync_folder(self.folder)

    def _claim(self, aside: Path) -> None:
        """Whoever renames a file first has it."""
        for spare in self.spare():
            with suppress(FileNotFoundError):
                (self.folder / spare).rename(aside)
                return
        message = "the disk is full, and so is the spool's reserve"
        raise OSError(errno.ENOSPC, message)

    def _give_up(self) -> bool:
        for spare in self.spare():
            with suppress(FileNotFoundError):
                (self.folder / spare).unlink()
                return True
        return False


def write(file: Path, content: bytes) -> None:
    """Write a whole file durably, in the blocks that it has; raises OSError."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        at = 0
        while at < len(content):
            at += os.pwrite(descriptor, content[at:], at)
        os.ftruncate(descriptor, len(content))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
