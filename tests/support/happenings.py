"""What happens at the awaits of a run, drawn from a seed: one thing at one of them, or nothing.

The parts that the code under test waits for are stand-ins that ask here first. The same seed does
the same again, so a run that fails is replayed exactly.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
TURNS_MAX = 4


class Happenings:
    """Delays each wait by some turns of the loop, and lets one thing happen at one of them."""

    def __init__(self, seed: int, happenings: tuple[str, ...], *, waits: int) -> None:
        """One of `happenings`, or none, at one of the first `waits` waits."""
        self._dice = random.Random(seed)
        self.happening = self._dice.choice(("", *happenings))
        self._due = self._dice.randrange(waits)
        self._again = self._dice.random() < 1 / 3
        self._waits = 0
        self.acts: dict[str, Callable[[], object]] = {}
        self.trace: list[str] = []

    def chance(self, share: float) -> bool:
        """Yes, in this share of all cases."""
        return self._dice.random() < share

    def pick(self, options: tuple[T, ...]) -> T:
        """One of them."""
        return self._dice.choice(options)

    async def wait(self, where: str) -> None:
        """Before whatever is waited for here."""
        turns = self._dice.randrange(TURNS_MAX)
        due, self._waits = self._waits == self._due, self._waits + 1
        self.trace.append(where)
        if due and self.happening:
            self.trace.append(f"{self.happening}!")
            asyncio.get_running_loop().call_soon(self.acts[self.happening])
            if self._again:
                # What comes of it may be waited for as well, and met by the same once more.
                self._due, self._again = self._waits + self._dice.randrange(3), False
            turns += 1
        for _ in range(turns):
            await asyncio.sleep(0)
