"""Long work on a thread, in slices that leave the event loop its turns.

Python runs one thread at a time, and takes its turn from one that computes only after 5 ms: each
turn of the loop would be so late. A thread that pauses by itself is in nobody's way.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")

SLICE_S = 0.001
"""So long is worked at once, seconds."""
PAUSE_S = 0.001
"""So long the others have their turn then, seconds."""


def paced(items: Iterable[T]) -> Iterator[T]:
    """The items, with pauses between slices of the work on them; not for the event loop."""
    until = time.monotonic() + SLICE_S
    for each in items:
        yield each
        if time.monotonic() >= until:
            time.sleep(PAUSE_S)
            until = time.monotonic() + SLICE_S
