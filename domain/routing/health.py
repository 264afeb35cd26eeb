"""How an offer has been doing: its circuit breaker, its cool-down, its latency, who waits."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class BreakerState(StrEnum):
    """A circuit breaker's state."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Standing(IntEnum):
    """How an offer stands now; lower is better."""

    GOOD = 0
    COOLING = 1
    """The provider asked to be left alone for a while (429)."""
    BROKEN = 2
    """The breaker is open, or half-open with its probe under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """Consecutive failures that open it, how long it stays open, successes that close it."""

    failures: int = 5
    open_ms: int = 60_000
    successes: int = 3
    cool_down_ms: int = 5_000
    cool_down_max_ms: int = 600_000


EWMA_SHARE = 8
"""The newest latency counts for one eighth of the average."""
PROBE_MS_MAX = 600_000
"""A probe that was never reported on is forgotten after this."""


@dataclass(slots=True)
class OfferHealth:
    """One offer's breaker, cool-down and latency."""

    limits: BreakerLimits
    latency_ms: int | None = None
    waiting: int = 0
    """Tries under way that gave no output yet."""
    _failures: int = 0
    _successes: int = 0
    _open_until: int = 0
    _cooling_until: int = 0
    _probe_until: int = 0
    _open: bool = False

    def state(self, now_ms: int) -> BreakerState:
        """The breaker's state."""
        if not self._open:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now_ms < self._open_until else BreakerState.HALF_OPEN

    def standing(self, now_ms: int) -> Standing:
        """How the offer stands."""
        state = self.state(now_ms)
        if state is BreakerState.OPEN or (
            state is BreakerState.HALF_OPEN and now_ms < self._probe_until
        ):
            return Standing.BROKEN
        return Standing.COOLING if now_ms < self._cooling_until else Standing.GOOD

    @property
    def untroubled(self) -> bool:
        """Whether nothing is known against the offer."""
        return not (self._open or self._failures or self._cooling_until)

    def begin(self, now_ms: int) -> None:
        """A try begins; with a half-open breaker it is the probe, and others wait for it.

        It ends once: it succeeded, failed, was limited or is neutral.
        """
        self.waiting += 1
        if self.state(now_ms) is BreakerState.HALF_OPEN:
            self._probe_until = now_ms + PROBE_MS_MAX

    def succeeded(self, latency_ms: int) -> None:
        """A try gave output after so long."""
        self._ended()
        known = self.latency_ms
        if known is None:
            self.latency_ms = latency_ms
        else:
            self.latency_ms = known + (latency_ms - known) // EWMA_SHARE
        self._failures = self._probe_until = self._cooling_until = 0
        if self._open:
            self._successes += 1
            if self._successes >= self.limits.successes:
                self._open = False

    def failed(self, now_ms: int) -> None:
        """A try failed by the provider's fault."""
        self._ended()
        self._failures += 1
        self._probe_until = self._successes = 0
        if self._open or self._failures >= self.limits.failures:
            self._open = True
            self._open_until = now_ms + self.limits.open_ms

    def limited(self, now_ms: int, retry_after_ms: int | None) -> None:
        """The provider answered 429: leave it alone for as long as it says."""
        self._ended()
        wait = self.limits.cool_down_ms if retry_after_ms is None else retry_after_ms
        self._probe_until = 0
        self._cooling_until = max(
            self._cooling_until, now_ms + min(max(wait, 0), self.limits.cool_down_max_ms)
        )

    def neutral(self) -> None:
        """A try ended by somebody else's fault, or was given up."""
        self._ended()
        self._probe_until = 0

    def _ended(self) -> None:
        """What other gateways tell of their tries never began here."""
        self.waiting = max(0, self.waiting - 1)

    @property
    def load(self) -> int:
        """How long the next try would wait if those before it were served one by one.

        One that was never tried is as good as idle: nothing else would tell how fast it is.
        """
        return (self.latency_ms or 0) * (self.waiting + 1)
