"""Requests that are answered before anything is made of them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from command_api.front import limits
from tests.command_api.front.toy import SHORT, Toy, Wire, request, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.asgi import Header

BODY = b"no"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Toy, int]]:
    """One that refuses what says so in a header."""

    def early(headers: list[Header]) -> tuple[int, bytes, bytes] | None:
        return (503, b"x-early: 1\r\n", BODY) if (b"x-no", b"1") in headers else None

    def made() -> Toy:
        toy = Toy()
        toy.early = {SHORT: early}
        return toy

    monkeypatch.setattr("tests.command_api.front.toy.Toy", made)
    with serving(tmp_path) as found:
        yield found


def test_the_connection_goes_on_and_the_body_is_dropped(toy: tuple[Toy, int]) -> None:
    """Whole, in chunks, in pieces; never out of its turn (rule: wire)."""
    with closing(Wire(toy[1])) as wire:
        for refused in (
            request(b"x" * 100, x_no="1"),
            request(b"x" * 200_000, x_no="1"),
            request(b"abcdef", x_no="1", chunked=True),
            request(x_no="1"),
        ):
            wire.send(refused[:-1])
            wire.send(refused[-1:])
            status, headers, body = wire.answer()
            assert (status, headers["x-early"], body) == (503, "1", BODY)
            wire.send(request(b"yes"))
            assert wire.answer()[::2] == (200, b"yes")
        wire.send(request(b"1") + request(b"2", x_no="1") + request(b"3") + request(x_no="1"))
        # Who comes behind an unanswered one waits for his turn, and goes the usual way.
        assert [wire.answer()[2] for _ in range(4)] == [b"1", b"2", b"3", b""]


def test_a_connection_that_ends_with_it_ends(toy: tuple[Toy, int]) -> None:
    """As the client said (rule: wire)."""
    with closing(Wire(toy[1])) as wire:
        wire.send(request(b"x", x_no="1", connection="close"))
        status, headers, body = wire.answer()
        assert (status, headers["connection"], body) == (503, "close", BODY)
        assert wire.file.read() == b""


def test_many_refused_bodies_are_not_one_endless_one(
    toy: tuple[Toy, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is dropped is bounded for each request (rule: bounded)."""
    monkeypatch.setattr("command_api.front.connection.DISCARDED_BYTES_MAX", 1_000)
    assert limits.DISCARDED_BYTES_MAX > 1_000
    with closing(Wire(toy[1])) as wire:
        for _ in range(5):
            wire.send(request(b"x" * 600, x_no="1"))
            assert wire.answer()[0] == 503
