"""Lines of an account wait for credits, and for quotas, that other calls of it give back.

Who is refused while something of the account is held waits, and is asked again once that ends; so
long the lines behind it wait too, else small ones would have all of it for ever. Refused with
nothing held it is refused for good. An ask that is not the last leaves no trace in the log.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from edge.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from command_api.batches.rows import Funds
    from command_api.batches.running.line_route import Answer

    Ask = Callable[[bool, Callable[[], None]], Awaitable[Answer]]
    """Asks for a line: whether for the last time, and what is told once its hold is placed."""

LOOK_S = 0.25
"""Time between looks at what an account has, where no line of this process ends, seconds."""
TRIES_MAX = 40
"""How often a line is asked for before it is asked for the last time."""
PURSES_MAX = 1_000
"""Accounts that are known at once; those of which nothing is under way are forgotten beyond it."""


class Purses:
    """Those of one process."""

    def __init__(self, look: Callable[[UUID], Awaitable[Funds]], wait_s: float) -> None:
        """Nobody is waited for longer than `wait_s`, the longest life of a call, seconds."""
        self._look, self._wait_s = look, wait_s
        self._made: dict[UUID, Purse] = {}

    def of(self, account_id: UUID) -> Purse:
        """The purse of an account."""
        found = self._made.get(account_id)
        if found is None:
            if len(self._made) >= PURSES_MAX:
                self._made = {key: each for key, each in self._made.items() if each.busy}
            found = Purse(lambda: self._look(account_id), self._wait_s)
            self._made[account_id] = found
        return found


class Purse:
    """The lines of one account in this process."""

    def __init__(self, look: Callable[[], Awaitable[Funds]], wait_s: float) -> None:
        """As far as is known it has enough."""
        self._look, self._wait_s = look, wait_s
        self._lock, self._moved = asyncio.Lock(), asyncio.Event()
        self._need = self._calling = self._inside = 0
        self._short = False
        self._until: float | None = None

    @property
    def busy(self) -> bool:
        """Whether any line is asked for, or waits."""
        return self._inside > 0

    async def ask(self, ask: Ask, ending: asyncio.Event) -> Answer | None:
        """What a line is answered in the end; None where its batch ends before. Raises nothing."""
        turn, need, tries = _Turn(self._lock), 0, 0
        self._inside += 1
        try:
            if self._short:
                await turn.take()
            while True:
                last = turn.taken and await self._last(need, tries, ending)
                if ending.is_set():
                    return None
                answer = await self._asked(ask, turn, last=last)
                if answer.lacks is None:
                    return answer
                if last:
                    # It is this line's need that is too much, not that of all together.
                    self._short = False
                    return answer
                need, tries, self._short = answer.lacks, tries + 1, True
                self._need = need
                await turn.take()
        finally:
            self._inside -= 1
            turn.leave()

    async def _asked(self, ask: Ask, turn: _Turn, *, last: bool) -> Answer:
        def placed() -> None:
            self._until = None
            turn.leave()

        self._calling += 1
        try:
            return await ask(last, placed)
        finally:
            self._calling -= 1
            self._moved.set()

    async def _last(self, need: int, tries: int, ending: asyncio.Event) -> bool:
        """Wait until a line may be asked for; whether for the last time."""
        clock = asyncio.get_running_loop().time
        if self._until is None:
            self._until = clock() + self._wait_s
        if tries and (not need or tries > 1):
            await self._rest(ending)  # Nothing says that it has changed.
        while not ending.is_set():
            try:
                now = await self._look()
            except ApiError:
                await self._rest(ending)  # The database is away, and so is who would hold.
                continue
            if not self._calling and (not now.held or clock() >= self._until):
                return True
            wanted = need if tries else self._need
            if now.available >= wanted and tries < TRIES_MAX:
                if not tries and now.available >= wanted * (self._inside + 1):
                    self._short = False  # There is enough for all who wait.
                return False
            await self._rest(ending)
        return False

    async def _rest(self, ending: asyncio.Event) -> None:
        """Until a line of the account has ended, or some time has passed."""
        self._moved.clear()
        if not ending.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._moved.wait()


class _Turn:
    """A line's turn to be asked for; whoever has it leaves, and may do so again."""

    def __init__(self, lock: asyncio.Lock) -> None:
        """Not taken."""
        self._lock, self.taken = lock, False

    async def take(self) -> None:
        """Behind all who wait."""
        if not self.taken:
            await self._lock.acquire()
            self.taken = True

    def leave(self) -> None:
        """Another may be asked for."""
        if self.taken:
            self.taken = False
            self._lock.release()
