"""The one connection to Redis: what comes back from it, and what becomes of whoever waits."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from providers.redis.pipe import IN_FLIGHT_MAX, RedisAwayError, RedisPipe
from providers.redis.replies import (
    REPLY_BYTES_MAX,
    GarbledError,
    RedisReplyError,
    ReplyReader,
    command,
)
from tests.servers.provide import local_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

PING = command("PING")


@asynccontextmanager
async def piped(url: str, timeout_s: float = 0.05) -> AsyncIterator[RedisPipe]:
    """A pipe that has tried once to connect."""
    pipe = RedisPipe(url, timeout_s=timeout_s, greeting=lambda: [PING])
    await pipe.start()
    try:
        yield pipe
    finally:
        await pipe.stop()


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[str]:
    """A server that sends one of these for whatever comes, then is silent, and never hangs up."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            if not await reader.read(65_536):
                return
            writer.write(answer)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    server.close()


async def back(pipe: RedisPipe) -> None:
    """Wait until it takes commands."""
    async with asyncio.timeout(20):
        while not pipe.ready:
            await asyncio.sleep(0.01)


def test_replies_are_cut_wherever_they_arrive() -> None:
    """Byte by byte or all at once (rule: wire)."""
    raw = b"+OK\r\n:5\r\n$-1\r\n$3\r\na\r\n\r\n$0\r\n\r\n"
    wanted = [b"OK", b"5", None, b"a\r\n", b""]
    assert ReplyReader().feed(raw) == wanted
    reader = ReplyReader()
    found = [each for at in range(len(raw)) for each in reader.feed(raw[at : at + 1])]
    assert found == wanted
    (error,) = ReplyReader().feed(b"-NOSCRIPT no\r\n")
    assert isinstance(error, RedisReplyError) and str(error) == "NOSCRIPT no"


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\n",
        b"*2\r\n",
        b"$x\r\n",
        b"$1\r\nabc\r\n",
        b"$%d\r\n" % (REPLY_BYTES_MAX + 1),
        b"+" + b"x" * 2_000,
        b"\r\n",
        b"\x00\r\n",
    ],
)
def test_what_is_no_reply_is_garbled(raw: bytes) -> None:
    """Another protocol, an array, an absurd size, a line without an end (rule: bounded)."""
    with pytest.raises(GarbledError):
        ReplyReader().feed(raw)


def test_commands_are_answered_in_order(redis_server: str) -> None:
    """All that waits goes out together; a refusal is its own command's alone (rule: wire)."""

    async def run() -> None:
        async with piped(redis_server, 1.0) as pipe:
            asked = [pipe.ask(command("ECHO", each)) for each in range(100)]
            wrong = pipe.ask(command("NOSUCH"))
            after = pipe.ask(PING)
            assert await asyncio.gather(*asked) == [b"%d" % each for each in range(100)]
            with pytest.raises(RedisReplyError, match="unknown command"):
                await wrong
            assert await after == b"PONG"

    asyncio.run(run())


def test_who_gives_up_shifts_no_answers(redis_server: str) -> None:
    """A cancelled command's answer is nobody else's (rule: wire)."""

    async def run() -> None:
        async with piped(redis_server, 1.0) as pipe:
            first, second = pipe.ask(command("ECHO", 1)), pipe.ask(command("ECHO", 2))
            first.cancel()
            assert await second == b"2"

    asyncio.run(run())


def test_no_more_wait_than_a_maximum(redis_server: str) -> None:
    """The next one is told that Redis is away (rule: bounded)."""

    async def run() -> None:
        async with piped(redis_server, 5.0) as pipe:
            asked = [pipe.ask(PING) for _ in range(IN_FLIGHT_MAX)]
            with pytest.raises(RedisAwayError):
                pipe.ask(PING)
            await asyncio.gather(*asked)

    asyncio.run(run())


@pytest.mark.parametrize("answers", [(), (b"HTTP/1.1 400 Bad Request\r\n\r\n",), (b"+OK\r\n" * 9,)])
def test_what_is_no_redis_is_away(answers: tuple[bytes, ...]) -> None:
    """Silent, another server, one that answers what nobody asked (P12)."""

    async def run() -> None:
        async with answering(*answers) as url:
            began = time.monotonic()
            async with piped(url) as pipe:
                assert not pipe.ready
                assert time.monotonic() - began < 5
                with pytest.raises(RedisAwayError):
                    pipe.ask(PING)

    asyncio.run(run())


def test_a_redis_that_stands_still_is_given_up_and_comes_back(tmp_path: Path) -> None:
    """In milliseconds; everyone who waits is told, and once it moves it serves again (P12)."""

    async def run(url: str, process_id: int) -> None:
        async with piped(url) as pipe:
            os.kill(process_id, signal.SIGSTOP)
            try:
                began = time.monotonic()
                asked = [pipe.ask(PING) for _ in range(3)]
                found = await asyncio.gather(*asked, return_exceptions=True)
                assert [type(each) for each in found] == [RedisAwayError] * 3
                assert time.monotonic() - began < 1
            finally:
                os.kill(process_id, signal.SIGCONT)
            await back(pipe)
            assert await pipe.ask(PING) == b"PONG"

    with local_redis(tmp_path) as server:
        assert server.process is not None
        asyncio.run(run(server.url, server.process.pid))


def test_a_standstill_of_our_own_is_not_redis(redis_server: str) -> None:
    """What arrived while this process stood still is read before anybody is given up (P12)."""

    async def run() -> None:
        async with piped(redis_server, 0.02) as pipe:
            for _ in range(5):
                asked = pipe.ask(PING)
                await asyncio.sleep(0)
                time.sleep(0.1)
                assert await asked == b"PONG"

    asyncio.run(run())
