"""The server's protocol: the short way answers as the long one does, however the bytes come."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from command_api.serving import server as uvicorn_server
from tests.command_api.front.toy import LONG, SHORT, TIMEOUT_S, Toy, Wire, request, serving
from tests.support.harness import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Toy, int]]:
    """One for the tests that leave nothing behind."""
    with serving(tmp_path_factory.mktemp("front")) as made:
        yield made


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


@pytest.mark.parametrize("path", [SHORT, LONG])
def test_a_defect_behind_the_answer_costs_nothing(wire: Wire, path: str) -> None:
    """It was told already; the connection goes on (P12)."""
    for _ in range(3):
        wire.send(request(b"a", path=path, x_do="late"))
        assert (wire.answer()[0], wire.socket.fileno() > 0) == (500, True)
    wire.send(request(b"b", path=path))
    assert wire.answer()[::2] == (200, b"b")


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
    """A 503 while all of them wait, and the others go on once they do not (rule: bounded)."""
    with serving(tmp_path, connections_max=3) as (toy, port), ExitStack() as stack:
        waiting = [stack.enter_context(closing(Wire(port))) for _ in range(3)]
        for each in waiting:
            each.send(request(b"hello", x_do="wait"))
        assert eventually(lambda: toy.waiting == 3)
        with closing(Wire(port)) as late:
            late.send(request(b"hello"))
            status, headers, body = late.answer()
            assert (status, headers["retry-after"], headers["connection"]) == (503, "2", "close")
            assert json.loads(body)["code"] == "too_many_connections"
        toy.hold.set()
        for each in waiting:
            assert each.answer()[0] == 200
        with closing(Wire(port)) as wire:
            wire.send(request(b"hello"))
            assert wire.answer()[0] == 200


def test_idle_connections_make_room_oldest_first(tmp_path: Path) -> None:
    """Whoever keeps many open does not shut the others out (rule: bounded)."""
    with serving(tmp_path, connections_max=8) as (toy, port), ExitStack() as stack:
        wires = [stack.enter_context(closing(Wire(port)))]
        wires[0].send(request(b"hello", x_do="wait"))
        assert eventually(lambda: toy.waiting == 1)
        for _ in range(40):
            wires.append(stack.enter_context(closing(Wire(port))))
            time.sleep(0.003)  # The loop's clock has milliseconds.
        for each in wires[-7:]:
            each.send(request(b"hello"))
            assert each.answer()[0] == 200
        assert wires[-8].file.read() == b""
        toy.hold.set()
        assert wires[0].answer()[::2] == (200, b"hello")


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
