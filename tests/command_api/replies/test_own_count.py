"""Our own count of replies that came without a usage report (money rule 6)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_api.replies.own_count import count_reply
from command_api.replies.sse import UNCOUNTED_BYTES_MAX, StreamScanner
from domain.pricing.usage import estimate_tokens
from tests.support.harness import chunk


def scanned(*deltas: dict[str, Any]) -> StreamScanner:
    """A stream of these deltas, read chunk by chunk."""
    scanner = StreamScanner(keep_usage=False)
    for each in deltas:
        scanner.feed(chunk(each))
    return scanner


def test_a_stream_counts_as_its_whole_text() -> None:
    """Short chunks are neither rounded up nor kept one by one (money rule 6, rule: bounded)."""
    scanner, piece = StreamScanner(keep_usage=False), chunk({"content": "word "})
    for _ in range(16_000):
        scanner.feed(piece)
        assert scanner.uncounted_bytes <= UNCOUNTED_BYTES_MAX
    assert scanner.count() == estimate_tokens("word " * 16_000) == 20_000


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(pieces=st.lists(st.tuples(st.sampled_from(["content", "reasoning"]), texts)))
def test_streams_and_replies_count_alike(pieces: list[tuple[str, str]]) -> None:
    """What was said in pieces costs what it costs at once (money rule 6)."""
    scanner = scanned(*({name: text} for name, text in pieces))
    whole = "".join(text for _, text in pieces)
    assert scanner.count() == scanner.output_tokens == estimate_tokens(whole)
    message = {"role": "assistant", "content": whole}
    assert count_reply(msgspec.json.encode({"choices": [{"message": message}]})) == scanner.count()


CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
MESSAGES: list[tuple[Any, int]] = [
    ({"content": "12345678"}, 2),
    ({"content": "1234", "reasoning": "5678"}, 2),
    ({"content": None, "tool_calls": [CALL]}, 4),
    ({"content": "1234" * 5, "tool_calls": [CALL, CALL]}, 5 + 7),
    (
        {
            "tool_calls": [
                {"id": "c", "type": "custom", "custom": {"name": "look", "input": "1234"}}
            ]
        },
        2,
    ),
    ({"refusal": "1234"}, 1),
    # A picture has no text to count and is something made.
    ({"images": [{"image_url": {"url": "u"}}]}, 1),
    ({"content": ""}, 0),
    ({}, 0),
    (None, 0),
    ("odd", 0),
    ({"content": 7}, 0),
]


@pytest.mark.parametrize(("message", "tokens"), MESSAGES)
def test_all_that_was_made_counts(message: Any, tokens: int) -> None:
    """Text, reasoning, calls and their arguments; nothing where nothing was made (money rule 6)."""
    assert count_reply(msgspec.json.encode({"choices": [{"message": message}]})) == tokens
    assert (
        count_reply(msgspec.json.encode({"choices": [{"message": message}, "odd", None]})) == tokens
    )
