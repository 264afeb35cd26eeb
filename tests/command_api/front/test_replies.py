"""Replies that nobody reads: bounded in memory and in time, whatever they are."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import re
import socket
import threading
import time
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from command_api.front.connection import FrontConnection
from tests.command_api.front.toy import (
    FLOOD_PIECES,
    HUGE_BYTES,
    LONG,
    PIECE,
    SHORT,
    Wire,
    request,
    serving,
)
from tests.support.harness import (
    ASK,
    begin_stream,
    chunk,
    completion,
    eventually,
    reply,
    running_gateway,
    send_piece,
)

if TYPE_CHECKING:
    from event_store.postgres.database import Database
    from tests.support.harness import Request, ScriptedUpstream

WRITE_TIMEOUT_S = 1.0
CALLERS = 6
LISTENING, NO_INODE = "0A", "0"
MEMORY_MAX = 48 * 2**20
STALLED_BYTES_MAX = 8 * 2**20
"""What the system takes of a provider whose stream is read no further."""


def resident() -> int:
    """Memory of this process, bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1_024


def in_use() -> int:
    """The same, after what was freed went back to the system; it takes long and holds all up.

    Large blocks stay with glibc once one of their size was freed (mallopt(3), M_MMAP_THRESHOLD).
    """
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return resident()


