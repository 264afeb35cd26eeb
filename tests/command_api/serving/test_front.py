"""The server's protocol: the short way answers as the long one does, however the bytes come."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command_api.serving import server as uvicorn_server
from command_api.settings import Settings
from edge.asgi import read_body, send_whole
from tests.support.harness import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.asgi import Receive, Scope, Send

TIMEOUT_S = 10.0
SHORT, LONG = "/short", "/long"


class Toy:
    """Both ways answer with what they were sent; headers of the request choose what else."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.inference = {SHORT: self.answer}
        self.gone = threading.Event()
        self.hold = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> None:
        """The long way."""
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        assert scope["path"] in (SHORT, LONG)
        await self.answer(scope, receive, send)

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Echo, or misbehave as the header `x-do` says."""
        headers = dict(scope["headers"])
        body = await read_body(
            scope,
            headers.get(b"content-length", b""),
            receive,
            bytes_max=1_000_000,
            timeout_s=TIMEOUT_S,
        )
        match headers.get(b"x-do", b""):
            case b"stream":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                for part in (body[:1], body[1:]):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                await send({"type": "http.response.body", "body": b"." + body})
            case b"wait":
                while not self.hold.is_set():
                    await asyncio.sleep(0.01)
                await send_whole(send, 200, body, [])
            case b"watch":
                while (await receive())["type"] != "http.disconnect":
                    pass
                self.gone.set()
            case b"break":
                await send_whole(send, 200, body, [(b"x-a", b"1\r\nx-b: 2")])
            case b"raise":
                message = "a defect"
                raise RuntimeError(message)
            case b"half":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": body, "more_body": True})
                message = "a defect"
                raise RuntimeError(message)
            case b"close":
                await send_whole(send, 408, body, [(b"connection", b"close")])
            case _:
                await send_whole(send, 200, body, [])


@contextmanager
def serving(home: Path, **overrides: Any) -> Iterator[tuple[Toy, int]]:
    """A server until the block ends, and its port."""
    toy = Toy()
    asked = Settings(home=home, **{"shutdown_grace_s": 1, "log_level": "error", **overrides})
    server = uvicorn_server.make_server(toy, asked)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield toy, listener.getsockname()[1]
    finally:
        toy.hold.set()
        server.should_exit = True
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Toy, int]]:
    """One for the tests that leave nothing behind."""
    with serving(tmp_path_factory.mktemp("front")) as made:
        yield made


def request(
    body: bytes = b"",
    *,
    path: str = SHORT,
    method: str = "POST",
    chunked: bool = False,
    **more: str,
) -> bytes:
    """The bytes of one request."""
    lines = {"host": "x", **{name.replace("_", "-"): value for name, value in more.items()}}
    if chunked:
        lines["transfer-encoding"] = "chunked"
        parts = [body[:3], body[3:]]
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part)
        body += b"0\r\n\r\n"
    else:
        lines["content-length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


class Wire:
    """A connection of a client."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        self.file = self.socket.makefile("rb")

    def close(self) -> None:
        """Hang up."""
        self.file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Write bytes."""
        self.socket.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next response."""
        status = int(self.file.readline().split()[1])
        headers: dict[str, str] = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(": ")
            headers[name] = value
        if "content-length" in headers:
            return status, headers, self.file.read(int(headers["content-length"]))
        body = b""
        while headers.get("transfer-encoding") == "chunked":
            size = int(self.file.readline(), 16)
            body += self.file.read(size)
            self.file.read(2)
            if not size:
                break
        return status, headers, body


@pytest.fixture
def wire(server: tuple[Toy, int]) -> Iterator[Wire]:
    """A connection to the shared server."""
    with closing(Wire(server[1])) as made:
        yield made


