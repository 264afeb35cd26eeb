"""Sliding windows: what is admitted, and when again."""

from __future__ import annotations

import random

import pytest

from domain.limits.rates import RateLimits
from domain.limits.windows import (
    BURST,
    CONCURRENCY,
    CONCURRENCY_WAIT,
    NEVER,
    REASONS,
    WINDOWS,
    Asked,
    Counters,
    Verdict,
    admit,
    retry_after_s,
)

ONE = Asked(1, 0)
BEGIN = 1_900_000_000_000


def tried(limits: RateLimits, counters: Counters, at: int, asked: Asked = ONE) -> Verdict:
    """One request, milliseconds after the begin."""
    return admit([(limits, counters)], asked, now=BEGIN + at)


@pytest.mark.parametrize("gauge", range(6))
def test_the_first_burst_admits_exactly_the_limit(gauge: int) -> None:
    """And the next one names the limit and the instant at which it is admitted (money rule 13)."""
    limits = RateLimits()._replace(**{RateLimits._fields[gauge]: 10})
    counters, asked, window = Counters(), Asked(1, 1), WINDOWS[gauge % 3]
    verdicts = [tried(limits, counters, 500, asked) for _ in range(15)]
    assert [each.admitted for each in verdicts] == [True] * 10 + [False] * 5
    assert verdicts[9].used == (10,)
    assert REASONS[verdicts[-1].refusing[1]].startswith(window.name.capitalize())
    wait = verdicts[-1].wait
    assert window.span <= wait <= window.span + window.bucket
    assert not tried(limits, counters, 500 + wait - 1, asked).admitted
    assert tried(limits, counters, 500 + wait, asked).admitted


@pytest.mark.parametrize("seed", range(3))
def test_no_sliding_window_holds_more_than_its_limit(seed: int) -> None:
    """At random times, at the edges of windows too (money rule 13)."""
    rng, counters, at = random.Random(seed), Counters(), 0
    limits, admitted = RateLimits(requests_per_minute=20, tokens_per_minute=300), list[int]()
    tokens = dict[int, int]()
    for _ in range(1_000):
        at += rng.choice((0, 1, 7, 300, 999, 1_000, 20_000))
        asked = Asked(1, rng.randrange(1, 60))
        if tried(limits, counters, at, asked).admitted:
            admitted.append(at)
            tokens[at] = tokens.get(at, 0) + asked.tokens
    for end in admitted:
        assert sum(end - 60_000 < each <= end for each in admitted) <= 20
        assert sum(n for each, n in tokens.items() if end - 60_000 < each <= end) <= 300


def test_a_request_larger_than_its_limit_is_never_admitted() -> None:
    """There is no instant to wait for; neither is there of a limit of zero (money rule 13)."""
    assert tried(RateLimits(tokens_per_minute=100), Counters(), 0, Asked(1, 101)).wait == NEVER
    for name in ("requests_per_day", "burst", "concurrency"):
        assert tried(RateLimits()._replace(**{name: 0}), Counters(), 0).wait == NEVER
    both = RateLimits(requests_per_minute=0, requests_per_hour=0)
    assert tried(both, Counters(), 0).refusing == (0, 0)


def test_a_burst_comes_back_bit_by_bit() -> None:
    """A sixtieth of it each second (money rule 13)."""
    limits, counters = RateLimits(burst=30), Counters()
    assert [tried(limits, counters, 0).admitted for _ in range(31)] == [True] * 30 + [False]
    refused = tried(limits, counters, 0)
    assert refused.wait == 2_000 and refused.refusing == (0, BURST)
    assert not tried(limits, counters, 1_999).admitted
    assert tried(limits, counters, 2_000).admitted
    assert tried(limits, counters, 1_000).wait == 2_000  # A clock that goes back gives nothing.
    assert tried(limits, counters, 10**9).used == (29 * 60_000,)


def test_calls_under_way_are_limited_until_they_end() -> None:
    """Or until their lease does (money rule 13)."""
    limits, counters = RateLimits(concurrency=2), Counters()

    def called(lease: bytes, at: int) -> Verdict:
        return admit([(limits, counters)], ONE, now=at, lease=lease, lease_until=at + 100)

    assert called(b"a", 0).used == (1,)
    assert called(b"b", 50).used == (2,)
    refused = called(b"c", 99)
    assert (refused.refusing, refused.wait) == ((0, CONCURRENCY), CONCURRENCY_WAIT)
    assert called(b"c", 100).admitted
    counters.leases.clear()
    assert admit([(limits, counters)], Asked(0, 0), now=100).used == (0,)


def test_all_limits_or_none_and_the_longest_wait() -> None:
    """A refusal by one scope counts in no other (money rule 13)."""
    user, key = Counters(), Counters()
    scopes = [(RateLimits(requests_per_minute=2, burst=1), key), (RateLimits(None, 1), user)]
    assert admit(scopes, ONE, now=BEGIN).used == (1, 0, 1)
    refused = admit(scopes, ONE, now=BEGIN)
    assert refused.refusing == (1, 1) and refused.wait > 3_500_000
    assert refused.used == (1, 0, 1)
    assert tried(RateLimits(burst=1, requests_per_minute=0), Counters(), 0).wait == NEVER


def test_tokens_are_corrected_where_they_were_counted() -> None:
    """What was not used is free again; what is forgotten stays so (money rule 13)."""
    limits, counters = RateLimits(tokens_per_minute=100), Counters()
    tried(limits, counters, 0, Asked(1, 100))
    window = counters.window(3, BEGIN)
    bucket = BEGIN // 1_000
    window.add(bucket, -70)
    assert window.total == 30
    assert tried(limits, counters, 1, Asked(1, 70)).admitted
    window.add(bucket, -500)
    assert window.total == 0
    window.add(bucket - 61, 50)
    assert window.total == 0


def test_waits_are_rounded_up() -> None:
    """A caller who waits so long is not refused for a millisecond (money rule 13)."""
    assert [retry_after_s(each) for each in (1, 1_000, 1_001)] == [1, 1, 2]
