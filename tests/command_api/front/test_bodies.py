"""Bodies of requests under way: bounded in sum, whoever sends them."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING

import pytest

from command_api.front.bodies import SMALL_BODY_BYTES, Bodies
from tests.command_api.front.test_replies import resident
from tests.command_api.front.toy import BODY_BYTES_MAX, LONG, SHORT, Toy, Wire, request, serving
from tests.support.harness import (
    ASK,
    DONE,
    TIMEOUT_S,
    USAGE,
    USD,
    begin_stream,
    chunk,
    completion,
    eventually,
    reply,
    running_gateway,
    send_piece,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import Request, RunningGateway, ScriptedUpstream

ROOM = 8 * 2**20
"""The smallest: one body of the largest size always fits."""
LARGE = b"x" * 900_000
FIT = ROOM // len(LARGE)


@pytest.fixture
def crowded(tmp_path: Path) -> Iterator[tuple[Toy, int]]:
    """One with room for a few large bodies."""
    with serving(tmp_path, bodies_bytes_max=ROOM) as made:
        yield made


def answer_to(port: int, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """What a request on a connection of its own is answered."""
    with closing(Wire(port)) as wire:
        wire.send(data)
        return wire.answer()


@pytest.mark.parametrize("path", [SHORT, LONG])
@pytest.mark.parametrize("chunked", [False, True])
def test_what_finds_no_room_is_refused(crowded: tuple[Toy, int], path: str, chunked: bool) -> None:
    """Small bodies pass all the same, and large ones again once others are answered (P12)."""
    toy, port = crowded
    large, small = (request(each, path=path, chunked=chunked) for each in (LARGE, b"hello"))
    with ExitStack() as stack:
        waiting = [stack.enter_context(closing(Wire(port))) for _ in range(FIT)]
        for each in waiting:
            each.send(request(LARGE, path=path, chunked=chunked, x_do="wait"))
        assert eventually(lambda: toy.waiting == FIT)
        for _ in range(3):
            status, headers, body = answer_to(port, large)
            assert (status, headers["retry-after"]) == (503, "2")
            assert json.loads(body)["error"]["code"] == "too_many_bodies"
            assert answer_to(port, small)[::2] == (200, b"hello")
        toy.hold.set()
        for each in waiting:
            assert each.answer()[0] == 200
    assert answer_to(port, large)[0] == 200


def test_room_is_given_back_however_a_request_ends(crowded: tuple[Toy, int]) -> None:
    """Hung up, refused, broken off, waiting in a row, or met by a defect (rule: bounded)."""
    toy, port = crowded
    large = request(LARGE)
    ends = [
        large[:-1],
        request(LARGE, x_do="wait") + large + large[:-1],
        request(LARGE, x_do="wait") + request(LARGE, chunked=True)[:-9] + b"zz\r\nx",
        request(LARGE, chunked=True)[:-9] + b"zz\r\nx",
        request(LARGE, x_do="raise"),
        request(b"x" * (BODY_BYTES_MAX + 1)),
        request(LARGE, x_do="half"),
        request(b"", x_do="flood") + large + large[:-1],
    ]
    for data in ends * 3:
        with closing(Wire(port)) as wire, suppress(OSError):
            wire.socket.settimeout(0.3)
            wire.send(data)
            wire.socket.recv(1)
    toy.hold.set()
    assert eventually(lambda: toy.active == 0)
    toy.hold.clear()
    before = toy.waiting
    with ExitStack() as stack:
        for _ in range(FIT):
            wire = stack.enter_context(closing(Wire(port)))
            wire.send(request(LARGE, x_do="wait"))
        assert eventually(lambda: toy.waiting == before + FIT)
        toy.hold.set()


def test_strangers_keep_no_bodies(gateway: RunningGateway) -> None:
    """They are told before their body is read, and it is dropped (P12, rule: bounded)."""
    port = int(gateway.url.rpartition(":")[2])
    data = request(b"x" * (8 * 2**20), path="/v1/chat/completions", authorization="Bearer sk-no")
    answers: list[int] = []

    def ask() -> None:
        with closing(Wire(port)) as wire:
            wire.send(data)
            answers.append(wire.answer()[0])

    before = most = resident()
    threads = [threading.Thread(target=ask) for _ in range(24)]
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads):
        most = max(most, resident())
        time.sleep(0.01)
    assert answers == [401] * 24
    assert most - before < 64 * 2**20


LARGEST = 7 * 2**20
SLOW = 3


@pytest.mark.parametrize("streamed", [True, False])
def test_an_answered_body_keeps_no_room(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream, streamed: bool
) -> None:
    """Slow streams and replies that are read slowly keep nobody's body out (P12)."""
    done = threading.Event()

    def slow(connection: socket.socket, _: Request) -> None:
        if streamed:
            begin_stream(connection)
            send_piece(connection, chunk({"content": "Hello"}))
            done.wait(TIMEOUT_S)
            send_piece(connection, USAGE + DONE)
            connection.sendall(b"0\r\n\r\n")
        else:
            reply(connection, completion("x" * 2**22))

    upstream.answer = slow
    asked = json.dumps({**ASK, "stream": streamed, "max_tokens": 10_000}).encode()
    body = asked.replace(b'"Hi"', b'"%b"' % (b"x" * LARGEST))
    with (
        running_gateway(database, tmp_path / "home", upstream, bodies_bytes_max=ROOM) as gateway,
        ExitStack() as stack,
    ):
        user, port = gateway.user(100 * USD), int(gateway.url.rpartition(":")[2])
        key = f"Bearer {user.api_key}"
        data = request(body, path="/v1/chat/completions", authorization=key)
        wires = []
        for _ in range(SLOW):
            wire = stack.enter_context(closing(Wire(port, receive_bytes=4_096)))
            wire.send(data)
            assert wire.socket.recv(12, socket.MSG_PEEK | socket.MSG_WAITALL) == b"HTTP/1.1 200"
            wires.append(wire)
        done.set()
        for wire in wires:
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
            assert wire.answer()[0] == 200
        assert eventually(lambda: gateway.open_holds() == 0)
        gateway.verified()


@pytest.mark.pure
def test_room_is_counted() -> None:
    """What is taken is missing until it is given back (rule: bounded)."""
    bodies = Bodies(2 * SMALL_BODY_BYTES)
    assert bodies.take(SMALL_BODY_BYTES + 1)
    assert not bodies.take(SMALL_BODY_BYTES)
    bodies.give_back(SMALL_BODY_BYTES + 1)
    assert bodies.take(2 * SMALL_BODY_BYTES)