SHAPES = st.fixed_dictionaries(
    {
        "body": st.binary(max_size=40),
        "path": st.sampled_from([SHORT, LONG, SHORT + "?a=1"]),
        "chunked": st.booleans(),
        "x_do": st.sampled_from(["", "stream"]),
    }
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(asked=st.lists(SHAPES, min_size=1, max_size=5), data=st.data())
def test_requests_are_answered_in_order_however_their_bytes_come(
    server: tuple[Toy, int], asked: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Pipelined or not, in one piece or many, on the short way or the long one (rule: wire)."""
    stream = b"".join(request(**each) for each in asked)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6).map(sorted))
    with closing(Wire(server[1])) as wire:
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
            wire.send(stream[start:end])
        for each in asked:
            status, headers, body = wire.answer()
            streamed = each["x_do"] == "stream"
            assert (status, body) == (200, each["body"] + b"." * streamed + each["body"] * streamed)
            assert ("content-length" in headers) != streamed
            assert "date" in headers


@pytest.mark.parametrize("path", [SHORT, LONG])
def test_a_client_that_asks_first_is_told_to_go_on(wire: Wire, path: str) -> None:
    """`Expect: 100-continue` (RFC 9110, 10.1.1): curl does it above a mebibyte (rule: wire)."""
    data = request(b"hello", path=path, expect="100-continue")
    wire.send(data[:-5])
    assert wire.file.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert wire.file.readline() == b"\r\n"
    wire.send(b"hello")
    assert wire.answer()[::2] == (200, b"hello")


@pytest.mark.parametrize("how", [{"connection": "close"}, {"x_do": "close"}])
def test_a_connection_that_is_to_close_is_closed(wire: Wire, how: dict[str, str]) -> None:
    """Whoever asks for it, client or endpoint (rule: wire)."""
    wire.send(request(b"hello", **how))  # type: ignore[arg-type]
    _, headers, body = wire.answer()
    assert (headers["connection"], body) == ("close", b"hello")
    assert wire.file.read() == b""


def test_http_1_0_is_answered_and_closed(wire: Wire) -> None:
    """Old load balancers check health with it (rule: wire)."""
    wire.send(request(b"hello").replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert wire.file.read().endswith(b"\r\n\r\nhello")


def test_what_is_not_http_is_refused(wire: Wire) -> None:
    """A 400, and no more of that connection (rule: wire)."""
    wire.send(b"nonsense\r\n\r\n")
    assert wire.answer()[0] == 400
    assert wire.file.read() == b""


def test_a_body_that_stops_being_http_starts_nothing(wire: Wire) -> None:
    """A broken chunk behind a good head is a bad request, not a call (rule: wire)."""
    wire.send(request(b"hello", chunked=True).replace(b"3\r\nhel", b"zz\r\nhel"))
    assert wire.answer()[0] == 400
    assert wire.file.read() == b""


@pytest.mark.parametrize("do", ["break", "raise"])
def test_a_defect_is_a_500(wire: Wire, do: str) -> None:
    """A line break in a header would let a response be split; it is never sent (rule: wire)."""
    wire.send(request(b"hello", x_do=do))
    status, headers, _ = wire.answer()
    assert (status, "x-b" in headers) == (500, False)


def test_a_defect_in_the_middle_of_a_stream_cuts_it(wire: Wire) -> None:
    """The client sees an incomplete body, never one that looks whole (rule: wire)."""
    wire.send(request(b"hello", x_do="half"))
    sent = wire.file.read()
    assert b"hello" in sent
    assert not sent.endswith(b"0\r\n\r\n")


def test_an_endpoint_hears_of_a_hang_up(server: tuple[Toy, int]) -> None:
    """Streams watch for it, to stop what nobody reads (P11)."""
    toy, port = server
    toy.gone.clear()
    with closing(Wire(port)) as wire:
        wire.send(request(b"hello", x_do="watch"))
        time.sleep(0.1)
        assert not toy.gone.is_set()
    assert toy.gone.wait(TIMEOUT_S)


def test_more_connections_than_the_maximum_are_refused(tmp_path: Path) -> None:
    """A 503 while there are too many, and the others go on once there are not (rule: bounded)."""
    with serving(tmp_path, connections_max=3) as (_, port), ExitStack() as stack:
        wires = [stack.enter_context(closing(Wire(port)))]
        for expected in (200, 200, 503):
            wires[-1].send(request(b"hello"))
            assert wires[-1].answer()[0] == expected
            wires.append(stack.enter_context(closing(Wire(port))))
        for each in wires[1:]:
            each.close()

        def answered() -> bool:
            with closing(Wire(port)) as wire:
                wire.send(request(b"hello"))
                return wire.answer()[0] == 200

        assert eventually(answered)


def test_only_idle_connections_are_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never asks, or has its answer, is idle; one that waits is not (rule: bounded)."""
    monkeypatch.setattr(uvicorn_server, "KEEP_ALIVE_S", 1)
    with serving(tmp_path) as (toy, port), ExitStack() as stack:
        silent, answered, waiting = (stack.enter_context(closing(Wire(port))) for _ in range(3))
        waiting.send(request(b"hello", x_do="wait"))
        began = time.monotonic()
        for _ in range(3):
            time.sleep(0.4)
            answered.send(request(b"hello"))
            assert answered.answer()[0] == 200
        assert silent.file.read() == b""
        assert answered.file.read() == b""
        assert 1.8 < time.monotonic() - began < 4
        toy.hold.set()
        assert waiting.answer()[::2] == (200, b"hello")
