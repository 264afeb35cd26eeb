"""How often a client address may ask the database for keys that open nothing."""

from __future__ import annotations

import time
from collections import deque

from edge.errors import RATE_LIMIT, ApiError

ORIGINS_MAX = 10_000
"""Most addresses that are remembered; beyond them the one that guessed longest ago is forgotten."""
WINDOW_S = 1.0


class Guesses:
    """Counts for one process; in any second an address gets no more than its share."""

    def __init__(self, per_s: int) -> None:
        """`per_s` look-ups a second for each address."""
        self._per_s = per_s
        self._asked: dict[str, deque[float]] = {}

    def check(self, origin: str) -> None:
        """Raise ApiError 429 for an address that has had its share of this second."""
        asked = self._asked.get(origin)
        if asked and len(asked) == self._per_s and time.monotonic() - asked[0] < WINDOW_S:
            raise _too_many()

    def count(self, origin: str) -> None:
        """A key that an address showed was looked up, and opens nothing."""
        asked = self._asked.pop(origin, None)
        if asked is None:
            asked = deque[float](maxlen=self._per_s)
            if len(self._asked) >= ORIGINS_MAX:
                del self._asked[next(iter(self._asked))]
        asked.append(time.monotonic())
        self._asked[origin] = asked


def _too_many() -> ApiError:
    message = "Too many keys that open nothing came from your address: try again in a second."
    after = {"retry-after": "1"}
    return ApiError(429, "too_many_attempts", message, kind=RATE_LIMIT, headers=after)