def sockets_of(port: int) -> int:
    """Connections that the server has not let go of; the system's own time-outs are its own."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    held = [each for each in fields if each[3] != LISTENING and each[9] != NO_INODE]
    return sum(each[1].endswith(f":{port:04X}") for each in held)


@pytest.mark.parametrize("path", [SHORT, LONG])
def test_streams_that_nobody_reads_are_bounded(tmp_path: Path, path: str) -> None:
    """In memory at once, and their sockets are gone after the time-out (P12, rule: bounded)."""
    with serving(tmp_path, write_timeout_s=WRITE_TIMEOUT_S) as (toy, port), ExitStack() as stack:
        before = resident()
        for _ in range(CALLERS):
            wire = stack.enter_context(closing(Wire(port, receive_bytes=4_096)))
            wire.send(request(path=path, x_do="flood"))
        assert eventually(lambda: toy.flooding == CALLERS)
        time.sleep(WRITE_TIMEOUT_S / 2)
        assert resident() - before < MEMORY_MAX
        assert eventually(lambda: sockets_of(port) == 0)
        assert eventually(lambda: toy.flooding == 0)


@pytest.mark.parametrize("more", [{}, {"connection": "close"}])
@pytest.mark.parametrize("do", ["large", "half"])
def test_the_rest_of_a_reply_does_not_wait_for_ever(
    tmp_path: Path, do: str, more: dict[str, str]
) -> None:
    """Nor when all of it is written, or when a defect ended it (rule: bounded)."""
    body = PIECE * 10
    with serving(tmp_path, write_timeout_s=WRITE_TIMEOUT_S) as (_, port), ExitStack() as stack:
        for _ in range(3):
            wire = stack.enter_context(closing(Wire(port, receive_bytes=4_096)))
            wire.send(
                request(body if do == "half" else b"", x_do=do, **more)  # type: ignore[arg-type]
            )
            assert wire.socket.recv(1)
        assert eventually(lambda: sockets_of(port) == 0)


@pytest.mark.parametrize("path", [SHORT, LONG])
def test_slow_readers_of_whole_replies_are_bounded(tmp_path: Path, path: str) -> None:
    """In memory, whatever the time-out: the one that has waited longest is cut (rule: bounded)."""
    room = {"write_timeout_s": 60, "replies_bytes_max": 2 * HUGE_BYTES}
    with serving(tmp_path, **room) as (toy, port), ExitStack() as stack:
        before = in_use()
        wires = []
        for waiting in (1, *[2] * (CALLERS - 1)):
            wire = stack.enter_context(closing(Wire(port, receive_bytes=4_096)))
            wire.send(request(path=path, x_do="huge"))
            assert wire.socket.recv(1, socket.MSG_PEEK)
            wires.append(wire)
            assert eventually(partial(toy.answers, waiting))
        time.sleep(0.5)
        assert in_use() - before < (CALLERS - 1) * HUGE_BYTES
        assert sockets_of(port) == 2
        wires[-1].socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        assert len(wires[-1].answer()[2]) == HUGE_BYTES


@pytest.mark.parametrize("path", [SHORT, LONG])
def test_a_large_reply_is_not_read_as_slowly_as_a_small_one(tmp_path: Path, path: str) -> None:
    """Enough of it must be read in each time-out, or its connection ends (rule: bounded)."""
    with serving(tmp_path, write_timeout_s=WRITE_TIMEOUT_S) as (toy, port), ExitStack() as stack:
        wire = stack.enter_context(closing(Wire(port, receive_bytes=4_096)))
        wire.send(request(path=path, x_do="huge"))
        assert wire.socket.recv(1)
        assert toy.active == 1
        began = time.monotonic()
        while toy.active:
            wire.socket.recv(4_800)
            time.sleep(0.1)
            assert time.monotonic() < began + 5 * WRITE_TIMEOUT_S
        assert eventually(lambda: sockets_of(port) == 0)


@pytest.mark.parametrize("path", [SHORT, LONG])
def test_a_large_reply_is_whole_and_the_connection_goes_on(tmp_path: Path, path: str) -> None:
    """However it is cut into writes, and alone or in a row (rule: wire)."""
    with serving(tmp_path) as (_, port), closing(Wire(port)) as wire:
        huge = request(path=path, x_do="huge")
        wire.send(huge + huge + request(b"end", path=path))
        for _ in range(2):
            assert wire.answer()[2] == bytes(HUGE_BYTES)
        assert wire.answer()[2] == b"end"
        wire.send(request(PIECE * 5, path=path, x_do="stream"))
        assert wire.answer()[2] == PIECE * 5 + b"." + PIECE * 5


def test_a_slow_reader_gets_all(tmp_path: Path) -> None:
    """Longer than the time-out, as long as it goes on (rule: bounded)."""
    with serving(tmp_path, write_timeout_s=WRITE_TIMEOUT_S) as (_, port), ExitStack() as stack:
        wire = stack.enter_context(closing(Wire(port, receive_bytes=65_536)))
        wire.send(request(x_do="large"))
        got, began = 0, time.monotonic()
        while got < 100 * len(PIECE):
            got += len(wire.socket.recv(256 * 1_024))
            time.sleep(0.05)
        assert time.monotonic() - began > 2 * WRITE_TIMEOUT_S


def test_a_reader_of_a_flood_gets_all(tmp_path: Path) -> None:
    """Pauses that end in time cost nothing (rule: wire)."""
    with (
        serving(tmp_path, write_timeout_s=WRITE_TIMEOUT_S) as (_, port),
        closing(Wire(port)) as wire,
    ):
        wire.send(request(x_do="flood"))
        assert len(wire.answer()[2]) == FLOOD_PIECES * len(PIECE)


def test_a_call_whose_stream_nobody_reads_is_settled(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """As one that hung up: for what was made, when its connection ends (P11, money rule 5)."""
    asked = {
        "model": "simulator/echo",
        "stream": True,
        "max_tokens": 100_000,
        "messages": [{"role": "user", "content": "a long story"}],
        "simulator": {"output_tokens": 100_000},
    }
    with running_gateway(
        database, tmp_path / "home", upstream, write_timeout_s=WRITE_TIMEOUT_S
    ) as gateway:
        user = gateway.user()
        port = int(gateway.url.rpartition(":")[2])
        before = resident()
        with ExitStack() as stack:
            wires = [
                stack.enter_context(closing(Wire(port, receive_bytes=4_096))) for _ in range(3)
            ]
            calls = []
            for wire in wires:
                key = f"Bearer {user.api_key}"
                body = json.dumps(asked).encode()
                wire.send(request(body, path="/v1/chat/completions", authorization=key))
                head = wire.socket.recv(1_024).decode()
                found = re.search(r"x-gatewayz-call-id: (\S+)", head)
                assert found
                calls.append(found[1])
            assert gateway.open_holds() == 3
            time.sleep(WRITE_TIMEOUT_S / 2)
            assert resident() - before < MEMORY_MAX
            assert eventually(lambda: gateway.open_holds() == 0)
            assert eventually(lambda: sockets_of(port) == 0)
        for each in calls:
            story = gateway.story(user, each)
            assert (story["status"], story["usage"]["source"]) == ("settled", "estimated")
            assert 0 < story["usage"]["output_tokens"] < 100_000
        gateway.verified()


TOKENS_MAX = 10_000_000
"""Of an answer that is longer than all that the system's own buffers take."""
LONG_ANSWERS = f"""
[[provider.model]]
id = "long"
input_per_million = "0.01"
output_per_million = "0.01"
max_output_tokens = {TOKENS_MAX}
"""


