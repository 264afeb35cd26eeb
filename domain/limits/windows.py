"""Sliding windows in buckets, and the rule that admits a request: all of its limits or none.

A window of a minute is kept in 60 buckets of a second, an hour in 60 of a minute, a day in 96 of a
quarter of an hour. What was admitted counts until no instant of its bucket lies in the window any
more, so no sliding window holds more than its limit, and what was admitted is remembered for at
most one bucket longer than the window: 1/60 of it, or 1/96. The shared counters in Redis keep the
same rule in a script of their own; a test holds the two together. Times are milliseconds of any
clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.limits.rates import FIELDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.limits.rates import RateLimits


class Window(NamedTuple):
    """One sliding window and its buckets, in milliseconds; and how many buckets it has."""

    name: str
    span: int
    bucket: int
    buckets: int


MINUTE = Window("minute", 60_000, 1_000, 60)
HOUR = Window("hour", 3_600_000, 60_000, 60)
DAY = Window("day", 86_400_000, 900_000, 96)
WINDOWS = (MINUTE, HOUR, DAY)

REQUESTS = len(WINDOWS)
"""Gauges are counted from 0 in the limits' order: windows of requests, of tokens, the rest."""
BURST, CONCURRENCY = FIELDS.index("burst"), FIELDS.index("concurrency")
BURST_UNIT = 60_000
"""A request of a burst in parts: so many come back in a millisecond as the burst is large."""
CONCURRENCY_WAIT = 1_000
"""When to try again where calls under way are too many: nobody knows when one ends."""
NEVER = -1
"""Instead of a wait: the request alone is more than the limit."""

REASONS = (
    *(f"{each.name.capitalize()} request limit exceeded" for each in WINDOWS),
    *(f"{each.name.capitalize()} token limit exceeded" for each in WINDOWS),
    "Burst limit exceeded",
    "Concurrency limit exceeded",
)


def window_of(gauge: int) -> Window:
    """The window of a gauge that has one."""
    return WINDOWS[gauge % REQUESTS]


class Asked(NamedTuple):
    """What a request wants to be counted for."""

    requests: int
    tokens: int


class WindowCount:
    """What one window holds."""

    __slots__ = ("buckets", "oldest", "total")

    def __init__(self) -> None:
        """Nothing yet."""
        self.buckets: dict[int, int] = {}
        self.total, self.oldest = 0, 0

    def forget(self, first: int) -> None:
        """Forget the buckets before this one, which lie in no part of the window any more."""
        for each in [each for each in self.buckets if each < first]:
            self.total -= self.buckets.pop(each)
        self.oldest = first

    def add(self, bucket: int, amount: int) -> None:
        """Count an amount, or take some back; what was forgotten stays so."""
        if bucket < self.oldest or not amount:
            return
        was = self.buckets.get(bucket, 0)
        amount = max(amount, -was)
        self.buckets[bucket] = was + amount
        self.total += amount

    def wait(self, window: Window, now: int, excess: int) -> int:
        """How long until so much is forgotten; NEVER where there is not so much."""
        for bucket in sorted(self.buckets):
            excess -= self.buckets[bucket]
            if excess <= 0:
                return (bucket + window.buckets + 1) * window.bucket - now
        return NEVER


