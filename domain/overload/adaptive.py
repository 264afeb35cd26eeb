"""How many calls may be admitted at once: fewer while a process is late all the time, else more.

Additive increase, multiplicative decrease, as TCP does it (RFC 5681, 3.1). What counts is the
smallest delay of an interval, as in CoDel (RFC 8289, 3.1): a burst that passes makes some samples
late, a standing queue makes every one late.
"""

from __future__ import annotations

LATE_US = 5_000
"""A process whose every sample is as late as this has more to do than it can."""
SAMPLES = 4
"""So many make an interval."""
KEPT_PERCENT = 80
GROWTH_PERCENT, GROWTH_LEAST = 5, 4


class AdaptiveLimit:
    """The limit of one process."""

    __slots__ = ("_earliest", "_samples", "least", "limit", "most")

    def __init__(self, *, least: int, most: int) -> None:
        """At first as many as there may ever be."""
        self.least, self.most = min(least, most), most
        self.limit = most
        self._samples, self._earliest = 0, LATE_US

    def sampled(self, late_us: int, admitting: int) -> bool:
        """Take in how late the process was, microseconds; true where the limit changed.

        It falls from what is being admitted, which may be far less than it allowed.
        """
        self._earliest = late_us if not self._samples else min(self._earliest, late_us)
        self._samples += 1
        if self._samples < SAMPLES:
            return False
        before, self._samples = self.limit, 0
        if self._earliest >= LATE_US:
            kept = min(self.limit, admitting) * KEPT_PERCENT // 100
            self.limit = max(self.least, kept)
        else:
            more = max(GROWTH_LEAST, self.limit * GROWTH_PERCENT // 100)
            self.limit = min(self.most, self.limit + more)
        return self.limit != before
