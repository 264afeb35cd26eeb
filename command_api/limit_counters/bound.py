"""What limits one caller, prepared for the hot path, and what his replies say of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from command_api.limit_counters.scripts import PREFIX, SINCE
from domain.limits.rates import FIELDS, part_of
from domain.limits.windows import BURST, BURST_UNIT, CONCURRENCY, REQUESTS, WINDOWS
from providers.redis.replies import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.limits.rates import LimitScope, RateLimits
    from edge.asgi import Header

MS_PER_S, S_PER_M, M_PER_H = 1_000, 60, 60


class Limited(NamedTuple):
    """One scope of a caller and its limits."""

    scope: LimitScope
    scope_id: str
    limits: RateLimits
    plan: str = ""
    """Whose limits these are, where a plan has them."""

    @property
    def name(self) -> str:
        """By which its counters are found."""
        return f"{self.scope}:{self.scope_id}"


class Gauge(NamedTuple):
    """One limit that is set."""

    scope: int
    gauge: int
    limit: int


class Outcome(NamedTuple):
    """What the counters said of one request."""

    admitted: bool
    now: int
    """The counters' clock, milliseconds."""
    wait: int
    refusing: tuple[int, int]
    used: Sequence[int]
    """What each limit holds, in the order of the bound's gauges."""
    processes: int = 1
    """How many share the limits, each with counters of its own."""

    def left(self, gauge: Gauge, used: int) -> int:
        """What a limit leaves here."""
        if gauge.gauge == BURST:
            return max(0, used // BURST_UNIT)
        return max(0, part_of(gauge.limit, self.processes) - used)


class Bound:
    """All scopes of a caller."""

    __slots__ = (
        *("_beside", "_lease_ms", "_shortest", "calls", "gauges", "limited", "names", "seen"),
        *("seen_at", "shared"),
    )

    def __init__(self, limited: Sequence[Limited], *, lease_ms: int) -> None:
        """At least one scope has limits."""
        self.limited = tuple(limited)
        self._lease_ms = lease_ms
        self._beside: Bound | None = None
        self.gauges = tuple(
            Gauge(index, gauge, limit)
            for index, each in enumerate(self.limited)
            for gauge, limit in enumerate(each.limits)
            if limit is not None
        )
        self.names = frozenset(each.name for each in self.limited)
        self.calls = tuple(
            each.name for each in self.limited if each.limits.concurrency is not None
        )
        """Scopes whose calls under way are counted."""
        keys = [
            SINCE,
            *(f"{PREFIX}{kind}:{each.name}" for each in self.limited for kind in ("c", "l")),
        ]
        values = [lease_ms, *(part for each in self.gauges for part in each)]
        parts = command(len(keys), *keys, *values)
        self.shared = (len(keys) + len(values) + 7, parts[parts.index(b"\r\n") + 2 :])
        """Of the command to Redis: how many parts it has, and those that are always the same."""
        self.seen: Sequence[int] = ()
        """What the shared counters held, when this process heard of them last."""
        self.seen_at = 0
        self._shortest = tuple(
            (self._of_shortest(first), *_headers_of(kind))
            for first, kind in ((0, b"requests"), (REQUESTS, b"tokens"))
        )

    @property
    def beside(self) -> Bound | None:
        """The same but for calls under way; None where nothing else is limited."""
        if not self.calls:
            return self
        if self._beside is None:
            others = [
                each._replace(limits=each.limits._replace(concurrency=None))
                for each in self.limited
            ]
            self._beside = Bound(others, lease_ms=self._lease_ms)
        return self._beside if self._beside.gauges else None

    def _of_shortest(self, first: int) -> tuple[int, ...]:
        """Places of the limits of the shortest window of requests, or of tokens."""
        of_kind = [
            (each.gauge, place)
            for place, each in enumerate(self.gauges)
            if first <= each.gauge < first + REQUESTS
        ]
        shortest = min(of_kind)[0] if of_kind else -1
        return tuple(place for gauge, place in of_kind if gauge == shortest)

    def headers(self, outcome: Outcome) -> list[Header]:
        """OpenAI's headers: of the shortest window, the limit that leaves least."""
        found: list[Header] = []
        for places, limit_header, left_header, reset_header in self._shortest:
            if not places:
                continue
            left, place = outcome.left(self.gauges[places[0]], outcome.used[places[0]]), places[0]
            for at in places[1:]:
                here = outcome.left(self.gauges[at], outcome.used[at])
                if here < left:
                    left, place = here, at
            _, gauge, limit = self.gauges[place]
            _, span, width, _ = WINDOWS[gauge % REQUESTS]
            reset = span + width - outcome.now % width if outcome.used[place] else 0
            found += (
                (limit_header, b"%d" % limit),
                (left_header, b"%d" % left),
                (reset_header, duration(reset)),
            )
        return found

    def left(self, outcome: Outcome) -> dict[str, tuple[int, int]]:
        """Of each limit by name the lowest of all scopes, and the least that any of them leaves."""
        found: dict[str, tuple[int, int]] = {}
        for gauge, used in zip(self.gauges, outcome.used, strict=True):
            name, left = FIELDS[gauge.gauge], outcome.left(gauge, used)
            lowest, least = found.get(name, (gauge.limit, left))
            found[name] = (min(lowest, gauge.limit), min(least, left))
        return found


def _headers_of(kind: bytes) -> tuple[bytes, bytes, bytes]:
    """The names of OpenAI's headers: the limit, what is left of it, when it is whole again."""
    limit, left, reset = (b"x-ratelimit-%b-" % each for each in (b"limit", b"remaining", b"reset"))
    return limit + kind, left + kind, reset + kind


def duration(ms: int) -> bytes:
    """A time as OpenAI's headers write it: 6m0s, 1.5s, 20ms."""
    if 0 < ms < MS_PER_S:
        return b"%dms" % ms
    seconds, rest = divmod(ms, MS_PER_S)
    minutes, seconds = divmod(seconds, S_PER_M)
    hours, minutes = divmod(minutes, M_PER_H)
    text = f"{seconds}.{rest:03d}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}".encode()
    return f"{minutes}m{text}".encode() if minutes else text.encode()


def sums(gauge: int) -> bool:
    """Whether a gauge is a window, which sums up."""
    return gauge not in (BURST, CONCURRENCY)
