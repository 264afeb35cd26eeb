"""A line is asked for until its answer stands: what passes by itself is waited for."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from command_api.batches.lines import LineError
from edge.envelopes import OVERLOADED

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.batches.rows import BatchRow
    from command_api.batches.running.line_route import Answer, LinesOf
    from command_api.batches.running.parts import BatchParts

TRIES_MAX = 4
"""How often a line is tried whose provider fails."""
PAUSE_S, PAUSE_S_MAX = 1.0, 60.0
"""First and longest pause before a line is tried again, seconds."""
FULL_PAUSE_S = 0.05
"""First pause of a line that finds no room at a provider: lines of its own batch leave soon."""
CALM_S = 0.2
"""Time between looks whether other calls wait, seconds."""
AWAY = 503
WAITED_FOR = frozenset({429, AWAY})
PROVIDERS = frozenset({500, 502, AWAY, 504, OVERLOADED})
"""Statuses of a provider that failed, and of a defect: they may pass."""
QUOTA = "quota_exceeded"
IN_PROGRESS = "idempotency_in_progress"
UPSTREAM = "upstream_"
"""How the codes begin of what a provider is the cause of."""


class Asking:
    """The lines of one batch."""

    def __init__(
        self, parts: BatchParts, batch: BatchRow, lines: LinesOf, ending: asyncio.Event
    ) -> None:
        """Nothing is waited for any more once `ending` is set."""
        self._parts, self._batch, self._lines, self._ending = parts, batch, lines, ending
        self._purse = parts.purses.of(batch.account_id)

    async def answer(self, raw: bytes, number: int, *, full: bool) -> Answer | LineError | None:
        """What a line is answered in the end; None where that is not waited for any more.

        `full` says that the batch's answers are as large as they may be.
        """
        parts, tries, waits = self._parts, 0, 0
        if full:
            message = "The answers of this batch are as large as they may be: it was not called."
            return LineError("batch_results_too_large", message)

        async def ask(last: bool, placed: Callable[[], None]) -> Answer:  # noqa: FBT001
            return await parts.lines.call(self._lines, number, raw, last=last, placed=placed)

        while not self._ending.is_set():
            if parts.lines.queue.waiting:
                await self._pause(CALM_S)  # Whoever waits for an answer comes first.
                continue
            answer = await self._purse.ask(ask, self._ending)
            if answer is None:
                return None
            if not self._waits_for(answer):
                tries += 1
                if answer.status not in PROVIDERS or tries == TRIES_MAX:
                    return answer
            waits += 1
            first = FULL_PAUSE_S if answer.without_room else PAUSE_S * 2
            pause = min(first * 2 ** min(waits - 1, 10), PAUSE_S_MAX)
            if answer.without_room:
                pause = min(pause, PAUSE_S * 2)
            else:
                pause = answer.retry_after_s or pause
            await self._pause(min(pause, PAUSE_S_MAX))
        return None

    def _waits_for(self, answer: Answer) -> bool:
        """Whether a refusal passes by itself while the batch runs: the line waits so long.

        A quota that is given back later, or never (it says no time), is not waited for.
        """
        if answer.code == QUOTA:
            left = self._batch.expires_at - datetime.now(UTC)
            after = answer.retry_after_s
            return after is not None and after < left.total_seconds()
        if answer.status == AWAY and answer.code.startswith(UPSTREAM):
            return False
        return answer.status in WAITED_FOR or answer.code == IN_PROGRESS

    async def _pause(self, seconds: float) -> None:
        """Wait so long and a little, or until no more is waited for."""
        counts = self._parts.counts
        counts.waiting += 1
        counts.running -= 1
        try:
            async with asyncio.timeout(seconds * (1 + random.random() / 4)):  # noqa: S311
                await self._ending.wait()
        except TimeoutError:
            pass
        finally:
            counts.waiting -= 1
            counts.running += 1
