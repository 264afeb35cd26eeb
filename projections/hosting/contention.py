"""Whether others need the cores on which a thread would run, as far as the kernel tells."""

from __future__ import annotations

from pathlib import Path

SCHEDSTAT = Path("/proc/thread-self/schedstat")
"""Linux: nanoseconds run, nanoseconds runnable but kept waiting, time slices
(Documentation/scheduler/sched-stats.rst)."""
LOOK_NS = 20_000_000
"""A share is told of at least so much time; before that the last one stands."""


def kernel_figures() -> tuple[int, int] | None:
    """How long the calling thread ran, and how long it could have and was kept waiting,
    nanoseconds; None where the kernel does not tell.
    """
    try:
        ran, waited, _ = (int(each) for each in SCHEDSTAT.read_text().split())
    except (OSError, ValueError):
        return None
    return ran, waited


class Contention:
    """Of the calling thread; it has to be the same one each time."""

    def __init__(self) -> None:
        """Nothing was waited for yet."""
        self._ran = self._waited = 0
        self._share = 0.0

    def share(self) -> float:
        """Which part of the time in which it could run it was kept waiting, since the last look.

        Always 0 where the kernel does not tell.
        """
        figures = kernel_figures()
        if figures is None:
            return 0.0
        ran, waited = figures
        since = (ran - self._ran) + (waited - self._waited)
        if since >= LOOK_NS:
            self._share = (waited - self._waited) / since
            self._ran, self._waited = ran, waited
        return self._share
