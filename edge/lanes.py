"""Threads for one kind of blocking work each, so that none can take another's; and asking once.

The default executor of the process is left to the ledger: reconnecting must never wait behind a
reader (P12).
"""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

from edge.errors import unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edge.errors import ApiError

T = TypeVar("T")
P = ParamSpec("P")

KEPT_MAX = 1_000
"""Most answers that are kept by one `Flights`, unless it has a maximum of its own; beyond it all
are forgotten.
"""


def _too_many_reads() -> ApiError:
    return unavailable("reads_busy", "Too many reads are under way here: try again.")


class Lane:
    """A bounded number of threads, and a bounded number of those who wait for one."""

    def __init__(
        self,
        name: str,
        *,
        threads: int,
        waiting_max: int,
        busy: Callable[[], ApiError] | None = None,
    ) -> None:
        """No thread is started before it is needed. `busy` is the refusal when it is full."""
        self._busy = busy or _too_many_reads
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = threads + waiting_max
        self._lock = threading.Lock()
        self._under_way = 0

    async def run(self, work: Callable[P, T], /, *values: P.args, **named: P.kwargs) -> T:
        """What the work gives, done on a thread of the lane; raises ApiError 503 when it is full.

        Work that nobody waits for any more takes its place until it is done.
        """
        with self._lock:
            if self._under_way >= self._most:
                raise self._busy()
            self._under_way += 1
        future = self._threads.submit(partial(work, *values, **named))
        future.add_done_callback(self._done)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _done(self, _: Future[Any]) -> None:
        with self._lock:
            self._under_way -= 1


class Flights:
    """One computation at a time for a name: who asks meanwhile waits for the same answer."""

    def __init__(self, *, keep_s: float = 0.0, kept_max: int = KEPT_MAX) -> None:
        """An answer stands for `keep_s` seconds, beside at most `kept_max` others."""
        self._keep_s, self._kept_max = keep_s, kept_max
        self._kept: dict[str, tuple[float, Any]] = {}
        self._under_way: dict[str, asyncio.Task[Any]] = {}

    async def get(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        """The answer of this name; raises what `make` raises, to all who wait."""
        known = self._kept.get(name)
        if known is not None and time.monotonic() < known[0]:
            return cast("T", known[1])
        task = self._under_way.get(name)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._make(name, make))
            self._under_way[name] = task
            # Whoever waited may have hung up: an error is nobody's then.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        # One who hangs up must not end it for the others.
        return cast("T", await asyncio.shield(task))

    async def _make(self, name: str, make: Callable[[], Awaitable[T]]) -> T:
        try:
            found = await make()
            if self._keep_s:
                if len(self._kept) >= self._kept_max:
                    self._kept.clear()
                self._kept[name] = (time.monotonic() + self._keep_s, found)
            return found
        finally:
            del self._under_way[name]
