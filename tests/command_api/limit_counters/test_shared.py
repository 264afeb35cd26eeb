"""The shared counters as one process reaches them: what they answer may be anything."""

from __future__ import annotations

import asyncio

import pytest
import redis

from command_api.limit_counters import shared as module
from command_api.limit_counters.bound import Bound, Limited
from command_api.limit_counters.scripts import SCRIPTS
from command_api.limit_counters.shared import (
    BOUNDS_MAX,
    ENDINGS_MAX,
    PEEK,
    Ending,
    SharedCounters,
    calls_of,
)
from domain.limits.rates import LimitScope, RateLimits
from domain.limits.windows import Asked
from providers.redis.pipe import RedisAwayError

KEY = "00000000-0000-7000-8000-0000000000a1"
LIMITS = RateLimits(requests_per_minute=5, tokens_per_minute=1_000, concurrency=3)


def bound_of(scope_id: str) -> Bound:
    """The limits of a key."""
    return Bound([Limited(LimitScope.KEY, scope_id, LIMITS)], lease_ms=30_000)


BOUND = bound_of(KEY)
NAME = f"key:{KEY}"
GREETING = len(SCRIPTS) + 1
ASKED = Asked(1, 100)


@pytest.mark.parametrize(
    "answer",
    [
        b"$3\r\nfoo\r\n",
        b":5\r\n",
        b"$-1\r\n",
        b"$34\r\n1 1700000000000 0 0 0 17:1 5 5 5 5\r\n",
        b"$32\r\n1 1700000000000 0 0 0 xxxx 5 5 5\r\n",
        b"$32\r\n1 1700000000000 0 0 0 17:1 5 5 x\r\n",
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-MOVED 1234 127.0.0.1:7001\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
    ],
)
def test_whatever_it_answers_is_no_verdict_of_ours(answer: bytes) -> None:
    """It is away then, and comes back by another connection (P12)."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(GREETING + 1):
            for _ in range(int((await reader.readline() or b"*0")[1:])):
                size = int((await reader.readline())[1:])
                await reader.readexactly(size + 2)
            writer.write(b"+OK\r\n" if number < GREETING else answer)
        await reader.read()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        shared = SharedCounters(f"redis://127.0.0.1:{port}", timeout_s=0.2)
        await shared.pipe.start()
        assert shared.pipe.ready
        with pytest.raises(RedisAwayError):
            await shared.admit(BOUND, ASKED, b"lease")
        assert not shared.pipe.ready
        await shared.pipe.stop()
        server.close()
        await asyncio.sleep(0.05)

    asyncio.run(run())


def test_scripts_that_were_forgotten_are_told_again(empty_redis: str) -> None:
    """The request is decided all the same, and what follows corrects it (P12)."""

    async def run() -> None:
        shared = SharedCounters(empty_redis, timeout_s=2.0)
        await shared.pipe.start()
        with redis.Redis.from_url(empty_redis) as client:
            client.script_flush()
            answer = await shared.admit(BOUND, ASKED, b"lease")
            assert answer.admitted and list(answer.used) == [1, 100, 1]
            shared.ended(BOUND, Ending(answer.now, 0, -60, b"lease"))
            peeked = await shared.admit(BOUND, PEEK, b"")
            assert list(peeked.used) == [1, 40, 0]
            assert client.zcard(calls_of(NAME)) == 0
        await shared.pipe.stop()

    asyncio.run(run())


def test_endings_that_wait_are_bounded(empty_redis: str) -> None:
    """More are left out, and time frees what they would have (rule: bounded)."""

    async def run() -> None:
        shared = SharedCounters(empty_redis, timeout_s=5.0)
        shared.ended(BOUND, Ending(0, 0, 0, b"away"))
        assert shared._waiting == 0
        await shared.pipe.start()
        for number in range(ENDINGS_MAX + 5):
            shared.ended(BOUND, Ending(0, 0, 0, b"%d" % number))
        assert shared._waiting == ENDINGS_MAX
        assert (await shared.admit(BOUND, ASKED, b"")).admitted
        assert (shared._waiting, shared._ended) == (0, {})
        for number in range(BOUNDS_MAX + 1):
            shared.ended(bound_of(f"k{number}"), Ending(0, 0, 0, b"call"))
        assert shared._waiting == 0
        await shared.pipe.stop()

    asyncio.run(run())


def test_what_ended_is_told_in_a_moment(empty_redis: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its caller never asks again, and before anybody of the scope (money rule 13)."""
    # A moment in which also a busy machine has asked for another scope.
    monkeypatch.setattr(module, "TOLD_AFTER_S", 0.5)

    async def run() -> None:
        shared = SharedCounters(empty_redis, timeout_s=5.0)
        await shared.pipe.start()
        first = await shared.admit(BOUND, ASKED, b"one")
        shared.ended(BOUND, Ending(first.now, 0, -60, b"one"))
        other = bound_of(KEY)
        assert list((await shared.admit(other, PEEK, b"")).used) == [1, 40, 0]
        assert shared._waiting == 0
        await shared.admit(BOUND, ASKED, b"two")
        shared.ended(BOUND, Ending(first.now, -1, -100, b"two"))
        assert list((await shared.admit(bound_of("another"), PEEK, b"")).used) == [0, 0, 0]
        assert shared._waiting == 1
        async with asyncio.timeout(5):
            while shared._waiting:
                await asyncio.sleep(0.001)
        assert list((await shared.admit(other, PEEK, b"")).used) == [1, 40, 0]
        await shared.pipe.stop()

    asyncio.run(run())
