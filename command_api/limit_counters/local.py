"""Counters of this process alone, for when there is no Redis, or it is away.

Each process admits its share: the limits divided by the number of processes that live. It begins
with its share of what the shared counters held when it heard of them last, and what it admits is
told them when they are back, so that neither change is a jump.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING

from command_api.limit_counters.bound import Outcome, sums
from command_api.limit_counters.shared import counts_of
from domain.limits.rates import share_of
from domain.limits.windows import BURST, BURST_UNIT, Counters, admit, window_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from command_api.limit_counters.bound import Bound
    from command_api.limit_counters.shared import Correction
    from domain.limits.windows import Asked

SCOPES_MAX = 10_000
"""Most scopes that are counted; beyond it those that called least recently are forgotten."""
CARRIED_MAX = 20_000
"""Most buckets that are told to the shared counters when they are back."""
NS_PER_MS = 1_000_000


def clock_ms() -> int:
    """This process's own time, which nobody sets."""
    return time.monotonic_ns() // NS_PER_MS


class LocalScope:
    """One scope's counters, and what of them was only heard of."""

    __slots__ = ("counters", "heard")

    def __init__(self) -> None:
        """Nothing yet."""
        self.counters = Counters()
        self.heard: dict[tuple[int, int], int] = {}


class LocalCounters:
    """The counters of one process."""

    def __init__(self) -> None:
        """Nothing was admitted."""
        self._scopes: OrderedDict[str, LocalScope] = OrderedDict()
        self._under_way: dict[str, dict[bytes, int]] = {}
        self.since = clock_ms()
        """When this process began to count by itself."""

    def begin(self, under_way: Iterable[tuple[str, bytes]] = (), life_ms: int = 0) -> None:
        """Begin anew: until now the shared counters had all.

        `under_way` are this process's calls by scope, which count for so long.
        """
        self._scopes.clear()
        self._under_way = {}
        for name, lease in under_way:
            self._under_way.setdefault(name, {})[lease] = clock_ms() + life_ms
        self.since = clock_ms()

    def admit(
        self, bound: Bound, asked: Asked, lease: bytes, until_ms: int, processes: int
    ) -> Outcome:
        """Decide and count."""
        now = clock_ms()
        scopes = []
        for index, limited in enumerate(bound.limited):
            known = self._scopes.get(limited.name)
            if known is None:
                known = self._scopes[limited.name] = self._first(bound, index, processes)
                if len(self._scopes) > SCOPES_MAX:
                    self._scopes.popitem(last=False)
            else:
                self._scopes.move_to_end(limited.name)
            scopes.append((share_of(limited.limits, processes), known.counters))
        found = admit(scopes, asked, now=now, lease=lease, lease_until=now + until_ms)
        return Outcome(found.admitted, now, found.wait, found.refusing, found.used, processes)

    def _first(self, bound: Bound, index: int, processes: int) -> LocalScope:
        """A scope that this process meets first, with its share of what it heard of it."""
        made = LocalScope()
        made.counters.leases = self._under_way.pop(bound.limited[index].name, {})
        if not bound.seen or bound.seen_at > self.since:
            return made
        for each, held in zip(bound.gauges, bound.seen, strict=True):
            if each.scope != index:
                continue
            if sums(each.gauge):
                window = made.counters.window(each.gauge, bound.seen_at)
                bucket, part = bound.seen_at // window_of(each.gauge).bucket, -(-held // processes)
                window.add(bucket, part)
                made.heard[each.gauge, bucket] = part
            elif each.gauge == BURST:
                made.counters.burst_left = max(held, 0) // processes // BURST_UNIT * BURST_UNIT
                made.counters.burst_at = bound.seen_at
        return made

    def correct(self, name: str, gauge: int, at: int, amount: int) -> None:
        """Give back, or add, what was counted at an instant of this process's time."""
        known = self._scopes.get(name)
        if known is not None:
            window = known.counters.window(gauge, clock_ms())
            window.add(at // window_of(gauge).bucket, amount)

    def ended(self, name: str, lease: bytes) -> None:
        """A call under way has ended."""
        self._under_way.get(name, {}).pop(lease, None)
        known = self._scopes.get(name)
        if known is not None:
            known.counters.leases.pop(lease, None)

    def admitted(self) -> Iterator[Correction]:
        """What this process admitted by itself: key, gauge, age in milliseconds, amount."""
        now, left = clock_ms(), CARRIED_MAX
        for name, known in reversed(self._scopes.items()):
            for gauge, window in known.counters.windows.items():
                width = window_of(gauge).bucket
                for bucket, amount in window.buckets.items():
                    own = amount - known.heard.get((gauge, bucket), 0)
                    if own > 0 and left:
                        left -= 1
                        yield counts_of(name), gauge, max(0, now - (bucket + 1) * width), own
