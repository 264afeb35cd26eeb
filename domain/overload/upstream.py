"""How many calls a provider gets at once: more while it keeps up, fewer when it says or shows that
it does not.

Additive increase, multiplicative decrease (RFC 5681, 3.1), with a call's outcome as the signal. A
decrease counts once for all calls that were under way when it came, as a loss does in TCP's
recovery (RFC 6582). What counts of latency is the quickest of some answers beside what was usual
(RFC 8289, 3.1): long prompts make some answers late, a queue at the provider makes every one late.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

GROWTH_PERCENT, GROWTH_LEAST = 5, 4
"""Growth for each limit's worth of answers."""
REFUSED_SHARE, MEMORY = 10, 64
"""A limit falls where at least one of so many of the last answers was a refusal: one model's own
limit, met now and then, is not the provider's.
"""
WINDOW = 8
"""So many answers are judged together."""
SLOW_FACTOR, SLOW_SPARE_MS = 2, 500
"""Slow is beyond so many times what is usual, and so much more: below that nobody cares."""
USUAL_SHARE = 4
"""What is usual follows a slower provider by a quarter of the difference a window."""


class Concurrency(NamedTuple):
    """What an operator decided for a provider's limit, in calls."""

    least: int = 10
    most: int = 5_000
    start: int | None = None
    """None begins with the most: nobody is refused before a provider has refused."""
    adaptive: bool = True


class Backoff(StrEnum):
    """Why a limit fell."""

    REFUSED = "refused"
    """The provider said that it had too much: 429, 503, 529."""
    SLOW = "slow"
    """It took far longer than usual, or too long."""


KEPT_PERCENT = {Backoff.REFUSED: 80, Backoff.SLOW: 90}
"""What is left of the calls under way: a refusal is certain, slowness is a guess."""


class UsualLatency:
    """How long one kind of call usually takes, milliseconds."""

    __slots__ = ("_count", "_quickest", "usual_ms")

    def __init__(self) -> None:
        """Nothing is usual yet."""
        self.usual_ms: int | None = None
        self._count = self._quickest = 0

    def slow(self, latency_ms: int) -> bool:
        """Take in an answer; true where a window of them ends that were all slow."""
        self._quickest = min(self._quickest, latency_ms) if self._count else latency_ms
        self._count += 1
        if self._count < WINDOW:
            return False
        quickest, usual, self._count = self._quickest, self.usual_ms, 0
        if usual is None or quickest <= usual:
            self.usual_ms = quickest
            return False
        self.usual_ms = usual + max(1, (quickest - usual) // USUAL_SHARE)
        return quickest > usual * SLOW_FACTOR + SLOW_SPARE_MS


class UpstreamLimit:
    """The limit of one provider in one process, and the calls under way."""

    __slots__ = (
        "_answers",
        "_generation",
        "_good",
        "_refused",
        "adaptive",
        "decreases",
        "in_flight",
        "least",
        "limit",
        "most",
    )

    def __init__(self, allowed: Concurrency) -> None:
        """Nothing is under way. Raises ValueError for bounds that are none."""
        least, most, start, self.adaptive = allowed
        if not 1 <= least <= most:
            message = f"between {least} and {most} calls is no range from 1 on"
            raise ValueError(message)
        self.least, self.most = least, most
        self.limit = most if start is None or not self.adaptive else max(least, min(start, most))
        self.in_flight = 0
        self.decreases = dict.fromkeys(Backoff, 0)
        self._answers = self._generation = self._good = self._refused = 0

    @property
    def room(self) -> bool:
        """Whether one more call may go."""
        return self.in_flight < self.limit

    def begin(self) -> int:
        """A call goes; what is returned goes with it to its end."""
        self.in_flight += 1
        return self._generation

    def end(self) -> None:
        """It has ended, a stream with its last byte."""
        self.in_flight -= 1

    def answered(self) -> bool:
        """A call was answered in time; true where the limit grew."""
        self._remember(good=1)
        self._answers += 1
        if self._answers < self.limit:
            return False
        self._answers = 0
        before = self.limit
        more = max(GROWTH_LEAST, self.limit * GROWTH_PERCENT // 100)
        self.limit = min(self.most, self.limit + more)
        return self.limit > before

    def back_off(self, generation: int, why: Backoff) -> bool:
        """A call that began then had too much of the provider; true where the limit fell.

        It falls from what is under way, the call itself included, which may be far less than was
        allowed.
        """
        if why is Backoff.REFUSED:
            self._remember(refused=1)
            if self._refused * REFUSED_SHARE < self._good + self._refused:
                return False
        if not self.adaptive or generation != self._generation:
            return False
        self._generation += 1
        self._answers = 0
        self.decreases[why] += 1
        kept = min(self.limit, self.in_flight) * KEPT_PERCENT[why] // 100
        self.limit = min(self.limit, max(self.least, kept))
        return True

    def _remember(self, *, good: int = 0, refused: int = 0) -> None:
        self._good += good
        self._refused += refused
        if self._good + self._refused >= MEMORY:
            self._good //= 2
            self._refused //= 2
