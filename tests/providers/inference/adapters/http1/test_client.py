"""The lean client against servers that behave and servers that do not."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from providers.inference.adapters.http1.client import HttpClient
from providers.inference.adapters.http1.limits import ClientLimits
from providers.inference.port import (
    UpstreamBrokenError,
    UpstreamConnectError,
    UpstreamInterruptedError,
    UpstreamTimeoutError,
    UpstreamTooLargeError,
)
from tests.support.harness import ScriptedUpstream, begin_stream, reply, send_piece, stream

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from tests.support.harness import Request

LIMITS = ClientLimits(connect_s=1, silence_s=0.4, attempt_s=1.2, reply_bytes_max=100_000)


def with_upstream(
    upstream: ScriptedUpstream,
    use: Callable[[HttpClient], Coroutine[Any, Any, Any]],
    limits: ClientLimits = LIMITS,
) -> Any:
    """Run with a client of this upstream."""

    async def run() -> Any:
        client = HttpClient(
            upstream.base_url, headers={"authorization": "Bearer sk"}, limits=limits
        )
        try:
            return await use(client)
        finally:
            await client.close()

    return asyncio.run(run())


def head_of(client: HttpClient) -> bytes:
    """The head of a chat call."""
    return client.head("POST", "/chat/completions")


async def whole(client: HttpClient) -> bytes:
    """One JSON exchange."""
    answer = await client.request(head_of(client), b"{}", stream=False)
    body = await answer.whole()
    answer.release()
    return body


def test_connections_are_reused(upstream: ScriptedUpstream) -> None:
    """Ten calls, one connection; streams return theirs too (rule: wire)."""

    async def use(client: HttpClient) -> None:
        for _ in range(5):
            await whole(client)
            answer = await client.request(head_of(client), b"{}", stream=True)
            while await answer.piece():
                pass
            answer.release()

    with_upstream(upstream, use)
    assert len(upstream.requests) == 10
    assert upstream.connections == 1
    assert upstream.requests[0].headers["authorization"] == "Bearer sk"


def test_a_connection_closed_while_idle_is_replaced_once(upstream: ScriptedUpstream) -> None:
    """Keep-alive races do not become errors (rule: wire)."""

    def answer(connection: socket.socket, _: Request) -> str:
        reply(connection, b"{}")
        time.sleep(0.05)
        return "close"

    upstream.answer = answer

    async def use(client: HttpClient) -> None:
        for _ in range(4):
            assert await whole(client) == b"{}"
            await asyncio.sleep(0.1)

    with_upstream(upstream, use)
    assert upstream.connections == 4


def test_a_compressed_reply_is_read(upstream: ScriptedUpstream) -> None:
    """We ask for identity; some send gzip all the same (rule: wire)."""
    body = b'{"a": "' + b"x" * 5_000 + b'"}'
    upstream.answer = lambda connection, _: reply(
        connection, gzip.compress(body), headers={"content-encoding": "gzip"}
    )
    assert with_upstream(upstream, whole) == body


def test_interim_responses_are_passed_over(upstream: ScriptedUpstream) -> None:
    """A proxy may send 103 before the answer (RFC 8297), or 100 unasked (RFC 9110, 15.2)
    (rule: wire).
    """

    def answer(connection: socket.socket, _: Request) -> None:
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
        time.sleep(0.02)
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        reply(connection, b"{}", status=201)

    upstream.answer = answer

    async def use(client: HttpClient) -> None:
        for stream_it in (False, True):
            answer = await client.request(head_of(client), b"{}", stream=stream_it)
            assert (answer.status, await answer.whole()) == (201, b"{}")
            assert b"link" not in answer.headers
            answer.release()

    with_upstream(upstream, use)
    assert upstream.connections == 1


def test_bytes_behind_a_reply_are_not_taken_for_another(upstream: ScriptedUpstream) -> None:
    """A second response that nobody asked for leaves the first as it was, and is never kept
    (rule: wire).
    """

    def answer(connection: socket.socket, _: Request) -> None:
        first = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
        connection.sendall(first + b"HTTP/1.1 500 X\r\ncontent-length: 4\r\nx-a: b\r\n\r\nevil")

    upstream.answer = answer

    async def use(client: HttpClient) -> None:
        for _ in range(3):
            answer = await client.request(head_of(client), b"{}")
            assert (answer.status, await answer.whole()) == (200, b"{}")
            assert b"x-a" not in answer.headers
            answer.release()

    with_upstream(upstream, use)
    assert upstream.connections == 3


def test_time_limits_hold_on_a_reused_connection(upstream: ScriptedUpstream) -> None:
    """A connection's clock runs for each of its requests, however long it was used before (P12)."""
    answers = iter([b"{}"] * 3)

    def answer(connection: socket.socket, _: Request) -> None:
        body = next(answers, None)
        if body is None:
            time.sleep(1)
        else:
            reply(connection, body)

    upstream.answer = answer

    async def use(client: HttpClient) -> None:
        for _ in range(3):
            await whole(client)
            await asyncio.sleep(0.15)
        began = time.monotonic()
        with pytest.raises(UpstreamTimeoutError):
            await whole(client)
        assert LIMITS.silence_s - 0.05 < time.monotonic() - began < LIMITS.silence_s + 0.3

    with_upstream(upstream, use)
    assert upstream.connections == 1