class Counters:
    """What one scope was admitted lately."""

    __slots__ = ("burst_at", "burst_left", "leases", "windows")

    def __init__(self) -> None:
        """Nothing yet."""
        self.windows: dict[int, WindowCount] = {}
        self.burst_left: int | None = None
        self.burst_at = 0
        self.leases: dict[bytes, int] = {}
        """Calls under way, each with the instant at which it counts no more."""

    def window(self, gauge: int, now: int) -> WindowCount:
        """One window as it is now."""
        found = self.windows.get(gauge)
        if found is None:
            found = self.windows[gauge] = WindowCount()
        window = WINDOWS[gauge % REQUESTS]
        first = now // window.bucket - window.buckets
        if found.oldest < first:
            found.forget(first)
        return found

    def burst(self, limit: int, now: int) -> int:
        """What is left of the burst, in parts of a request."""
        if self.burst_left is None:
            self.burst_left, self.burst_at = limit * BURST_UNIT, now
        elapsed = min(max(now - self.burst_at, 0), BURST_UNIT)
        self.burst_left = min(limit * BURST_UNIT, self.burst_left + elapsed * limit)
        self.burst_at = max(now, self.burst_at)
        return self.burst_left

    def under_way(self, now: int) -> int:
        """Calls under way."""
        for lease in [lease for lease, end in self.leases.items() if end <= now]:
            del self.leases[lease]
        return len(self.leases)


class Verdict(NamedTuple):
    """Whether a request is admitted; if not, which limit binds longest, and how long."""

    admitted: bool
    refusing: tuple[int, int]
    """The scope, by its place, and the gauge that refuse longest; (0, 0) where none does."""
    wait: int
    """Milliseconds, or NEVER."""
    used: tuple[int, ...]
    """What each limit that is set holds now, in order; of a burst, what is left."""


def admit(
    scopes: Sequence[tuple[RateLimits, Counters]],
    asked: Asked,
    *,
    now: int,
    lease: bytes = b"",
    lease_until: int = 0,
) -> Verdict:
    """Decide, and count where all limits allow it. A `lease` is taken where calls are limited."""
    amounts = (asked.requests,) * REQUESTS + (asked.tokens,) * REQUESTS
    gauges = [
        (index, gauge, limit, counters, counters.window(gauge, now) if gauge < BURST else None)
        for index, (limits, counters) in enumerate(scopes)
        for gauge, limit in enumerate(limits)
        if limit is not None
    ]
    refusing, longest = (0, 0), 0
    for index, gauge, limit, counters, window in gauges:
        if window is None:
            wait = _wait(counters, gauge, limit, asked.requests, now)
        else:
            excess = window.total + amounts[gauge] - limit
            too_much = amounts[gauge] and excess > 0
            wait = window.wait(window_of(gauge), now, excess) if too_much else 0
        if longest != NEVER and (wait == NEVER or wait > longest):
            refusing, longest = (index, gauge), wait
    used = []
    for _, gauge, limit, counters, window in gauges:
        if window is None:
            if not longest:
                _count(counters, gauge, limit, asked.requests, now, (lease, lease_until))
            used.append(_used(counters, gauge, limit, now))
        else:
            if not longest:
                # A clock that went back must not admit what it had counted already.
                bucket = max(now // WINDOWS[gauge % REQUESTS].bucket, window.oldest)
                window.add(bucket, amounts[gauge])
            used.append(window.total)
    return Verdict(admitted=not longest, refusing=refusing, wait=longest, used=tuple(used))


def _wait(counters: Counters, gauge: int, limit: int, requests: int, now: int) -> int:
    """How long until a burst, or calls under way, allow so many: 0 for at once, or NEVER."""
    if not requests:
        return 0
    if gauge == BURST:
        missing = requests * BURST_UNIT - counters.burst(limit, now)
        if missing <= 0:
            return 0
        return -(-missing // limit) if limit else NEVER
    if counters.under_way(now) < limit:
        return 0
    return CONCURRENCY_WAIT if limit else NEVER


def _count(
    counters: Counters, gauge: int, limit: int, requests: int, now: int, lease: tuple[bytes, int]
) -> None:
    if gauge == BURST:
        counters.burst_left = counters.burst(limit, now) - requests * BURST_UNIT
    elif lease[0]:
        counters.leases[lease[0]] = lease[1]


def _used(counters: Counters, gauge: int, limit: int, now: int) -> int:
    return counters.burst(limit, now) if gauge == BURST else counters.under_way(now)


def retry_after_s(wait: int) -> int:
    """A wait in whole seconds, rounded up."""
    return -(-wait // 1_000)
