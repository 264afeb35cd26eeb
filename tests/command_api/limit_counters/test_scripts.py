"""The script that Redis runs and the pure rule decide alike; many processes share it exactly."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command_api.limit_counters.bound import Bound, Limited
from command_api.limit_counters.scripts import ADMIT, CARRY, TIME, Script
from command_api.limit_counters.shared import PEEK, SharedCounters, calls_of, counts_of
from domain.limits.rates import LimitScope as Scope
from domain.limits.rates import RateLimits
from domain.limits.windows import (
    CONCURRENCY,
    MINUTE,
    Asked,
    Counters,
    Verdict,
    admit,
    window_of,
)
from providers.redis.replies import command

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY, USER = (f"00000000-0000-7000-8000-0000000000a{number}" for number in (1, 2))
BEGIN = 1_900_000_000_000
LEASE_MS = 500
OFTEN = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SMALL = st.none() | st.integers(0, 12)
LIMITS = st.builds(RateLimits, *(SMALL,) * 3, *(st.none() | st.integers(0, 60),) * 3, SMALL, SMALL)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 400, 999, 1_000, 1_001, 30_000, 59_999, 61_000, 900_000, 3_700_000]),
        st.integers(0, 1),
        st.integers(1, 30),
        st.integers(0, 3),
    ),
    max_size=60,
)


@pytest.fixture
def client(empty_redis: str) -> Iterator[redis.Redis]:
    """A plain client of an empty Redis."""
    with redis.Redis.from_url(empty_redis) as made:
        yield made


class Timed:
    """A script under a clock of the test's own: what it is told comes first of its arguments."""

    def __init__(self, client: redis.Redis, script: Script) -> None:
        own = b"local now = tonumber(table.remove(ARGV, 1))\n"
        self._client = client
        self._source = script.source.replace(TIME.encode(), own)
        assert own in self._source

    def run(self, now: int, keys: list[str], values: list[bytes | str | int]) -> list[bytes]:
        """What it answers."""
        raw = self._client.eval(self._source.decode(), len(keys), *keys, now, *values)
        assert isinstance(raw, bytes)
        return raw.split()


def parts_of(raw: bytes) -> list[bytes]:
    """The parts of a command, or of what is left of one."""
    pieces = raw.split(b"\r\n")
    return [each for each in pieces if each and each[:1] not in (b"$", b"*")]


def asked(
    bound: Bound, request: Asked, lease: bytes, ended: bytes = b""
) -> tuple[list[str], list[bytes | str | int]]:
    """Keys and values of a request, as they are sent, with calls that ended."""
    count, constant = bound.shared
    parts = parts_of(constant)
    keys = int(parts[0])
    counted = (request.requests, request.tokens)
    values: list[bytes | str | int] = [*parts[1 + keys :], ended, *counted, lease]
    assert count == 3 + keys + len(values)
    return [each.decode() for each in parts[1 : 1 + keys]], values


