"""Whose calls come first."""

from __future__ import annotations

from enum import IntEnum


class Priority(IntEnum):
    """A class of calls; the lower number comes first."""

    CRITICAL = 0
    """Admins: whoever mends an overload must get through."""
    HIGH = 1
    MEDIUM = 2
    LOW = 3
    BACKGROUND = 4


def priority_of(plan: Priority | None, *, admin: bool, live: bool) -> Priority:
    """The class of a key's calls: its user's plan's, or `MEDIUM` where there is none.

    Keys that are not live come one class later.
    """
    if admin:
        return Priority.CRITICAL
    found = Priority.MEDIUM if plan is None else plan
    return found if live else Priority(min(found + 1, Priority.BACKGROUND))