def cut(connection: socket.socket, _: Request) -> str:
    """A chunked body without its end."""
    begin_stream(connection)
    send_piece(connection, b"half")
    return "close"


def silent(connection: socket.socket, _: Request) -> str:
    """Headers, then nothing."""
    begin_stream(connection)
    time.sleep(1)
    return "close"


def dripping(connection: socket.socket, _: Request) -> str:
    """Never silent, never done."""
    begin_stream(connection)
    for _piece in range(30):
        send_piece(connection, b"x")
        time.sleep(0.1)
    return "close"


def garbage(connection: socket.socket, _: Request) -> str:
    """Not HTTP."""
    connection.sendall(b"SSH-2.0-nope\r\n\r\n")
    return "close"


def huge(connection: socket.socket, _: Request) -> str:
    """More than the limit."""
    reply(connection, b"x" * 200_000)
    return "close"


FAULTS = [
    (cut, UpstreamBrokenError),
    (silent, UpstreamTimeoutError),
    (dripping, UpstreamTimeoutError),
    (garbage, UpstreamBrokenError),
    (huge, UpstreamTooLargeError),
]


@pytest.mark.parametrize(("answer", "error"), FAULTS)
def test_faults_are_named(upstream: ScriptedUpstream, answer: Any, error: type[Exception]) -> None:
    """Each way to fail has its error, and none hangs (P12)."""
    upstream.answer = answer
    with pytest.raises(error):
        with_upstream(upstream, whole)


def test_no_server_is_a_connect_error() -> None:
    """Nothing was sent (P12)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    async def run() -> None:
        client = HttpClient(f"http://127.0.0.1:{port}", limits=LIMITS)
        await client.request(head_of(client), b"", stream=False)

    with pytest.raises(UpstreamConnectError):
        asyncio.run(run())


def test_an_interrupt_ends_the_wait(upstream: ScriptedUpstream) -> None:
    """Hang-ups reach the provider (P11)."""
    upstream.answer = dripping

    async def use(client: HttpClient) -> None:
        answer = await client.request(head_of(client), b"{}", stream=True)
        asyncio.get_running_loop().call_later(0.15, answer.interrupt)
        with pytest.raises(UpstreamInterruptedError):
            while True:
                assert await answer.piece()

    with_upstream(upstream, use)


def test_a_released_stream_is_drained_and_kept(upstream: ScriptedUpstream) -> None:
    """[DONE] came, the end of the body comes a little later: the connection is still good
    (rule: wire).
    """
    upstream.answer = lambda connection, _: stream(connection, b"a", b"b", pause_s=0.05)

    async def use(client: HttpClient) -> None:
        for _ in range(3):
            answer = await client.request(head_of(client), b"{}", stream=True)
            assert await answer.piece()
            answer.release()
            await asyncio.sleep(0.3)

    with_upstream(upstream, use)
    assert upstream.connections == 1


def test_a_reply_that_was_released_has_no_say_in_the_next(upstream: ScriptedUpstream) -> None:
    """Interrupted and released once more, it leaves the connection to whoever has it now
    (rule: contract).
    """
    upstream.answer = lambda connection, _: stream(connection, b"a", b"b", pause_s=0.05)

    async def use(client: HttpClient) -> None:
        first = await client.request(head_of(client), b"{}")
        assert await first.whole() == b"ab"
        first.release()
        second = await client.request(head_of(client), b"{}", stream=True)
        first.interrupt()
        first.release()
        with pytest.raises(UpstreamInterruptedError):
            await first.piece()
        third = await client.request(head_of(client), b"{}", stream=True)
        assert await second.whole() == await third.whole() == b"ab"

    with_upstream(upstream, use)
    assert upstream.connections == 2


@pytest.mark.parametrize("url", ["ftp://x/v1", "nonsense", "http://"])
def test_other_urls_are_refused(url: str) -> None:
    """A mistake in the providers file is found at start (P10)."""
    with pytest.raises(ValueError, match="not an http"):
        HttpClient(url)