def test_neighbours_of_a_stream_that_nobody_reads_are_not_slowed(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """The provider is read no further than the buffers; its call ends with its reader's, settled
    for what was made (P11, P12, money rule 5, rule: bounded).
    """
    sent, ended = [0], threading.Event()
    piece = chunk({"content": "word " * 200})

    def endless(connection: socket.socket, asked: Request) -> str | None:
        if not asked.body.get("stream"):
            reply(connection, completion())
            return None
        begin_stream(connection)
        try:
            while True:
                send_piece(connection, piece)
                sent[0] += len(piece)
        except OSError:
            ended.set()
            return "close"

    upstream.answer = endless
    with running_gateway(
        *(database, tmp_path / "home", upstream),
        write_timeout_s=4.0,
        stream_buffer_bytes=8_192,
        providers=LONG_ANSWERS,
    ) as gateway:
        user, port = gateway.user(), int(gateway.url.rpartition(":")[2])
        key = f"Bearer {user.api_key}"
        asked = {**ASK, "model": "local/long", "max_tokens": TOKENS_MAX, "stream": True}
        body = json.dumps(asked).encode()
        with closing(Wire(port, receive_bytes=4_096)) as wire:
            wire.send(request(body, path="/v1/chat/completions", authorization=key))
            found = re.search(r"x-gatewayz-call-id: (\S+)", wire.socket.recv(1_024).decode())
            assert found
            took = []
            for _ in range(20):
                began = time.monotonic()
                assert gateway.chat(user, {}).status_code == 200
                took.append(time.monotonic() - began)
            assert sorted(took)[len(took) // 2] < 1
            stalled = sent[0]
            assert ended.wait(20)
            assert sent[0] - stalled < STALLED_BYTES_MAX
            assert eventually(lambda: gateway.open_holds() == 0)
        story = gateway.story(user, found[1])
        assert (story["status"], story["reason"]) == ("settled", "client_disconnected")
        assert story["usage"]["source"] == "estimated"
        gateway.verified()


class Dying(asyncio.Transport):
    """A transport that found in a write that its connection is gone: its socket is closed."""

    def __init__(self, given: socket.socket, waits: int) -> None:
        super().__init__(extra={"socket": given})
        self._waits = waits

    def get_write_buffer_size(self) -> int:
        """What nobody will read."""
        return self._waits


def test_a_connection_that_dies_in_a_write_ends_no_call() -> None:
    """Nothing of what was written is on its way any more; the writer is told no defect
    (rule: wire).
    """
    gone, other = socket.socketpair()
    gone.close()
    other.close()
    connection = FrontConnection.__new__(FrontConnection)
    connection.transport = Dying(gone, 7)
    connection.unwritten = 5
    assert connection._unread() == 12
