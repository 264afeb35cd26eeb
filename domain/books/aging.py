"""How old a debt is: the oldest is paid first, so what is still owed are the newest debits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

AGES = (30, 60, 90)
"""The last day of each age; what is older is of the last age."""
NAMES = ("days_0_to_30", "days_31_to_60", "days_61_to_90", "days_over_90")


def aged(owed: int, debits: Iterable[tuple[int, int]]) -> dict[str, int]:
    """What is owed by age, in nano-USD, of debits from the newest on: days ago, and amount.

    What the debits that are given do not cover is of the last age.
    """
    found = dict.fromkeys(NAMES, 0)
    left = owed
    for days, amount in debits:
        part = min(left, amount)
        found[NAMES[sum(days > last for last in AGES)]] += part
        left -= part
        if left <= 0:
            break
    found[NAMES[-1]] += max(left, 0)
    return found
