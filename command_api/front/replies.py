"""Room for replies that wait for their readers, of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from command_api.front.connection import FrontConnection


class WaitingReplies:
    """Counts what of them is still to be written, in bytes.

    A reply is charged before it is written, so none is refused for want of room: the one that has
    waited longest is cut instead. One always has room.
    """

    def __init__(self, bytes_max: int) -> None:
        """Nothing waits."""
        self._left = bytes_max
        self._waiting: dict[FrontConnection, int] = {}
        """By their connections, in the order in which they began to wait."""

    def hold(self, connection: FrontConnection, size: int) -> None:
        """So much of a connection's reply waits."""
        self._left += self._waiting.get(connection, 0) - size
        self._waiting[connection] = size
        while self._left < 0 and len(self._waiting) > 1:
            longest = next(iter(self._waiting))
            if longest is connection:
                return  # It is cut when another one finds no room.
            self.let_go(longest)
            longest.drop()

    def let_go(self, connection: FrontConnection) -> None:
        """Nothing of its reply waits any more."""
        self._left += self._waiting.pop(connection, 0)
