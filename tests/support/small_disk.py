"""A disk of a few kilobytes, to be filled by a test."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = bytes(4_096)


class NoSmallDiskError(Exception):
    """None can be mounted here; the text says why."""


def mount(folder: Path, kilobytes: int) -> None:
    """Put a file system of this size at the folder.

    Raises NoSmallDiskError where that cannot be done.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        message = "only root can mount a small disk to fill"
        raise NoSmallDiskError(message)
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"a small disk cannot be mounted here: {done.stderr.strip()}"
        raise NoSmallDiskError(message)


def unmount(folder: Path) -> None:
    """Take the small disk away, with all that is on it."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of this size for the block; skips the test where none can be mounted."""
    try:
        mount(folder, kilobytes)
    except NoSmallDiskError as refused:
        pytest.skip(str(refused))
    try:
        yield folder
    finally:
        unmount(folder)


def fill_up(folder: Path) -> Path:
    """Leave no block free; the file that took them can be deleted to make room again."""
    file = folder / "filler"
    with file.open("ab", buffering=0) as filler:
        while True:
            try:
                filler.write(BLOCK)
            except OSError:
                return file
