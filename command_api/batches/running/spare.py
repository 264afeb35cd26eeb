"""The room at providers that lines of batches may take: what callers who wait leave of it.

Lines have at most half of a provider's calls, and leave a quarter of them free; where anybody waits
for a place they take none. A provider that takes one call at a time has it also for a line.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from command_api.routing.rooms import Rooms

LINES_PART, FREE_PART = 2, 4
"""Lines take at most one part in so many of a provider's calls, and leave one in so many free."""


class Spare:
    """Of one process."""

    def __init__(self, rooms: Rooms) -> None:
        """No line is called."""
        self._rooms = rooms
        self._lines: Counter[str] = Counter()

    def take(self, providers: Iterable[str]) -> str | None:
        """A place for a line at the first of these providers that has one to spare.

        Who has one gives it back with `leave`.
        """
        for name in providers:
            room = self._rooms.of(name)
            limit = room.limit
            free = limit.limit - limit.in_flight
            if (
                not room.waiting
                and free > limit.limit // FREE_PART
                and self._lines[name] < max(1, limit.limit // LINES_PART)
            ):
                self._lines[name] += 1
                return name
        return None

    def leave(self, provider: str) -> None:
        """The line has ended."""
        self._lines[provider] -= 1
