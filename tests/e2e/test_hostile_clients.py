"""Clients that mean no good, or know no better: the others notice nothing."""

from __future__ import annotations

import json
import random
import re
import socket
import threading
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.command_api.front.toy import Wire, request
from tests.support.harness import eventually
from tests.support.processes import Server, gatewayz

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 13
SECONDS = 10.0
WRITE_TIMEOUT_S = 2.0
MEMORY_MAX = 96 * 2**20
LATENCY_MAX_S = 3.0
CHAT = "/v1/chat/completions"
HEAD = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\n".encode()


def resident(pid: int) -> int:
    """Memory of a process, bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1_024


class Hostile:
    """Several ways to misbehave; one wrong step of the server's is a reset, which none minds."""

    def __init__(self, server: Server, key: str) -> None:
        self.port, self.stop = server.port, threading.Event()
        good = {"model": "simulator/echo", "messages": [{"role": "user", "content": "word " * 99}]}
        huge = {**good, "stream": True, "simulator": {"output_tokens": 100_000}}
        self.good, self.huge = (
            request(json.dumps(each).encode(), path=CHAT, authorization=f"Bearer {key}")
            for each in (good, {**huge, "max_tokens": 100_000})
        )
        ways: list[Callable[[random.Random], None]] = [
            *(self.bytes, self.changed, self.endless, self.drips, self.half_closed),
            *(self.idle, self.never_reads, self.stranger),
        ]
        self.threads = [
            threading.Thread(target=self.run, args=(way, random.Random(f"{SEED} {index}")))
            for index, way in enumerate(ways)
        ]

    def run(self, way: Callable[[random.Random], None], chance: random.Random) -> None:
        """Again and again."""
        while not self.stop.is_set():
            with suppress(OSError):
                way(chance)
            self.stop.wait(0.02)

    def wire(self, **options: int) -> closing[Wire]:
        """A connection that is closed in the end."""
        return closing(Wire(self.port, **options))

    def bytes(self, chance: random.Random) -> None:
        """No HTTP at all."""
        with self.wire() as wire:
            wire.send(chance.randbytes(chance.randrange(1, 5_000)))
            wire.socket.recv(100)

    def changed(self, chance: random.Random) -> None:
        """A good request with some bytes changed, cut into pieces, repeated, or cut off."""
        data = bytearray(self.good * chance.randrange(1, 4))
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with self.wire() as wire:
            wire.socket.settimeout(0.2)
            end = chance.choice([len(data), chance.randrange(len(data))])
            for start in range(0, end, step := chance.choice([1 << 20, 200, 30])):
                wire.send(bytes(data[start : start + step]))
            wire.socket.recv(100)

    def endless(self, chance: random.Random) -> None:
        """Headers, trailers, extensions or empty lines without end."""
        chunked = HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
        begin = chance.choice([HEAD + b"x-a: ", chunked + b"x-a: ", HEAD, b"GET /", b""])
        piece = {HEAD: b"x-a: 1\r\n", b"": b"\r\n"}.get(begin, b"a") * 4_096
        with self.wire() as wire:
            wire.send(begin)
            while not self.stop.is_set():
                wire.send(piece)
                time.sleep(0.001)

    def drips(self, chance: random.Random) -> None:
        """A request that comes byte by byte."""
        with self.wire() as wire:
            for place in range(chance.randrange(60)):
                wire.send(self.good[place : place + 1])
                self.stop.wait(0.02)

    def half_closed(self, chance: random.Random) -> None:
        """Nothing more to say, with or without a request."""
        with self.wire() as wire:
            wire.send(self.good[: chance.choice([0, 50, len(self.good)])])
            wire.socket.shutdown(socket.SHUT_WR)
            wire.socket.recv(100)

    def idle(self, chance: random.Random) -> None:
        """Many connections that ask nothing."""
        with ExitStack() as stack:
            for _ in range(chance.randrange(100, 300)):
                stack.enter_context(self.wire())
            self.stop.wait(1)

    def never_reads(self, _: random.Random) -> None:
        """Large streams and many answers, all unread."""
        with ExitStack() as stack:
            for data in [self.huge] * 4 + [self.good * 60] * 2:
                wire = stack.enter_context(self.wire(receive_bytes=4_096))
                wire.send(data)
            self.stop.wait(2 * WRITE_TIMEOUT_S)

    def stranger(self, _: random.Random) -> None:
        """A large body with a key that is none."""
        with self.wire() as wire:
            wire.send(request(b"x" * (4 << 20), path=CHAT, authorization="Bearer sk-none"))
            assert wire.answer()[0] in (401, 503)


def test_hostile_clients_cost_the_others_nothing(tmp_path: Path) -> None:
    """Memory, latency, the books and the log stay as they were (P1, P2, P12, rule: bounded)."""
    settings = {
        "GATEWAYZ_WRITE_TIMEOUT_S": f"{WRITE_TIMEOUT_S}",
        "GATEWAYZ_HEAD_TIMEOUT_S": "1",
        "GATEWAYZ_CONNECTIONS_MAX": "300",
    }
    with Server(tmp_path / "home", environment=settings) as server:
        key, bystander = (
            gatewayz(server.home, *("user", "create", "--email", email), "--grant", "50")["api_key"]
            for email in ("hostile@example.com", "bystander@example.com")
        )
        (worker,) = server.children("worker")
        for _ in range(20):
            assert server.chat(bystander).status_code == 200
        before = most = resident(worker)
        slowest, calls = 0.0, 0
        hostile = Hostile(server, key)
        for each in hostile.threads:
            each.start()
        began = time.monotonic()
        while time.monotonic() < began + SECONDS:
            at = time.monotonic()
            assert server.chat(bystander).status_code == 200
            slowest, calls = max(slowest, time.monotonic() - at), calls + 1
            most = max(most, resident(worker))
        hostile.stop.set()
        for each in hostile.threads:
            each.join()
        assert server.children("worker") == [worker]
        assert (most - before < MEMORY_MAX, slowest < LATENCY_MAX_S) == (True, True), (
            f"{(most - before) >> 20} MiB, {slowest:.3f} s"
        )
        assert calls > SECONDS

        def settled() -> bool:
            held: int = server.get(key, "/user/balance")["held_nano_usd"]
            return held == 0

        assert eventually(settled)
        assert "Traceback" not in server.text()
        assert gatewayz(server.home, "ledger", "verify")["differences"] == []


def test_few_files_are_enough(tmp_path: Path) -> None:
    """Calls are answered beside more idle connections than there are files (P12, rule: bounded)."""
    with Server(tmp_path / "home", files=256) as server, ExitStack() as stack:
        key = server.key()
        assert server.text().count("raise the hard limit (ulimit -Hn)") == 1
        for round_ in range(1_300):
            with suppress(OSError):
                stack.enter_context(closing(Wire(server.port)))
            if round_ % 50 == 0:
                assert server.chat(key).status_code == 200
        answers: list[int] = []

        def call() -> None:
            asked = {"simulator": {"latency_ms": 300}, "max_tokens": 100}
            answers.append(server.chat(key, **asked).status_code)

        threads = [threading.Thread(target=call) for _ in range(40)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert answers == [200] * 40
        assert "Traceback" not in server.text()
