"""Room for the bodies of requests under way, of one process."""

from __future__ import annotations

SMALL_BODY_BYTES = 64 * 1024
"""A body up to this size always finds room: their sum is bounded by the connections."""


class Bodies:
    """Counts what the larger ones take, in bytes."""

    def __init__(self, bytes_max: int) -> None:
        """All of the room is free."""
        self._left = bytes_max

    def take(self, size: int) -> bool:
        """Take so much; False where there is no room for it."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        """Nobody keeps the body: its request is answered, or needs only what was read in it."""
        self._left += size
