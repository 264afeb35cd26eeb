"""The lines of a file, however it is cut, and however long they are."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from command_api.batches.checking import ERRORS_MAX, check_file
from command_api.batches.lines import ENDPOINTS, Line, LineError, lines_of, parse_line
from tests.command_api.batches.making import CHAT, jsonl, line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.pure

MOST = 64


async def cut(content: bytes, size: int) -> AsyncIterator[bytes]:
    """A file in pieces."""
    for at in range(0, len(content), size):
        yield content[at : at + size]


def read(content: bytes, size: int) -> list[Line]:
    """The lines of a file that comes in pieces of this size."""

    async def run() -> list[Line]:
        return [each async for each in lines_of(cut(content, size), MOST)]

    return asyncio.run(run())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1_000])
def test_lines_are_the_same_however_a_file_is_cut(size: int) -> None:
    """With either ending, blank ones between, a mark before, and one that is too long, by the
    number that an editor shows (rule: translation, rule: bounded).
    """
    content = b"\xef\xbb\xbfone\r\n\n  two  \n" + b"x" * (MOST + 1) + b"\n" + b"y" * MOST + b"\nend"
    assert read(content, size) == [
        Line(1, b"one"),
        Line(3, b"two"),
        Line(4, None),
        Line(5, b"y" * MOST),
        Line(6, b"end"),
    ]


@pytest.mark.parametrize("size", [1, 1_000])
def test_a_file_of_one_endless_line_is_one_line(size: int) -> None:
    """Of which nothing is kept (rule: bounded)."""
    assert read(b"z" * 10_000, size) == [Line(1, None)]
    assert read(b"", size) == read(b"\n\n  \r\n", size) == []


def test_an_endless_line_is_not_kept() -> None:
    """Whoever reads it holds no more than a line may have, and a piece (rule: bounded)."""
    piece, sizes = b"z" * 1_000, list[int]()

    async def run() -> None:
        async def endless() -> AsyncIterator[bytes]:
            for _ in range(100):
                yield piece
                frame = lines.ag_frame  # type: ignore[attr-defined]
                sizes.append(len(frame.f_locals["held"]))

        lines = lines_of(endless(), MOST)
        assert [each async for each in lines] == [Line(1, None)]

    asyncio.run(run())
    assert max(sizes) <= MOST + len(piece)


def test_no_more_errors_than_may_be_are_told() -> None:
    """The rest of the file is not looked at (rule: bounded)."""
    asked = 0

    async def bad() -> AsyncIterator[Line]:
        nonlocal asked
        for number in range(1, 10_000):
            asked = number
            yield Line(number, b"{")

    found = asyncio.run(check_file(bad(), CHAT, 50_000))
    assert (len(found.errors), asked) == (ERRORS_MAX, ERRORS_MAX)


def test_a_line_more_than_may_be_ends_the_check() -> None:
    """Told alone: what else is wrong is no matter then (rule: bounded)."""

    async def good() -> AsyncIterator[Line]:
        for number in range(1, 1_000):
            yield Line(number, jsonl(line(f"{number}")).strip())

    found = asyncio.run(check_file(good(), CHAT, 10))
    assert (found.requests, [each.code for each in found.errors]) == (11, ["too_many_lines"])


def test_only_moderations_need_no_model() -> None:
    """As at their route, whose default it is; an empty one is a mistake everywhere
    (rule: contract).
    """
    for endpoint in ENDPOINTS:
        asked = {"custom_id": "a", "method": "POST", "url": endpoint, "body": {"input": "x"}}
        raw = json.dumps(asked).encode()
        if endpoint == "/v1/moderations":
            assert parse_line(raw, endpoint).custom_id == "a"
        else:
            with pytest.raises(LineError, match="name a model"):
                parse_line(raw, endpoint)
        asked["body"] = {"model": "", "input": "x"}
        with pytest.raises(LineError, match="name a model"):
            parse_line(json.dumps(asked).encode(), endpoint)


def test_what_has_files_or_links_is_no_endpoint() -> None:
    """A line has a body alone, and a link ends before its reader comes (rule: bounded)."""
    assert not {each for each in ENDPOINTS if "audio" in each or "images" in each}
    assert {"/v1/chat/completions", "/v1/moderations", "/v1/rerank"} <= ENDPOINTS.keys()
