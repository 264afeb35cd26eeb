"""How many calls may be admitted at once: fewer while a process is late all the time, else more.

Additive increase, multiplicative decrease, as TCP does it (RFC 5681, 3.1). What counts is the
smallest delay of an interval, as in CoDel (RFC 8289, 3.1): a burst that passes makes some samples
late, a standing queue makes every one late. There are two places where it may stand: before the
event loop, and before the ledger, where it makes even the quickest admission far slower than one
usually is.
"""

from __future__ import annotations

LATE_US = 5_000
"""A process whose every sample is as late as this has more to do than it can."""
SAMPLES = 4
"""So many make an interval."""
KEPT_PERCENT = 80
GROWTH_PERCENT, GROWTH_LEAST = 5, 4
SLOW_FACTOR, SLOW_SPARE_US = 2, 5_000
"""An admission is slow beyond so many times what is usual, and so much more."""
USUAL_SHARE = 1_024
"""What is usual grows by this share an interval, so that a ledger that became slower is not taken
for a busy one for ever; with a busy one it is found again, as few are admitted then.
"""


class AdaptiveLimit:
    """The limit of one process."""

    __slots__ = ("_earliest", "_quickest", "_samples", "_usual", "least", "limit", "most")

    def __init__(self, *, least: int, most: int) -> None:
        """At first as many as there may ever be."""
        self.least, self.most = min(least, most), most
        self.limit = most
        self._samples, self._earliest = 0, LATE_US
        self._quickest: int | None = None
        self._usual: int | None = None

    def admitted(self, took_us: int) -> None:
        """Take in how long the ledger took to place a hold, microseconds."""
        if self._quickest is None or took_us < self._quickest:
            self._quickest = took_us

    def sampled(self, late_us: int, admitting: int) -> bool:
        """Take in how late the process was, microseconds; true where the limit changed.

        It falls from what is being admitted, which may be far less than it allowed.
        """
        self._earliest = late_us if not self._samples else min(self._earliest, late_us)
        self._samples += 1
        if self._samples < SAMPLES:
            return False
        before, self._samples = self.limit, 0
        # As few as its least are no queue, whatever they take.
        if self._earliest >= LATE_US or (self._slow() and admitting > self.least):
            kept = min(self.limit, admitting) * KEPT_PERCENT // 100
            self.limit = max(self.least, kept)
        else:
            more = max(GROWTH_LEAST, self.limit * GROWTH_PERCENT // 100)
            self.limit = min(self.most, self.limit + more)
        return self.limit != before

    def _slow(self) -> bool:
        """Whether even the quickest of the interval took far longer than is usual."""
        quickest, usual, self._quickest = self._quickest, self._usual, None
        if quickest is None:
            return False
        if usual is None or quickest <= usual:
            self._usual = quickest
            return False
        self._usual = usual + usual // USUAL_SHARE + 1
        return quickest >= SLOW_FACTOR * usual + SLOW_SPARE_US
