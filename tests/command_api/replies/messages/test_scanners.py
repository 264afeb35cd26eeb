"""Scanners of Messages on anything at all: two exceptions, bounded, and whole events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_api.replies.messages.events import (
    Kept,
    answer_tokens,
    closing,
    count_blocks,
    kept_within,
)
from command_api.replies.messages.native import MessagesScanner
from command_api.replies.messages.translated import TranslatedScanner
from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk
from command_api.replies.sse import StreamScanner
from domain.pricing.usage import Usage
from providers.inference.adapters.anthropic.as_message import MessageEvents
from tests.command_api.calls.messages import (
    CLOSE,
    END,
    OPEN,
    PING,
    START,
    STOP,
    delta,
    event,
    events_of,
    stream_of,
)
from tests.support.harness import DONE, chunk

USAGE = Usage(10, 5)


def paid() -> tuple[Usage, int]:
    """What a stream cost."""
    return USAGE, 4_500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**12) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("type", "text", "thinking", "partial_json", "name", "input", "usage"),
                    *("input_tokens", "output_tokens", "id", "index", "content", "delta"),
                    *("choices", "tool_calls", "function", "arguments", "reasoning_details"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)
KINDS = st.sampled_from(
    [
        *("message_start", "content_block_start", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop", "ping", "error", "other"),
    ]
)
EVENTS = st.builds(
    lambda kind, more: event(kind, **{k: v for k, v in more.items() if k != "type"}),
    KINDS,
    st.dictionaries(
        st.sampled_from(["message", "index", "content_block", "delta", "usage", "error"]),
        JSON,
        max_size=4,
    ),
)
PIECES = st.lists(
    EVENTS | st.sampled_from([b"\n", b": x\n\n", b"data\n\n", b"data: [DONE]\n\n", PING, OPEN]),
    max_size=8,
)


@given(PIECES, st.integers(1, 40))
def test_whatever_an_upstream_streams_is_read_or_broken(pieces: list[bytes], size: int) -> None:
    """Nothing else is raised, and what passes is what came (rule: wire, money rule 6)."""
    body = b"".join([START, *pieces])
    scanner, out = MessagesScanner(), b""
    try:
        for at in range(0, len(body), size):
            out += scanner.feed(body[at : at + size])
        out += scanner.end()
    except (BrokenStreamError, StreamErrorChunk) as error:
        out += error.passed
    else:
        assert scanner.done
    assert body.startswith(out)
    assert scanner.count() >= 0
    assert scanner.answer_tokens <= scanner.output_tokens


@given(st.lists(st.dictionaries(st.sampled_from(["delta", "index"]), JSON, max_size=2), max_size=6))
def test_whatever_chunks_come_is_told_in_events_or_broken(choices: list[dict[str, Any]]) -> None:
    """Nothing else is raised, and all events are whole (rule: translation)."""
    inner = StreamScanner(keep_usage=False, call_id="c", model="m")
    scanner, out = TranslatedScanner(inner, MessageEvents("m", 7)), b""
    try:
        out += scanner.feed(chunk({"content": "x"}))
        for choice in choices:
            out += scanner.feed(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")
        out += scanner.end()
    except (BrokenStreamError, StreamErrorChunk) as error:
        out += error.passed
    told = events_of(out + scanner.ending(paid))
    assert told[0]["type"] == "message_start"
    assert told[-1]["type"] == "message_stop"


def test_nothing_is_passed_on_before_output() -> None:
    """A begin, an empty block and pings are none; then they come first (rule: wire)."""
    scanner = MessagesScanner()
    assert scanner.feed(START + OPEN + PING + delta("")) == b""
    assert not scanner.started
    assert scanner.feed(delta("x")) == START + OPEN + PING + delta("") + delta("x")
    assert scanner.started


BEGINNINGS = [
    {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    {"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}},
    {"type": "redacted_thinking", "data": "AAAA"},
    {"type": "text", "text": "x"},
    {"type": "hologram"},
]


@pytest.mark.parametrize("block", BEGINNINGS)
def test_a_block_that_says_something_is_output(block: dict[str, Any]) -> None:
    """From its begin on (money rule 4)."""
    scanner = MessagesScanner()
    assert scanner.feed(START + event("content_block_start", index=0, content_block=block))
    assert scanner.started


def test_the_end_waits() -> None:
    """message_stop is kept back, as it came, and nothing behind it passes (P2)."""
    scanner = MessagesScanner()
    body = b"".join(stream_of("x"))
    assert scanner.feed(body + PING) == body.removesuffix(STOP)
    assert (scanner.done, scanner.ending(paid)) == (True, STOP)
    assert scanner.feed(PING) == b""
    assert scanner.end() == b""


def test_an_event_without_an_end_is_bounded() -> None:
    """Whether it is one line or many (rule: bounded)."""
    for piece in (b"x" * 1_000_000, b"data: x\n" * 125_000):
        scanner = MessagesScanner()
        with pytest.raises(BrokenStreamError, match="longer than"):
            for _ in range(40):
                scanner.feed(piece)


@pytest.mark.parametrize(
    ("tokens", "kept", "index", "told"),
    [
        (100, [START, OPEN, delta("one "), CLOSE, END], None, True),
        (0, [START, OPEN], 0, False),
        (1, [START, OPEN, delta("one ")], 0, False),
    ],
)
def test_a_cut_message_is_closed(
    tokens: int, kept: list[bytes], index: int | None, told: bool
) -> None:
    """What was open is closed, and the reason said once (money rule 2, rule: wire)."""
    rest = [CLOSE, END] if tokens == 100 else [delta("two three four five")]
    out = b"".join([START, OPEN, delta("one "), *rest])
    found = kept_within(out, tokens, None)
    assert found == Kept(b"".join(kept), index, told)
    ends = events_of(closing(found, {"output_tokens": 1}))
    names = [each["type"] for each in ends]
    expected = ["content_block_stop"] * (index is not None) + ["message_delta"] * (not told)
    assert names == [*expected, "message_stop"]


def test_what_has_no_text_counts_as_output() -> None:
    """In whole messages and in pieces of streams (money rule 6)."""
    assert count_blocks([{"type": "image"}, 7, {"type": "text", "text": ""}]) == 1
    assert count_blocks([{"type": "text", "text": "a" * 40}]) == 10
    assert count_blocks([{"type": "thinking", "thinking": "a" * 40}]) == 10
    assert count_blocks([{"type": "tool_use", "name": "abcd", "input": {"a": 1}}]) == 3
    assert count_blocks([]) == 0
    thought = {"type": "thinking_delta", "thinking": "a" * 40}
    assert answer_tokens(event("content_block_delta", index=0, delta=thought) + delta("abcd")) == 1


def test_calls_without_indexes_of_their_own_are_several() -> None:
    """Some providers number every call 0 (rule: translation)."""
    inner = StreamScanner(keep_usage=False, call_id="c", model="m")
    scanner = TranslatedScanner(inner, MessageEvents("m", 7))
    calls = [
        {"index": 0, "id": name, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for name in ("a", "b")
    ]
    out = b"".join(scanner.feed(chunk({"tool_calls": [call]})) for call in calls)
    out += scanner.feed(chunk({}, finish="stop") + DONE)
    told = events_of(out + scanner.ending(paid))
    begun = [each["content_block"] for each in told if each["type"] == "content_block_start"]
    assert [(each["id"], each["name"]) for each in begun] == [("a", "a"), ("b", "b")]
    assert told[-2]["delta"]["stop_reason"] == "tool_use"
    assert told[-2]["usage"]["cost"] == 4_500 / 10**9
