"""Replies that do not fit OpenAI's types are mended until they do; what fits is left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from command_api.replies.completions import read_completion
from command_api.replies.failures import UpstreamFailure
from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk
from command_api.replies.sse import StreamScanner

FUNCTION = {"name": "f", "arguments": "{}"}


def whole(**more: Any) -> dict[str, Any]:
    """A reply that fits, changed."""
    message = {"role": "assistant", "content": "Hi", **more.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **more.pop("choice", {})}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    return {
        "id": "i",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": usage,
        **more,
    }


MISFITS: list[dict[str, Any]] = [
    {"object": "text_completion"},
    {"id": None},
    {"id": 7},
    {"created": 1.5},
    {"created": None},
    {"model": None},
    {"service_tier": "on_demand"},
    {"system_fingerprint": 7},
    {"usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    {"usage": {"prompt_tokens": 1.5, "completion_tokens": "2", "total_tokens": 3}},
    {"usage": {"prompt_tokens": 1, "total_tokens": 1, "prompt_tokens_details": {"cached_tokens": 0.0}}},
    {"usage": []},
    {"choice": {"finish_reason": "eos"}},
    {"choice": {"finish_reason": None}},
    {"choice": {"index": None}},
    {"choice": {"logprobs": []}},
    {"message": {"role": None}},
    {"message": {"content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "b"}]}},
    {"message": {"content": {"x": 1}}},
    {"message": {"refusal": False}},
    {"message": {"annotations": {}}},
    {"message": {"tool_calls": {}}},
    {"message": {"tool_calls": [{"function": FUNCTION}]}},
    {"message": {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"x": 1}}}]}},
    {"message": {"tool_calls": [{"id": "c", "type": "tool", "function": None}, "odd"]}},
]  # fmt: skip


@pytest.mark.parametrize("more", MISFITS)
def test_a_whole_reply_fits_in_the_end(more: dict[str, Any]) -> None:
    """OpenAI's own type accepts it; what was right stays (rule: contract)."""
    raw = json.dumps(whole(**more)).encode()
    with pytest.raises(ValueError, match="validation error"):
        ChatCompletion.model_validate_json(raw)
    found = read_completion("p", raw, call_id="c", model="m")
    mended = ChatCompletion.model_validate_json(found.raw)
    assert mended.choices[0].message.role == "assistant"


def chunk(**more: Any) -> dict[str, Any]:
    """A chunk that fits, changed."""
    delta = {"role": "assistant", "content": "Hi", **more.pop("delta", {})}
    choice = {"index": 0, "delta": delta, "finish_reason": None, **more.pop("choice", {})}
    return {
        "id": "i",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        **more,
    }


CHUNK_MISFITS: list[dict[str, Any]] = [
    {"object": ""},
    {"id": None},
    {"choice": {"finish_reason": "eos_token"}},
    {"choice": {"index": None}},
    {"delta": {"content": [{"type": "text", "text": "Hi"}]}},
    {"delta": {"role": "bot"}},
    {"delta": {"tool_calls": [{"function": FUNCTION}]}},
    {"delta": {"tool_calls": [{"index": 0, "id": 5, "type": "x", "function": FUNCTION}]}},
    {"usage": {"prompt_tokens": 1}},
]


@pytest.mark.parametrize("more", CHUNK_MISFITS)
def test_a_chunk_fits_in_the_end(more: dict[str, Any]) -> None:
    """Also behind chunks that fitted, which pass in bulk (rule: contract)."""
    scanner = StreamScanner(keep_usage=True, call_id="c", model="m")
    good = b"data: %b\n\n" % json.dumps(chunk()).encode()
    odd = json.dumps(chunk(**more)).encode()
    with pytest.raises(ValueError, match="validation error"):
        ChatCompletionChunk.model_validate_json(odd)
    out = scanner.feed(good * 3 + b"data: %b\n\n" % odd + good * 2)
    events = [line[5:] for line in out.split(b"\n") if line.startswith(b"data:")]
    assert len(events) == 6
    assert out.startswith(good * 3)
    for event in events:
        ChatCompletionChunk.model_validate_json(event)


def test_custom_tools_are_left_alone() -> None:
    """OpenAI's tools that take free text instead of arguments (rule: contract)."""
    call = {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
    raw = json.dumps(whole(message={"content": None, "tool_calls": [call]})).encode()
    assert read_completion("p", raw, call_id="c", model="m").raw == raw


def test_usage_that_hides_behind_a_chunk_like_the_others_is_found() -> None:
    """Cumulative reports in every chunk: the last one counts, whatever passes in bulk
    (money rule 6).
    """
    lines = [
        chunk(usage={"prompt_tokens": 9, "completion_tokens": n, "total_tokens": 9 + n})
        for n in range(1, 8)
    ]
    stream = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in lines)
    scanner = StreamScanner(keep_usage=False)
    scanner.feed(stream)
    assert scanner.usage is not None
    assert (scanner.usage.input_tokens, scanner.usage.output_tokens) == (9, 7)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "choices",
                    "delta",
                    "message",
                    "content",
                    "usage",
                    "index",
                    "tool_calls",
                    "function",
                    "finish_reason",
                    "prompt_tokens",
                    "total_tokens",
                    "role",
                    "created",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values, st.sampled_from(["choices", "usage", "id", "model", "created"]))
def test_nothing_that_is_json_breaks_the_reading(value: Any, name: str) -> None:
    """A reply of any shape is an answer that fits, or a failure that is told
    (rule: contract).
    """
    raw = json.dumps(whole(**{name: value})).encode()
    try:
        found = read_completion("p", raw, call_id="c", model="m")
    except UpstreamFailure:
        return
    ChatCompletion.model_validate_json(found.raw)


@given(json_values, st.sampled_from(["choices", "usage", "id", "model", "created"]))
def test_nothing_that_is_json_breaks_a_stream(value: Any, name: str) -> None:
    """The same of a chunk (rule: contract)."""
    scanner = StreamScanner(keep_usage=True, call_id="c", model="m")
    line = b"data: %b\n\n" % json.dumps(chunk(**{name: value})).encode()
    try:
        out = scanner.feed(line) + scanner.take_pending()
    except (BrokenStreamError, StreamErrorChunk):
        return
    for event in out.split(b"\n"):
        if event.startswith(b"data:"):
            ChatCompletionChunk.model_validate_json(event[5:])
