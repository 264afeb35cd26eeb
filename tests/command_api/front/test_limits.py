"""What a connection may send before anybody knows who it is, and in which time."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest

from command_api.front import limits
from tests.command_api.front.toy import LONG, SHORT, Toy, Wire, request, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEAD_BYTES_MAX = 12 * 1024
HEAD_TIMEOUT_S = 0.5


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Of a server with small limits."""
    home = tmp_path_factory.mktemp("front")
    limits = {"head_bytes_max": HEAD_BYTES_MAX, "head_timeout_s": HEAD_TIMEOUT_S}
    with serving(home, **limits) as (_, port):
        yield port


def told(wire: Wire) -> tuple[int, str]:
    """Status and code of the last answer of a connection."""
    status, headers, body = wire.answer()
    assert headers["connection"] == "close"
    assert wire.file.read() == b""
    found = json.loads(body)
    return status, found["error"]["code"] if "error" in found else found["code"]


ENDLESS = b"a" * (2 * HEAD_BYTES_MAX + 1)
LONG_URL = b"GET /" + b"a" * limits.URL_BYTES_MAX + b" HTTP/1.1\r\nhost: x\r\n\r\n"
MANY = b"".join(b"x-%d: 1\r\n" % number for number in range(limits.HEADERS_MAX))
START = b"POST /short HTTP/1.1\r\nhost: x\r\n"
CHUNKED = START + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"
TOO_MUCH = {
    "a long header": (START + b"x-a: " + ENDLESS, 431, "headers_too_large"),
    "long headers": (START + (b"x-a: %b\r\n" % (b"a" * 900)) * 40, 431, "headers_too_large"),
    "a complete head": (
        START + b"x-a: %b\r\n\r\n" % (b"a" * (HEAD_BYTES_MAX + 100)),
        431,
        "headers_too_large",
    ),
    "many headers": (START + MANY + b"\r\n", 431, "too_many_headers"),
    "a user agent of a megabyte": (
        START + b"user-agent: %b\r\n\r\n" % (b"a" * 1_000_000),
        *(431, "headers_too_large"),
    ),
    "a long name": (START + ENDLESS, 431, "headers_too_large"),
    "a long trailer": (CHUNKED + b"x-a: " + ENDLESS, 431, "headers_too_large"),
    "many trailers": (CHUNKED + MANY + b"x-y: 1\r\nx-z: 1\r\n", 431, "too_many_headers"),
    "a long URL": (LONG_URL, 414, "url_too_long"),
    "a long extension": (
        START + b"transfer-encoding: chunked\r\n\r\n5;" + ENDLESS,
        *(431, "headers_too_large"),
    ),
}


@pytest.mark.parametrize("piece", [1 << 20, 997])
@pytest.mark.parametrize("what", TOO_MUCH)
def test_what_is_too_much_is_named_and_the_connection_ends(
    port: int, what: str, piece: int
) -> None:
    """Whether it came at once or in pieces, ended or not (rule: bounded)."""
    data, *expected = TOO_MUCH[what]
    with closing(Wire(port)) as wire:
        for start in range(0, len(data), piece):
            with suppress(ConnectionError):
                wire.send(data[start : start + piece])
                time.sleep(0.002)
        assert told(wire) == tuple(expected)


@pytest.mark.parametrize("piece", [1 << 20, 997])
def test_ten_thousand_headers_are_refused(port: int, piece: int) -> None:
    """For their number or for their size, whichever is seen first (rule: bounded)."""
    data = START + b"".join(b"x-%d: 1\r\n" % number for number in range(10_000)) + b"\r\n"
    with closing(Wire(port)) as wire:
        for start in range(0, len(data), piece):
            with suppress(ConnectionError):
                wire.send(data[start : start + piece])
        status, code = told(wire)
    assert (status, code) in {(431, "headers_too_large"), (431, "too_many_headers")}


def test_what_is_just_allowed_passes(port: int) -> None:
    """In one piece or byte by byte (rule: bounded)."""
    head = START + b"content-length: 5\r\nx-a: %b\r\n\r\n" % (b"a" * (HEAD_BYTES_MAX - 90))
    with closing(Wire(port)) as wire:
        for piece in (len(head), 500):
            data = head + b"hello"
            for start in range(0, len(data), piece):
                wire.send(data[start : start + piece])
                time.sleep(0.002)
            assert wire.answer()[::2] == (200, b"hello")


def test_the_envelope_is_that_of_the_path(port: int) -> None:
    """OpenAI's below /v1 (rule: refuse clearly)."""
    with closing(Wire(port)) as wire:
        wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nx-a: " + b"a" * 9_000)
        _, headers, body = wire.answer()
        assert json.loads(body)["error"]["type"] == "invalid_request_error"
        assert headers["content-type"] == "application/json"


def test_a_slow_head_has_a_deadline(port: int) -> None:
    """A byte now and then does not keep a connection (rule: bounded)."""
    with closing(Wire(port)) as wire:
        began = time.monotonic()
        stop = threading.Event()

        def drip() -> None:
            with suppress(OSError):
                wire.send(START + b"x-a: ")
                while not stop.wait(0.05):
                    wire.send(b"a")

        dripping = threading.Thread(target=drip)
        dripping.start()
        assert told(wire) == (408, "headers_timeout")
        stop.set()
        dripping.join()
        assert HEAD_TIMEOUT_S <= time.monotonic() - began < HEAD_TIMEOUT_S + 3


