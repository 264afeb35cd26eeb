"""How many calls a second a process admits: fewer while it is late all the time, else all.

Additive increase, multiplicative decrease, as TCP does it (RFC 5681, 3.1). What counts is the
smallest delay of an interval, as in CoDel (RFC 8289, 3.1): a burst that passes makes some samples
late, a standing queue makes every one late. What is limited is a rate and no number of calls: each
costs its CPU once, however long its provider takes.
"""

from __future__ import annotations

LATE_US = 3_000
"""A process whose every sample is as late as this has more to do than it can."""
SAMPLES = 4
"""So many make an interval."""
IDLE_PERCENT = 10
"""A process that had so little to do is late because others take its core."""
KEPT_PERCENT = 90
GROWTH_PERCENT, GROWTH_LEAST = 5, 4
UNUSED_GROWTH_PERCENT = 50
"""While nobody waits for more."""
LEAST, MOST = 50, 20_000
"""Calls a second: those that are admitted however late the process is, and any number."""
BURST_US = 10_000
"""Calls that were not made may be made up for so long."""
US_PER_S = 1_000_000


class AdmissionPace:
    """The pace of one process."""

    __slots__ = (
        *("_admitted", "_allowance", "_earliest", "_elapsed_us", "_idle_us", "_samples"),
        "rate",
    )

    def __init__(self) -> None:
        """At first any number."""
        self.rate = MOST
        self._samples = self._admitted = self._elapsed_us = self._idle_us = 0
        self._earliest = LATE_US
        self._allowance = 0  # In calls times microseconds a second, so that nothing is rounded.

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
        self._admitted += 1
        return True

    def passed(self, elapsed_us: int) -> None:
        """So much time went by, microseconds."""
        self._allowance = min(self._most_kept, self._allowance + self.rate * elapsed_us)

    @property
    def _most_kept(self) -> int:
        return max(self.rate * BURST_US, US_PER_S)

    def sampled(self, elapsed_us: int, late_us: int, idle_us: int, *, wanted: bool) -> bool:
        """Take in how long ago the last sample was, how late the process was, and how long it had
        nothing to do, microseconds; true where the rate changed. `wanted` says whether calls wait
        for more.

        It falls from what was admitted, which may be far less than it allowed.
        """
        self._earliest = late_us if not self._samples else min(self._earliest, late_us)
        self._samples += 1
        self._elapsed_us += elapsed_us
        self._idle_us += idle_us
        if self._samples < SAMPLES:
            return False
        before = self.rate
        busy = self._idle_us * 100 < self._elapsed_us * IDLE_PERCENT
        if busy and self._earliest >= LATE_US:
            made = self._admitted * US_PER_S // max(1, self._elapsed_us)
            self.rate = max(LEAST, min(self.rate, made) * KEPT_PERCENT // 100)
        elif self.limited:
            percent = GROWTH_PERCENT if wanted else UNUSED_GROWTH_PERCENT
            self.rate = min(MOST, self.rate + max(GROWTH_LEAST, self.rate * percent // 100))
        self._samples = self._admitted = self._elapsed_us = self._idle_us = 0
        return self.rate != before
