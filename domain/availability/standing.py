"""What attempts and checks come to: how a model, a provider, and all of them are doing.

A model is healthy from 95 % of successes on, in less than 10 s each; below half of them it is
unhealthy. What was not tried lately is unknown: nothing is told that nobody saw.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

HEALTHY_PPM, UNHEALTHY_PPM = 950_000, 500_000
HEALTHY_MS = 10_000
MILLION = 1_000_000


class Health(StrEnum):
    """How a model is doing."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    MAINTENANCE = "maintenance"
    UNKNOWN = "unknown"


class Line(StrEnum):
    """How a provider is doing."""

    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"
    MAINTENANCE = "maintenance"
    UNKNOWN = "unknown"


class Availability(StrEnum):
    """Whether a model can be had."""

    AVAILABLE = "available"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"
    UNAVAILABLE = "unavailable"
    MAINTENANCE = "maintenance"

    @property
    def admits(self) -> bool:
        """Whether a call to it is worth a try: what is unknown is."""
        return self not in {Availability.UNAVAILABLE, Availability.MAINTENANCE}


AVAILABILITY = {
    Health.HEALTHY: Availability.AVAILABLE,
    Health.DEGRADED: Availability.DEGRADED,
    Health.UNHEALTHY: Availability.UNAVAILABLE,
    Health.MAINTENANCE: Availability.MAINTENANCE,
    Health.UNKNOWN: Availability.UNKNOWN,
}


class Tries(NamedTuple):
    """Attempts that say something of who was asked, over some time; `latency_ms` is their sum.

    Of the minutes in which there were any, `up` had a success.
    """

    attempts: int = 0
    successes: int = 0
    latency_ms: int = 0
    minutes: int = 0
    up: int = 0

    def __add__(self, other: object) -> Tries:
        """Both together."""
        assert isinstance(other, Tries)
        return Tries(*(mine + yours for mine, yours in zip(self, other, strict=True)))

    @property
    def success_ppm(self) -> int | None:
        """The share of successes, parts per million; None without attempts."""
        return self.successes * MILLION // self.attempts if self.attempts else None

    @property
    def mean_ms(self) -> int | None:
        """The mean time of an attempt; None without attempts."""
        return self.latency_ms // self.attempts if self.attempts else None

    @property
    def up_ppm(self) -> int | None:
        """The share of its minutes with a success, parts per million; None without attempts."""
        return self.up * MILLION // self.minutes if self.minutes else None

    @property
    def health(self) -> Health:
        """What the attempts alone say."""
        share, mean = self.success_ppm, self.mean_ms
        if share is None or mean is None:
            return Health.UNKNOWN
        if share < UNHEALTHY_PPM:
            return Health.UNHEALTHY
        good = share >= HEALTHY_PPM and mean < HEALTHY_MS
        return Health.HEALTHY if good else Health.DEGRADED


class Circuit(StrEnum):
    """The circuit breakers of an offer, in the words of clients."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


def health_of(tries: Tries, circuit: Circuit, *, maintenance: bool) -> Health:
    """How a model at a provider is doing, by what was tried lately and its circuit here."""
    if maintenance:
        return Health.MAINTENANCE
    if circuit is Circuit.OPEN:
        return Health.UNHEALTHY
    found = tries.health
    if circuit is Circuit.HALF_OPEN and found in {Health.HEALTHY, Health.UNKNOWN}:
        return Health.DEGRADED
    return found


def line_of(
    tries: Tries, *, checked: bool | None, trouble: bool, broken: bool, maintenance: bool
) -> Line:
    """How a provider is doing.

    `checked` is whether its last check went well (None: there was none of late), `trouble` whether
    it refuses our key or cannot be reached, `broken` whether every circuit that was used is open.
    """
    if maintenance:
        return Line.MAINTENANCE
    if trouble or broken:
        return Line.OFFLINE
    found = tries.health
    if found is Health.UNKNOWN:
        if checked is None:
            return Line.UNKNOWN
        return Line.ONLINE if checked else Line.OFFLINE
    if found is Health.UNHEALTHY:
        return Line.OFFLINE
    # Calls go through: a list that cannot be had makes it no worse than degraded.
    return Line.ONLINE if found is Health.HEALTHY and checked is not False else Line.DEGRADED


def all_together(lines: Collection[Line]) -> Health:
    """How all providers are doing, taken together; those in maintenance are meant to be away."""
    known = [each for each in lines if each not in {Line.UNKNOWN, Line.MAINTENANCE}]
    if not known:
        return Health.UNKNOWN
    if all(each is Line.OFFLINE for each in known):
        return Health.UNHEALTHY
    return Health.HEALTHY if all(each is Line.ONLINE for each in known) else Health.DEGRADED


def best(found: Collection[Availability]) -> Availability:
    """Of several offers of a model what the best one is."""
    return next((each for each in Availability if each in found), Availability.UNAVAILABLE)
