"""What stands around a body has maxima, and reading it costs no more than its bytes."""

from __future__ import annotations

import gzip
import socket
import time
from typing import TYPE_CHECKING

import pytest

from providers.inference.adapters.http1.limits import (
    FRAMING_BYTES_MAX,
    HEADERS_MAX,
    ClientLimits,
)
from providers.inference.port import UpstreamTooLargeError
from tests.providers.inference.adapters.http1.test_client import head_of, whole, with_upstream

if TYPE_CHECKING:
    from providers.inference.adapters.http1.client import HttpClient
    from tests.support.harness import Request, ScriptedUpstream

ROUNDS = 4_000
"""Enough to send ten times what any of them may have."""
LIMITS = ClientLimits(connect_s=1, silence_s=2, attempt_s=8)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
FILLER = b"x" * 200
ENDLESS = {
    "a status line": (b"HTTP/1.1 200 ", FILLER),
    "a header's name": (HEAD, FILLER),
    "a header's value": (HEAD + b"a: ", FILLER),
    "headers of one name": (HEAD, b"a: b\r\n"),
    "interim responses": (b"", b"HTTP/1.1 103 X\r\nlink: </a>\r\n\r\n"),
    "a chunk's extension": (CHUNKED + b"1;a=", FILLER),
    "extensions of small chunks": (CHUNKED, b"1;a=" + FILLER + b"\r\n{\r\n"),
    "a trailer": (CHUNKED + b"2\r\n{}\r\n0\r\na: ", FILLER),
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"a: b\r\n"),
}


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("what", list(ENDLESS))
def test_nothing_around_a_body_is_endless(
    upstream: ScriptedUpstream, what: str, streaming: bool
) -> None:
    """The attempt ends with a name, soon, whatever it is that does not (P12, rule: bounded)."""
    begin, more = ENDLESS[what]

    def answer(connection: socket.socket, _: Request) -> str:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(begin)
        for _round in range(ROUNDS):
            connection.sendall(more)
        time.sleep(1)
        return "close"

    upstream.answer = answer

    async def use(client: HttpClient) -> None:
        reply = await client.request(head_of(client), b"{}", stream=streaming)
        while await reply.piece():
            pass

    began = time.process_time()
    with pytest.raises(UpstreamTooLargeError):
        with_upstream(upstream, use, LIMITS)
    assert time.process_time() - began < 1, "reading it costs no more than its bytes"


def test_what_is_within_the_maxima_passes(upstream: ScriptedUpstream) -> None:
    """Many headers, long ones, and a body in chunks of one byte (rule: wire)."""
    headers = b"".join(b"x-%d: %b\r\n" % (n, FILLER) for n in range(HEADERS_MAX - 3))
    assert len(headers) < FRAMING_BYTES_MAX
    body = b'{"a":"' + b"y" * 20_000 + b'"}'
    raw = HEAD + headers + b"transfer-encoding: chunked\r\n\r\n"
    raw += b"".join(b"00000001\r\n%c\r\n" % each for each in body) + b"0\r\n\r\n"
    upstream.answer = lambda connection, _: connection.sendall(raw)
    assert with_upstream(upstream, whole, LIMITS) == body


def test_a_small_body_does_not_unpack_into_a_large_one(upstream: ScriptedUpstream) -> None:
    """Compressed or not, a reply has one maximum (rule: bounded)."""
    packed = gzip.compress(b"\0" * 50_000_000)
    head = HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    upstream.answer = lambda connection, _: connection.sendall(head + packed)
    limits = ClientLimits(connect_s=1, silence_s=2, attempt_s=8, reply_bytes_max=100_000)
    with pytest.raises(UpstreamTooLargeError):
        with_upstream(upstream, whole, limits)
