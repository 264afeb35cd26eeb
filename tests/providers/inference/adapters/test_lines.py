"""Whole lines, however the bytes are cut."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_api.replies.sse import StreamScanner
from providers.inference.adapters.lines import LineTooLongError, WholeLines
from tests.support.harness import chunk


@given(pieces=st.lists(st.sampled_from([b"", b"a", b"\n", b"ab\n", b"\nc", b"a\nb\nc", b"\n\n"])))
def test_lines_are_whole_and_nothing_is_lost(pieces: list[bytes]) -> None:
    """What is given is lines, what is kept is less than one (rule: wire)."""
    lines = WholeLines(100)
    given_on = b""
    for piece in pieces:
        block = lines.add(piece)
        assert block == b"" or block.endswith(b"\n")
        given_on += block
    rest = lines.rest()
    assert b"\n" not in rest
    assert given_on + rest == b"".join(pieces)
    assert lines.rest() == b""


def test_a_line_has_a_maximum() -> None:
    """Past it nothing is kept (rule: bounded)."""
    lines = WholeLines(10)
    assert lines.add(b"0123456789") == b""
    with pytest.raises(LineTooLongError):
        lines.add(b"0")


def test_a_long_line_in_small_pieces_costs_no_more_than_its_bytes() -> None:
    """Eight times the bytes take about eight times as long, not sixty-four (rule: bounded)."""

    def seconds(size: int) -> float:
        line = chunk({"content": "x" * size})
        scanner = StreamScanner(keep_usage=False)
        began = time.process_time()
        passed = sum(len(scanner.feed(line[at : at + 256])) for at in range(0, len(line), 256))
        assert passed == len(line)
        return time.process_time() - began

    seconds(1_000_000)
    assert seconds(8_000_000) < 24 * max(seconds(1_000_000), 0.001)


def test_suspicious_words_in_every_chunk_cost_no_more_than_their_bytes() -> None:
    """A block whose every line needs a look is read once, not once a line (rule: bounded)."""
    line = b'data: {"id":"%d","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    line += b'[{"index":0,"delta":{"content":"\\"error\\""}}],"usage":null}\n\n'
    scanner = StreamScanner(keep_usage=False)
    block = b"".join(line % number for number in range(4_000))
    began = time.process_time()
    assert scanner.feed(block) == block
    assert time.process_time() - began < 2
