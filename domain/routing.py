"""Which offer is tried first, and which next. Pure: time, latency and dice come from outside.

An order is made of three things: what the operator decided (`Policy`), what the caller wants
(`Wishes`), and how each offer has been doing (`OfferHealth`). An offer that is not doing well is
put last and never left out: the caller is better served by a try than by a refusal.

Times are milliseconds of any steady clock.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal


class Sort(StrEnum):
    """How offers of one model are ordered."""

    ORDERED = "ordered"
    CHEAPEST = "cheapest"
    FASTEST = "fastest"
    WEIGHTED = "weighted"
    STICKY = "sticky"


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
        """A try begins; with a half-open breaker it is the probe, and others wait for it."""
        if self.state(now_ms) is BreakerState.HALF_OPEN:
            self._probe_until = now_ms + PROBE_MS_MAX

    def succeeded(self, latency_ms: int) -> None:
        """A try gave output after so long."""
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
        self._failures += 1
        self._probe_until = self._successes = 0
        if self._open or self._failures >= self.limits.failures:
            self._open = True
            self._open_until = now_ms + self.limits.open_ms

    def limited(self, now_ms: int, retry_after_ms: int | None) -> None:
        """The provider answered 429: leave it alone for as long as it says."""
        wait = self.limits.cool_down_ms if retry_after_ms is None else retry_after_ms
        self._probe_until = 0
        self._cooling_until = max(
            self._cooling_until, now_ms + min(max(wait, 0), self.limits.cool_down_max_ms)
        )

    def neutral(self) -> None:
        """A try ended by somebody else's fault, or was given up."""
        self._probe_until = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the operator decided for a model, or for all.

    `order` names providers that come first, `weights` are shares by provider (1 when absent).
    With `hedge_after_ms` the next offer is tried as well when the first is silent for so long.
    """

    sort: Sort = Sort.ORDERED
    order: tuple[str, ...] = ()
    weights: Mapping[str, int] = field(default_factory=dict)
    hedge_after_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the caller wants of the routing (OpenRouter's `provider` object).

    `order` names providers that come first; without `allow_fallbacks` no others are tried.
    `max_input` and `max_output` are USD per million tokens.
    """

    order: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    allow_fallbacks: bool = True
    sort: Sort | None = None
    max_input: Decimal | None = None
    max_output: Decimal | None = None


class Choice(NamedTuple):
    """An offer as the routing sees it: its provider, price for ordering, and prices in USD."""

    provider: str
    price_rank: int
    input_per_million: Decimal
    output_per_million: Decimal
    health: OfferHealth


def allowed(choice: Choice, wishes: Wishes) -> bool:
    """Whether the caller's wishes admit the offer at all."""
    return not (
        choice.provider in wishes.ignore
        or (wishes.only and choice.provider not in wishes.only)
        or (wishes.order and not wishes.allow_fallbacks and choice.provider not in wishes.order)
        or (wishes.max_input is not None and choice.input_per_million > wishes.max_input)
        or (wishes.max_output is not None and choice.output_per_million > wishes.max_output)
    )


def arrange(
    choices: Sequence[Choice],
    policy: Policy,
    wishes: Wishes,
    *,
    now_ms: int,
    dice: int,
    caller: str,
) -> list[int]:
    """Indexes of the offers in the order in which they are tried.

    `dice` is a random number of 64 bits, `caller` what `sticky` sticks to.
    """
    named = wishes.order or policy.order
    key = _sort_key(wishes.sort or policy.sort, policy, dice, caller)
    found = [
        (
            choice.health.standing(now_ms),
            named.index(choice.provider) if choice.provider in named else len(named),
            key(choice),
            index,
        )
        for index, choice in enumerate(choices)
        if allowed(choice, wishes)
    ]
    return [index for *_, index in sorted(found)]


def _sort_key(sort: Sort, policy: Policy, dice: int, caller: str) -> Callable[[Choice], int]:
    if sort is Sort.CHEAPEST:
        return lambda choice: choice.price_rank
    if sort is Sort.FASTEST:
        # One that was never tried is tried first: nothing else would tell how fast it is.
        return lambda choice: choice.health.latency_ms or 0
    if sort is Sort.WEIGHTED:
        return lambda choice: _draw(policy.weights.get(choice.provider, 1), choice.provider, dice)
    if sort is Sort.STICKY:
        return lambda choice: _hash(f"{caller}/{choice.provider}")
    return lambda _: 0


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


WEIGHT_MAX = 100
"""Weights count up to here."""


def _draw(weight: int, provider: str, dice: int) -> int:
    """A number that is the smallest of all with a chance in proportion to the weight.

    Each provider has as many tickets as its weight, and the smallest number of all wins.
    """
    if weight <= 0:
        return 1 << 64
    return min(_hash(f"{dice}/{provider}/{ticket}") for ticket in range(min(weight, WEIGHT_MAX)))


class Verdict(StrEnum):
    """What a failed try means for the next step and for the offer's health."""

    PROVIDER = "provider"
    """The provider's fault: try the next, count it."""
    LIMITED = "limited"
    """Too many requests: try the next, leave this one alone."""
    SKIPPED = "skipped"
    """This provider cannot do it: try the next, nobody's fault."""
    CALLER = "caller"
    """The request is wrong: no other provider would take it."""


FAULTS_OF_CALLERS = frozenset({400, 405, 411, 413, 414, 415, 422, 431})
TOO_MANY_REQUESTS = 429
CONFLICT = 409


def verdict_of(status: int | None) -> Verdict:
    """The verdict on a failure with this status; None is one without (broken, silent, away).

    Fails over on 401, 402, 403, 404, 408, 409, 429 and 5xx. A 409 says nothing of health.
    """
    if status in FAULTS_OF_CALLERS:
        return Verdict.CALLER
    if status == TOO_MANY_REQUESTS:
        return Verdict.LIMITED
    return Verdict.SKIPPED if status == CONFLICT else Verdict.PROVIDER
