"""What is known of every offer and provider at a moment: the board, made on a thread.

Of the process: circuits and their latency. Of all gateways: attempts, checks, maintenance.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from command_api.routing.router import now_ms
from domain.availability.standing import (
    AVAILABILITY,
    Circuit,
    Health,
    Line,
    Tries,
    all_together,
    health_of,
    line_of,
)
from domain.routing.health import BreakerState
from event_store.beside.upkeep.reading import read_checks, read_monitor, read_windows
from projections.catalog.provider_health import read_attempts
from projections.engine.projection import select_on
from providers.inference.registry.paced import paced

if TYPE_CHECKING:
    from command_api.routing.router import Router
    from domain.availability.standing import Availability
    from event_store.beside.upkeep.reading import Check, MonitorNow, WindowNow
    from event_store.postgres.database import Connects
    from projections.catalog.provider_health import Tried
    from providers.inference.registry.offers import Model, Provider
    from providers.inference.registry.registry import Registry

LATE = timedelta(hours=1)
"""Attempts of this time say how a model is doing."""
LONG = timedelta(days=1)
"""Attempts of this time are its figures."""
CHECKS_COUNT = 3
"""A check counts for so many intervals of the monitor, and no less than `CHECK_S_MIN`."""
CHECK_S_MIN = 900.0
_CIRCUITS = {
    BreakerState.CLOSED: Circuit.CLOSED,
    BreakerState.OPEN: Circuit.OPEN,
    BreakerState.HALF_OPEN: Circuit.HALF_OPEN,
}


class Facts(NamedTuple):
    """What the database knows."""

    at: datetime
    tried: dict[tuple[str, str], Tried]
    checks: dict[str, Check]
    windows: dict[tuple[str, str], WindowNow]
    monitor: MonitorNow


def read_facts(database: Connects) -> Facts:
    """Read them, of one moment."""
    now = datetime.now(UTC)
    minute = now.replace(second=0, microsecond=0)
    with database.connect() as connection:
        tried = read_attempts(select_on(connection), late=minute - LATE, since=minute - LONG)
        return Facts(
            now,
            {(each.provider, each.model): each for each in tried},
            read_checks(connection),
            {(each.provider, each.model): each for each in read_windows(connection)},
            read_monitor(connection),
        )


class ModelState(NamedTuple):
    """One offer: a provider's model."""

    provider: str
    model: str
    health: Health
    circuit: Circuit
    late: Tries
    long: Tries
    latency_ms: int | None
    """Of the last answers here, else the mean of all gateways."""
    last_success: datetime | None
    last_failure: datetime | None
    last_error: str | None
    last_checked: datetime | None
    until: datetime | None
    """The end of its maintenance."""

    @property
    def availability(self) -> Availability:
        """Whether it can be had."""
        return AVAILABILITY[self.health]


class ProviderState(NamedTuple):
    """One provider, and its models counted."""

    provider: str
    line: Line
    models: int
    counts: dict[Health, int]
    late: Tries
    long: Tries
    last_checked: datetime | None
    error: str | None
    until: datetime | None


class Board(NamedTuple):
    """Everything, at a moment."""

    facts: Facts
    models: list[ModelState]
    """Those that were asked most come first."""
    providers: dict[str, ProviderState]
    late: Tries
    long: Tries
    check_s: float

    @property
    def overall(self) -> Health:
        """How all providers are doing, taken together."""
        return all_together([each.line for each in self.providers.values()])


def state_of(facts: Facts, router: Router, offer: Model) -> ModelState:
    """How one offer is doing."""
    tried = facts.tried.get((offer.provider, offer.id))
    late, long = _tries(tried)
    known = router.known(offer)
    circuit = _CIRCUITS[known.state(now_ms())] if known is not None else Circuit.CLOSED
    until = _until(facts, offer.provider, offer.id)
    seen = (tried.last_success_at, tried.last_error_at) if tried else (None, None)
    check = facts.checks.get(offer.provider)
    return ModelState(
        offer.provider,
        offer.id,
        health_of(late, circuit, maintenance=until is not None),
        circuit,
        late,
        long,
        known.latency_ms if known is not None and known.latency_ms is not None else late.mean_ms,
        *seen,
        tried.last_error if tried else None,
        max(filter(None, (*seen, check and check.checked_at)), default=None),
        until,
    )


def make_board(
    database: Connects, registry: Registry, router: Router, interval_s: float = 0.0
) -> Board:
    """Read and reckon all of it; long work, on a thread."""
    facts, check_s = read_facts(database), max(CHECKS_COUNT * interval_s, CHECK_S_MIN)
    models: list[ModelState] = []
    by_provider: defaultdict[str, list[ModelState]] = defaultdict(list)
    for offer in paced(registry.models()):
        state = state_of(facts, router, offer)
        models.append(state)
        by_provider[offer.provider].append(state)
    models.sort(key=lambda each: (-each.long.attempts, each.provider, each.model))
    tried: defaultdict[str, list[Tried]] = defaultdict(list)
    for (owner, _), found in facts.tried.items():
        tried[owner].append(found)
    providers = {
        name: _provider(facts, router, each, (by_provider[name], tried[name]), check_s)
        for name, each in registry.providers.items()
    }
    late = sum((each.late for each in providers.values()), Tries())
    long = sum((each.long for each in providers.values()), Tries())
    return Board(facts, models, providers, late, long, check_s)


def _provider(
    facts: Facts,
    router: Router,
    provider: Provider,
    of: tuple[list[ModelState], list[Tried]],
    check_s: float,
) -> ProviderState:
    models, mine = of
    name, check = provider.name, facts.checks.get(provider.name)
    late = sum((_tries(each)[0] for each in mine), Tries())
    long = sum((_tries(each)[1] for each in mine), Tries())
    states = [each.state(now_ms()) for each in router.tried(name)]
    fresh = check is not None and (facts.at - check.checked_at).total_seconds() < check_s
    window = facts.windows.get((name, ""))
    trouble = provider.trouble
    line = line_of(
        late,
        checked=check.error is None if check is not None and fresh else None,
        trouble=trouble is not None,
        broken=bool(states) and all(each is BreakerState.OPEN for each in states),
        maintenance=window is not None,
    )
    counts = dict.fromkeys(Health, 0)
    for each in models:
        counts[each.health] += 1
    seen = [check.checked_at] if check is not None else []
    seen += [at for each in mine for at in (each.last_success_at, each.last_error_at) if at]
    return ProviderState(
        name,
        line,
        len(models),
        counts,
        late,
        long,
        max(seen, default=None),
        trouble.code if trouble else check.error if check is not None and fresh else None,
        window and window.until,
    )


def _tries(tried: Tried | None) -> tuple[Tries, Tries]:
    """What was tried of late, and over the longer time."""
    if tried is None:
        return Tries(), Tries()
    late = Tries(tried.late_attempts, tried.late_successes, tried.late_latency_ms)
    return late, Tries(tried.attempts, tried.successes, tried.latency_ms, tried.minutes, tried.up)


def _until(facts: Facts, provider: str, model: str) -> datetime | None:
    windows = (facts.windows.get((provider, "")), facts.windows.get((provider, model)))
    return max((each.until for each in windows if each is not None), default=None)
