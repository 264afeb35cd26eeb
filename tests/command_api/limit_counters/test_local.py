"""Counters of one process: its share, and no jump between them and the shared ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from command_api.limit_counters import local as module
from command_api.limit_counters.bound import Bound, Limited, Outcome, duration
from command_api.limit_counters.local import SCOPES_MAX, LocalCounters
from domain.limits.rates import LimitScope, RateLimits
from domain.limits.windows import BURST_UNIT, Asked
from event_store.ids import new_uuid7_text

if TYPE_CHECKING:
    from collections.abc import Callable

ONE = Asked(1, 10)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the process's own time, milliseconds."""
    now = [1_000_000]
    monkeypatch.setattr(module, "clock_ms", lambda: now[0])

    def to(ms: int) -> None:
        now[0] = ms

    return to


def bound(limits: RateLimits) -> Bound:
    """A key with limits."""
    return Bound([Limited(LimitScope.KEY, new_uuid7_text(), limits)], lease_ms=1_000)


def admitted(counters: LocalCounters, of: Bound, times: int, processes: int = 1) -> int:
    """How many of so many requests are admitted."""
    found = [counters.admit(of, ONE, b"", 1_000, processes) for _ in range(times)]
    return sum(each.admitted for each in found)


def test_each_process_admits_its_share(clock: Callable[[int], None]) -> None:
    """Rounded down, at least one (P12)."""
    counters = LocalCounters()
    assert admitted(counters, bound(RateLimits(requests_per_minute=10)), 20, 4) == 2
    assert admitted(counters, bound(RateLimits(requests_per_minute=1)), 20, 4) == 1
    assert admitted(counters, bound(RateLimits(requests_per_minute=0)), 20, 4) == 0


def test_what_was_heard_of_the_shared_counters_counts(clock: Callable[[int], None]) -> None:
    """Each process takes its share of it, and forgets it as the others do (P12)."""
    counters, of = LocalCounters(), bound(RateLimits(requests_per_minute=10, burst=10))
    of.seen, of.seen_at = (6, 4 * BURST_UNIT), 999_500
    clock(1_000_000)
    counters.begin()
    assert admitted(counters, of, 20, 2) == 2  # (10 - 6) / 2
    clock(1_061_000)
    assert admitted(counters, of, 20, 2) == 5


def test_what_was_admitted_is_told_without_what_was_heard(clock: Callable[[int], None]) -> None:
    """By its age, so that nothing is counted twice (P12)."""
    counters, of = LocalCounters(), bound(RateLimits(requests_per_minute=10))
    of.seen, of.seen_at = (6,), 999_500
    counters.begin()
    assert admitted(counters, of, 3) == 3
    clock(1_020_500)
    assert admitted(counters, of, 1) == 1
    clock(1_030_000)
    told = [(gauge, age, amount) for _, gauge, age, amount in counters.admitted()]
    assert sorted(told) == [(0, 9_000, 1), (0, 29_000, 3)]


def test_what_was_heard_after_the_begin_is_not_counted_twice(
    clock: Callable[[int], None],
) -> None:
    """It holds what this process admits already (P12)."""
    counters, of = LocalCounters(), bound(RateLimits(requests_per_minute=10))
    of.seen, of.seen_at = (6,), 1_000_500
    assert admitted(counters, of, 20) == 10


def test_calls_under_way_stay_so(clock: Callable[[int], None]) -> None:
    """Those that the shared counters admitted too, until they end (P12)."""
    counters, of = LocalCounters(), bound(RateLimits(concurrency=2))
    (name,) = of.calls
    counters.begin([(name, b"a"), (name, b"b")], 1_000)
    counters.ended(name, b"a")
    assert counters.admit(of, ONE, b"c", 1_000, 1).admitted
    assert not counters.admit(of, ONE, b"d", 1_000, 1).admitted
    counters.ended(name, b"b")
    assert counters.admit(of, ONE, b"d", 1_000, 1).admitted


def test_headers_say_what_this_process_would_admit(clock: Callable[[int], None]) -> None:
    """Its share, less what it admitted (rule: contract)."""
    counters, of = LocalCounters(), bound(RateLimits(requests_per_minute=10))
    told = dict(of.headers(counters.admit(of, ONE, b"", 1_000, 2)))
    assert told[b"x-ratelimit-limit-requests"] == b"10"
    assert told[b"x-ratelimit-remaining-requests"] == b"4"


def test_no_more_scopes_than_a_maximum_are_kept(clock: Callable[[int], None]) -> None:
    """Those that called least recently are forgotten (rule: bounded)."""
    counters, first = LocalCounters(), bound(RateLimits(requests_per_minute=1))
    assert admitted(counters, first, 1) == 1
    for _ in range(SCOPES_MAX - 1):
        admitted(counters, bound(RateLimits(burst=1)), 1)
    assert admitted(counters, first, 1) == 0
    for _ in range(SCOPES_MAX):
        admitted(counters, bound(RateLimits(burst=1)), 1)
    assert admitted(counters, first, 1) == 1


def test_headers_are_of_the_shortest_window_and_the_tightest_scope() -> None:
    """Requests and tokens each (rule: contract)."""
    scopes = [
        Limited(LimitScope.KEY, new_uuid7_text(), RateLimits(requests_per_hour=5)),
        Limited(LimitScope.USER, new_uuid7_text(), RateLimits(requests_per_minute=50)),
        Limited(LimitScope.SYSTEM, new_uuid7_text(), RateLimits(60, tokens_per_hour=9)),
    ]
    made = Bound(scopes, lease_ms=1)
    used = (5, 45, 58, 0)
    assert dict(made.headers(Outcome(True, 500, 0, (0, 0), used))) == {
        b"x-ratelimit-limit-requests": b"60",
        b"x-ratelimit-remaining-requests": b"2",
        b"x-ratelimit-reset-requests": b"1m0.5s",
        b"x-ratelimit-limit-tokens": b"9",
        b"x-ratelimit-remaining-tokens": b"9",
        b"x-ratelimit-reset-tokens": b"0s",
    }
    assert made.left(Outcome(True, 500, 0, (0, 0), used))["requests_per_minute"] == (50, 2)


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, b"0s"), (20, b"20ms"), (1_500, b"1.5s"), (360_000, b"6m0s"), (3_660_000, b"1h1m0s")],
)
def test_durations_are_written_as_openai_does(ms: int, text: bytes) -> None:
    """Clients parse them (rule: contract)."""
    assert duration(ms) == text
