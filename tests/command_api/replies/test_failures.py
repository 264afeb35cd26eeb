"""What providers send as errors, in every odd shape: a failure with a name, and never our key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from command_api.replies.completions import read_completion
from command_api.replies.failures import (
    HIDDEN,
    MESSAGE_CHARACTERS_MAX,
    UpstreamFailure,
    failure_of_body,
    failure_of_error,
)
from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk
from command_api.replies.sse import StreamScanner

DEEP = 20_000
ODD: list[bytes] = [
    b'{"error":{"message":"\xff\xfe"}}',
    b"\xff\xfe",
    '{"error":{"code":"\u00b2","message":"x"}}'.encode(),
    b'{"error":{"details":5}}',
    b'{"error":{"details":[5,{"reason":5}]}}',
    b'{"error":{"metadata":{"headers":{"retry-after":"Mon, 99 Foo 99999 99:99:99"}}}}',
    b'{"error":{"message":{"message":{"message":7}}}}',
    b'{"error":' * DEEP + b"1" + b"}" * DEEP,
    b"[" * DEEP,
    b"",
]


@pytest.mark.parametrize("body", ODD, ids=[repr(each[:40]) for each in ODD])
@pytest.mark.parametrize("status", [400, 429, 500])
def test_an_odd_body_is_a_failure_of_the_attempt(body: bytes, status: int) -> None:
    """Wherever it stands: under an error status, in a 200, in a chunk (P12, rule: wire)."""
    failure = failure_of_body("p", status, body, {})
    assert failure.code == f"status_{status}"
    assert json.loads(failure.error.openai())["error"]["message"]
    with pytest.raises(UpstreamFailure):
        read_completion("p", body, call_id="c", model="m")
    scanner = StreamScanner(keep_usage=True)
    with pytest.raises((BrokenStreamError, StreamErrorChunk)):
        scanner.feed(b"data: " + body + b"\n\n")


KEY = "sk-secret-of-ours"
QUOTES: list[Any] = [
    {"message": f"no such key: {KEY}"},
    {"message": f"{KEY}{KEY}"},
    {"message": "x" * (MESSAGE_CHARACTERS_MAX - 30) + KEY},
    f"bare {KEY}",
]


@pytest.mark.parametrize("error", QUOTES)
def test_a_key_of_ours_is_told_to_nobody(error: Any) -> None:
    """Whole or cut off by the length of a message, it is not in what a caller reads
    (rule: access).
    """
    failure = failure_of_error("p", error)
    failure.hide([KEY])
    for told in (failure.error, failure.error_in_stream):
        assert "sk-" not in told.message
        assert len(told.message) < MESSAGE_CHARACTERS_MAX + 100
    assert HIDDEN in failure.said
