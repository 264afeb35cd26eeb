"""Server-sent events in the bytes in which they came (HTML, 9.2.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def data_of(raw: bytes) -> bytes | None:
    """The data of an event's lines; None where it has none, as a comment."""
    lines = [line[5:].strip() for line in raw.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def ends_of_events(out: bytes) -> Iterator[int]:
    """Where each event of a piece ends; the last one may have no blank line behind it."""
    at, blank = 0, True
    for line in out.splitlines(keepends=True):
        at += len(line)
        blank = not line.strip()
        if blank:
            yield at
    if not blank:
        yield at
