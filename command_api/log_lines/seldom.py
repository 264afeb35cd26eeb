"""One line of a kind in a minute, however often what it tells happens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

EVERY_S = 60.0
"""A kind of line is written so often at most, seconds."""
KINDS_MAX = 256
"""So many kinds have a line of their own at a time; all others share one."""
OTHERS = ""


class SeldomLines:
    """Lines by kind, each with how many like it were left out since the last."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """None was written yet; `clock` tells seconds."""
        self._clock = clock
        self._kinds: dict[str, tuple[float, int]] = {}
        """When each was last written, and how many were left out since."""

    def write(
        self, logger: logging.Logger, level: int, kind: str, message: str, *values: object
    ) -> None:
        """Write the line, where its kind had none for a while."""
        if not logger.isEnabledFor(level):
            return
        now_s = self._clock()
        if kind not in self._kinds and len(self._kinds) >= KINDS_MAX:
            self._forget(now_s)
            kind = kind if len(self._kinds) < KINDS_MAX else OTHERS
        last_s, left_out = self._kinds.get(kind, (now_s - EVERY_S, 0))
        if now_s - last_s < EVERY_S:
            self._kinds[kind] = (last_s, left_out + 1)
            return
        self._kinds[kind] = (now_s, 0)
        if left_out:
            message, values = f"{message}; %d more like it were left out", (*values, left_out)
        logger.log(level, message, *values)

    def _forget(self, now_s: float) -> None:
        """Let go of kinds whose time is over: none of them would be left out now."""
        self._kinds = {
            kind: (last_s, left_out)
            for kind, (last_s, left_out) in self._kinds.items()
            if now_s - last_s < EVERY_S
        }