def test_a_head_in_two_pieces_is_in_time(port: int) -> None:
    """Its deadline ends with it, however long its answer takes (rule: bounded)."""
    data = request(b"hello")
    with closing(Wire(port)) as wire:
        wire.send(data[:20])
        time.sleep(0.1)
        wire.send(data[20:-1])
        time.sleep(2 * HEAD_TIMEOUT_S)
        wire.send(data[-1:])
        assert wire.answer()[::2] == (200, b"hello")


def test_endless_headers_slow_nobody_down(tmp_path: Path) -> None:
    """Two that never end their header, and begin again when refused (P12, rule: bounded)."""
    stop = threading.Event()

    def endless(port: int) -> None:
        while not stop.is_set():
            with closing(Wire(port)) as wire, suppress(OSError):
                wire.send(START + b"x-a: ")
                while not stop.is_set():
                    wire.send(b"a" * 65_536)

    with serving(tmp_path) as (_, port), closing(Wire(port)) as bystander:
        threads = [threading.Thread(target=endless, args=(port,)) for _ in range(2)]
        for each in threads:
            each.start()
        slowest = 0.0
        until = time.monotonic() + 2
        while time.monotonic() < until:
            began = time.monotonic()
            bystander.send(request(b"hello"))
            assert bystander.answer()[0] == 200
            slowest = max(slowest, time.monotonic() - began)
        stop.set()
        for each in threads:
            each.join()
    assert slowest < 0.5


@pytest.mark.parametrize("path", [SHORT, LONG])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("cut", [0, 40, -3])
def test_an_offer_to_upgrade_costs_no_body(port: int, path: str, chunked: bool, cut: int) -> None:
    """Java's client makes it with every first request; what follows is HTTP too (rule: wire)."""
    offer = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "HTTP2-Settings": "AAMA"}
    data = request(b"hello", path=path, chunked=chunked, **offer)
    with closing(Wire(port)) as wire:
        for piece in (data[:cut], data[cut:], data + request(b"again")):
            wire.send(piece)
            time.sleep(0.02)
        for expected in (b"hello", b"hello", b"again"):
            assert wire.answer()[::2] == (200, expected)


def test_a_tunnel_is_not_made(port: int) -> None:
    """CONNECT is for proxies (rule: wire)."""
    with closing(Wire(port)) as wire:
        wire.send(b"CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n")
        assert told(wire)[0] == 400


def test_trailers_are_no_headers(port: int) -> None:
    """What stands behind a body cannot say who sent it (rule: wire)."""
    with closing(Wire(port)) as wire:
        wire.send(CHUNKED + b"x-do: close\r\n\r\n" + request(b"again"))
        assert wire.answer()[::2] == (200, b"hello")
        assert wire.answer()[::2] == (200, b"again")


def test_a_refusal_waits_for_its_turn(patient: tuple[Toy, int]) -> None:
    """It is never taken for the answer to an earlier request (rule: wire)."""
    toy, port = patient
    with closing(Wire(port)) as wire:
        wire.send(request(b"one", x_do="wait") + request(b"two") + b"nonsense\r\n\r\n")
        time.sleep(0.1)
        toy.hold.set()
        assert wire.answer()[::2] == (200, b"one")
        assert wire.answer()[::2] == (200, b"two")
        assert told(wire) == (400, "malformed_request")


def test_a_refused_body_waits_for_its_turn(patient: tuple[Toy, int]) -> None:
    """As a refused head does: its own request is never begun (rule: wire)."""
    toy, port = patient
    broken = request(b"two", chunked=True, x_do="watch").replace(b"3\r\ntwo", b"zz\r\ntwo")
    with closing(Wire(port)) as wire:
        wire.send(request(b"one", x_do="wait") + broken)
        time.sleep(0.1)
        toy.hold.set()
        assert wire.answer()[::2] == (200, b"one")
        assert told(wire) == (400, "malformed_request")


def test_a_body_that_breaks_later_is_refused(port: int) -> None:
    """While its endpoint waits for the rest (rule: wire)."""
    with closing(Wire(port)) as wire:
        wire.send(START + b"transfer-encoding: chunked\r\n\r\n3\r\nhel\r\n")
        time.sleep(0.1)
        wire.send(b"zz\r\n")
        assert told(wire) == (400, "malformed_request")


def test_too_many_requests_in_a_row_are_refused(patient: tuple[Toy, int]) -> None:
    """Those that may wait are answered first (rule: bounded)."""
    toy, port = patient
    with closing(Wire(port)) as wire:
        wire.send(request(b"one", x_do="wait") + request(b"two") * 1_000)
        time.sleep(0.1)
        toy.hold.set()
        for _ in range(limits.PIPELINED_MAX + 1):
            assert wire.answer()[0] == 200
        assert told(wire) == (400, "too_many_pipelined")


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[tuple[Toy, int]]:
    """One whose answers a test can hold back."""
    with serving(tmp_path) as made:
        yield made
