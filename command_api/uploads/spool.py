"""Where a file waits while it is not in memory: an unlinked file, in a room with a maximum."""

from __future__ import annotations

import hashlib
import os
import tempfile
from typing import TYPE_CHECKING

from edge.errors import unavailable

if TYPE_CHECKING:
    from pathlib import Path


class UploadRoom:
    """Bytes on the disk that the files of a process's requests may take together."""

    def __init__(self, bytes_max: int) -> None:
        """All of it is free."""
        self._left = bytes_max

    def take(self, size: int) -> None:
        """Take so much; raises ApiError 503 where there is no room for it."""
        if size > self._left:
            message = "The files of requests under way fill their room. Nothing was charged."
            raise unavailable("too_many_bodies", message)
        self._left -= size

    def give_back(self, size: int) -> None:
        """Nobody needs it any more."""
        self._left += size


class SpooledFile:
    """One file. It has no name, so it is gone once it is closed, however the process ends."""

    def __init__(self, room: UploadRoom, directory: Path | None) -> None:
        """Empty. Raises OSError where the directory takes no file."""
        self._room = room
        with tempfile.TemporaryFile(dir=directory, buffering=0) as made:
            self._file = os.dup(made.fileno())
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add to it; for a thread. Raises OSError."""
        self._hash.update(data)
        left = memoryview(data)
        while left:
            left = left[os.write(self._file, left) :]

    def take(self, size: int) -> None:
        """Room for so much more; raises ApiError 503."""
        self._room.take(size)
        self.size += size

    def read(self, offset: int, size: int) -> bytes:
        """A piece of it; for a thread. Raises OSError once it is closed."""
        return os.pread(self._file, size, offset)

    @property
    def digest(self) -> str:
        """Of all that was written (SHA-256)."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Give its room back; a second time does nothing."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)
            self._room.give_back(self.size)

    def __del__(self) -> None:
        """Whoever forgot it."""
        if getattr(self, "_file", -1) >= 0:
            self.close()
