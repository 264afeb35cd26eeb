"""How many calls a second a process admits: fewer while it is late all the time, else all.

It grows slowly and falls fast, as in TCP (RFC 5681, 3.1). What counts is the delay that half of an
interval's samples have: a burst that passes makes some of them late, a standing queue makes most.
What is limited is a rate and no number of calls: each costs its CPU once, however long its provider
takes.
"""

from __future__ import annotations

LATE_US = 2_000
"""A process that is as late as this in half of the samples has more to do than it can."""
SAMPLES = 8
"""So many make an interval."""
VERY_LATE_US, VERY_LATE_SAMPLES = 25_000, 2
"""So many make one, where each is as late as this."""
IDLE_PERCENT = 15
"""A process that had so little to do is late because others take its core."""
LEAST_KEPT_PERCENT, PERCENT_PER_MS = 60, 4
"""It falls by so much for each millisecond, but not to less."""
GROWTH_PERCENT, GROWTH_LEAST = 3, 4
IDLE_GROWTH_PERCENT_MAX = 50
"""A process that was idle may grow by as much as it was, and by so much where nobody waits."""
LEAST, MOST = 50, 20_000
"""Calls a second: those that are admitted however late the process is, and any number."""
BURST_US = 10_000
"""Calls that were not made may be made up for so long."""
US_PER_S, US_PER_MS = 1_000_000, 1_000


class AdmissionPace:
    """The pace of one process."""

    __slots__ = ("_allowance", "_elapsed_us", "_idle_us", "_late_us", "_made", "rate")

    def __init__(self) -> None:
        """At first any number."""
        self.rate = MOST
        self._allowance = 0  # In calls times microseconds a second, so that nothing is rounded.
        self._begin_interval()

    def _begin_interval(self) -> None:
        self._late_us = list[int]()
        self._made = self._elapsed_us = self._idle_us = 0

    @property
    def limited(self) -> bool:
        """Whether calls have to be admitted one by one."""
        return self.rate < MOST

    def admits(self, *, ahead: bool = False) -> bool:
        """Whether one more call may go on now, which it then does. Those `ahead` of all that
        wait borrow from them.
        """
        if self.limited:
            least = -self._most_kept if ahead else 0
            if self._allowance - US_PER_S < least:
                return False
            self._allowance -= US_PER_S
        return True

    def made(self) -> None:
        """One of them has its hold."""
        self._made += 1

    def passed(self, elapsed_us: int) -> None:
        """So much time went by, microseconds."""
        self._allowance = min(self._most_kept, self._allowance + self.rate * elapsed_us)

    @property
    def _most_kept(self) -> int:
        return max(self.rate * BURST_US, US_PER_S)

    def lift(self) -> bool:
        """Any number may go on from now; true where that changed the rate."""
        before, self.rate = self.rate, MOST
        self._begin_interval()
        return self.rate != before

    def sampled(self, elapsed_us: int, late_us: int, idle_us: int, *, wanted: bool) -> bool:
        """Take in how long ago the last sample was, how late the process was, and how long it had
        nothing to do, microseconds; true where the rate changed. `wanted` says whether calls wait
        for more.

        It falls from what was made meanwhile, which may be far less than was admitted. Where
        that is nothing, it was no call that made the process late.
        """
        self._late_us.append(late_us)
        self._elapsed_us += elapsed_us
        self._idle_us += idle_us
        very_late = min(self._late_us) >= VERY_LATE_US
        if len(self._late_us) < (VERY_LATE_SAMPLES if very_late else SAMPLES):
            return False
        before = self.rate
        idle_percent = self._idle_us * 100 // max(1, self._elapsed_us)
        late_us = sorted(self._late_us)[(len(self._late_us) - 1) // 2]
        if self._made and late_us >= LATE_US and idle_percent < IDLE_PERCENT:
            made = self._made * US_PER_S // max(1, self._elapsed_us)
            kept = max(LEAST_KEPT_PERCENT, 100 - PERCENT_PER_MS * late_us // US_PER_MS)
            self.rate = max(LEAST, min(self.rate, made) * kept // 100)
        elif self.limited:
            idle = min(idle_percent, IDLE_GROWTH_PERCENT_MAX) if wanted else IDLE_GROWTH_PERCENT_MAX
            grown = self.rate * max(GROWTH_PERCENT, idle) // 100
            self.rate = min(MOST, self.rate + max(GROWTH_LEAST, grown))
        self._begin_interval()
        return self.rate != before