@OFTEN
@given(first=LIMITS, second=LIMITS, steps=STEPS)
def test_redis_decides_as_the_rule_does(
    client: redis.Redis, first: RateLimits, second: RateLimits, steps: list[tuple[int, ...]]
) -> None:
    """At random times and amounts, with calls that ended since, also of a peek (money rule 13)."""
    client.flushall()
    if first.empty and second.empty:
        return
    limited = [Limited(Scope.KEY, KEY, first), Limited(Scope.USER, USER, second)]
    bound = Bound(limited, lease_ms=LEASE_MS)
    scopes = [(first, Counters()), (second, Counters())]
    admits = Timed(client, ADMIT)
    now, admitted, ended = BEGIN, list[tuple[int, int, int]](), list[tuple[int, int, int, int]]()
    for number, (pause, requests, tokens, then) in enumerate(steps):
        now += pause
        request = Asked(requests, tokens if requests else 0)
        lease = f"call{number}".encode() if requests else b""
        told_with_it = b" ".join(b"%d %d %d call%d" % each for each in ended)
        answer = admits.run(now, *asked(bound, request, lease, told_with_it))
        for scope, gauge, _ in bound.gauges:
            for at, less_requests, less_tokens, call in ended:
                change = (less_requests, less_tokens)[gauge >= 3]
                if gauge < 6 and gauge in scopes[scope][1].windows:
                    window = scopes[scope][1].window(gauge, now)
                    window.add(at // window_of(gauge).bucket, change)
                elif gauge == CONCURRENCY:
                    scopes[scope][1].leases.pop(b"call%d" % call, None)
        ended.clear()
        found = admit(scopes, request, now=now, lease=lease, lease_until=now + LEASE_MS)
        told = Verdict(
            admitted=answer[0] == b"1",
            refusing=(int(answer[3]), int(answer[4])),
            wait=int(answer[2]),
            used=tuple(int(each) for each in answer[6:]),
        )
        assert told == found
        if found.admitted and requests:
            admitted.append((now, tokens, number))
        for _ in range(then):
            if admitted:
                at, held, call = admitted.pop(0)
                ended.append((at, -(then == 3), then - held, call))


def test_what_was_admitted_elsewhere_is_added(client: redis.Redis) -> None:
    """By its age, into buckets that lie in the window still (money rule 13, P12)."""
    carry, admits = Timed(client, CARRY), Timed(client, ADMIT)
    name = f"key:{KEY}"
    bound = Bound([Limited(Scope.KEY, KEY, RateLimits(requests_per_minute=10))], lease_ms=1)
    items: list[bytes | str | int] = [1, 0, 0, 3, 1, 0, 59_000, 2, 1, 0, 70_000, 90]
    assert carry.run(BEGIN, [counts_of(name)], items) == [b"2"]
    peek = asked(bound, PEEK, b"")
    assert admits.run(BEGIN, *peek)[6] == b"5"
    assert admits.run(BEGIN + 2_000, *peek)[6] == b"3"
    assert carry.run(BEGIN + 2_000, [counts_of(name)], [1, 0, 10_000, 4]) == [b"1"]
    assert admits.run(BEGIN + 2_000, *peek)[6] == b"7"
    assert client.pttl(counts_of(name)) > MINUTE.span


def test_every_key_expires(client: redis.Redis) -> None:
    """What nobody asks for any more goes by itself (rule: bounded)."""
    limits = RateLimits(*(5,) * 3, *(100,) * 3, 5, 5)
    bound = Bound([Limited(Scope.KEY, KEY, limits)], lease_ms=LEASE_MS)
    Timed(client, ADMIT).run(BEGIN, *asked(bound, Asked(1, 5), b"lease"))
    keys = client.keys("*")
    assert isinstance(keys, list)
    assert set(keys) >= {
        each.encode() for each in (counts_of(f"key:{KEY}"), calls_of(f"key:{KEY}"))
    }
    assert all(client.pttl(key) > 0 for key in keys)
    assert all(b"{limits}" in key for key in keys)


def _hammer(url: str, requests: int, counted: multiprocessing.Queue[int]) -> None:
    async def run() -> int:
        shared = SharedCounters(url, timeout_s=1.0)
        await shared.pipe.start()
        bound = Bound(
            [Limited(Scope.KEY, KEY, RateLimits(requests_per_minute=1_000))], lease_ms=LEASE_MS
        )
        admitted = 0
        for _ in range(requests // 100):
            answers = await asyncio.gather(
                *(shared.admit(bound, Asked(1, 1), b"") for _ in range(100))
            )
            admitted += sum(each.admitted for each in answers)
        await shared.pipe.stop()
        return admitted

    counted.put(asyncio.run(run()))


def test_eight_processes_admit_exactly_the_limit(empty_redis: str) -> None:
    """80,000 requests against 1,000 a minute (money rule 13)."""
    context = multiprocessing.get_context("spawn")
    counted: multiprocessing.Queue[int] = context.Queue()
    workers = [
        context.Process(target=_hammer, args=(empty_redis, 10_000, counted)) for _ in range(8)
    ]
    began = time.monotonic()
    for worker in workers:
        worker.start()
    admitted = sum(counted.get(timeout=100) for _ in workers)
    for worker in workers:
        worker.join(20)
    if time.monotonic() - began < 60:
        assert admitted == 1_000
    else:  # On a machine so slow a second minute has begun.
        assert 1_000 <= admitted <= 2_000


def test_the_limit_is_not_doubled_at_the_edge_of_a_window(client: redis.Redis) -> None:
    """Spent at the end of one minute of the clock, it is spent at the begin of the next, too
    (money rule 13).
    """
    admits = Timed(client, ADMIT)
    bound = Bound([Limited(Scope.KEY, KEY, RateLimits(requests_per_minute=10))], lease_ms=1)
    edge = (BEGIN // 60_000 + 1) * 60_000
    one = asked(bound, Asked(1, 1), b"")
    assert [admits.run(edge - 1, *one)[0] for _ in range(10)] == [b"1"] * 10
    assert [admits.run(edge + 1, *one)[0] for _ in range(10)] == [b"0"] * 10
    assert admits.run(edge + 59_998, *one)[0] == b"0"
    again = int(admits.run(edge + 1, *one)[2])
    assert admits.run(edge + 1 + again, *one)[0] == b"1"


def test_a_clock_that_goes_back_admits_nothing_twice(client: redis.Redis) -> None:
    """After a failover Redis' clock may be another one's (money rule 13)."""
    admits = Timed(client, ADMIT)
    bound = Bound([Limited(Scope.KEY, KEY, RateLimits(requests_per_minute=2))], lease_ms=1)
    one = asked(bound, Asked(1, 1), b"")
    times = (BEGIN + 120_000, BEGIN + 120_000, BEGIN, BEGIN + 60_000, BEGIN + 120_000)
    assert [admits.run(now, *one)[0] for now in times] == [b"1", b"1", b"0", b"0", b"0"]


def test_commands_are_as_redis_reads_them() -> None:
    """Lengths are of bytes (rule: wire)."""
    assert command("SET", "ä", 5) == b"*3\r\n$3\r\nSET\r\n$2\r\n\xc3\xa4\r\n$1\r\n5\r\n"


def _take_and_die(url: str, taken: multiprocessing.Queue[bool]) -> None:
    async def run() -> None:
        shared = SharedCounters(url, timeout_s=1.0)
        await shared.pipe.start()
        answer = await shared.admit(CALLS, Asked(1, 1), b"theirs")
        taken.put(answer.admitted)
        taken.close()
        taken.join_thread()
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(run())


CALLS = Bound([Limited(Scope.KEY, KEY, RateLimits(concurrency=1))], lease_ms=1_500)


def test_a_killed_process_gives_its_calls_back(empty_redis: str) -> None:
    """Once their lease is over, and not before (money rule 13)."""
    context = multiprocessing.get_context("spawn")
    taken: multiprocessing.Queue[bool] = context.Queue()
    worker = context.Process(target=_take_and_die, args=(empty_redis, taken))
    worker.start()
    assert taken.get(timeout=60)
    began = time.monotonic()

    async def run() -> None:
        shared = SharedCounters(empty_redis, timeout_s=1.0)
        await shared.pipe.start()
        admitted = False
        while not admitted:
            answer = await shared.admit(CALLS, Asked(1, 1), b"ours")
            admitted = answer.admitted
            assert not admitted or time.monotonic() - began > 1.0
            assert time.monotonic() - began < 10
            await asyncio.sleep(0.05)
        await shared.pipe.stop()

    asyncio.run(run())
    worker.join(20)
    assert worker.exitcode == -signal.SIGKILL
