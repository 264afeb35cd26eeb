"""How long the event loop had nothing to do."""

from __future__ import annotations

from projections.hosting.contention import kernel_figures

NS_PER_US = 1_000


class Idleness:
    """Of the calling thread; it has to be the same one each time."""

    def __init__(self) -> None:
        """It is asked for the first time now."""
        self._busy_us = self._told()

    def since(self, elapsed_us: int) -> int:
        """Of so long since the last time, microseconds: neither run nor kept waiting for a core.
        Always 0 where the kernel does not tell.
        """
        before, self._busy_us = self._busy_us, self._told()
        if before is None or self._busy_us is None:
            return 0
        return max(0, elapsed_us - (self._busy_us - before))

    @staticmethod
    def _told() -> int | None:
        figures = kernel_figures()
        return None if figures is None else sum(figures) // NS_PER_US
