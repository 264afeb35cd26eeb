"""Finds API keys in text, offline: by their form and checksum, without a ledger or a secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.identity.key_format import KEY_CHARACTERS_MAX, KEY_PATTERN, is_key, mask_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import BinaryIO

CHUNK_BYTES = 1 << 20
"""What is held of a file at a time, however long its lines."""
_IN_TEXT = re.compile(rb"(?<![A-Za-z0-9_-])" + KEY_PATTERN.encode() + rb"(?![A-Za-z0-9_-])")


@dataclass(frozen=True, slots=True)
class Leak:
    """A key that stands in a file; `checked` where its checksum is right."""

    line: int
    masked: str
    checked: bool


def leaks_in(file: BinaryIO) -> Iterator[Leak]:
    """Every text in the form of a key, in order; raises OSError."""
    line, text, begin, last = 1, b"", 0, False
    while not last:
        chunk = file.read(CHUNK_BYTES)
        last = not chunk
        text += chunk
        # What begins near the end may go on in the next chunk.
        end = len(text) if last else max(len(text) - KEY_CHARACTERS_MAX - 1, begin)
        counted = begin
        for found in _IN_TEXT.finditer(text, begin):
            if found.start() >= end:
                break
            line += text.count(b"\n", counted, found.start())
            counted = found.start()
            key = found.group().decode()
            yield Leak(line, mask_key(key), is_key(key))
        line += text.count(b"\n", counted, end)
        # One byte before says whether a key begins there.
        kept = max(end - 1, 0)
        text, begin = text[kept:], end - kept


def files_below(path: Path) -> Iterator[Path]:
    """A file itself, or the regular files of a folder and the folders in it; no links."""
    try:
        inside = sorted(path.iterdir())
    except OSError:
        yield path  # A file, or nothing that can be read: opening it tells.
        return
    for each in inside:
        if each.is_symlink():
            continue
        if each.is_dir():
            yield from files_below(each)
        elif each.is_file():
            yield each
