"""Whole answers told as streams, and read back: nothing is lost, and what cannot be is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from command_api.replies.replayed.forms import FORMS
from command_api.replies.replayed.parts import NotWholeError
from providers.inference.port import Operation

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
LOGPROBS = {"content": [{"token": "H", "logprob": -0.1, "bytes": [72], "top_logprobs": []}]}
MESSAGE = {"role": "assistant", "content": "Hello.", "refusal": None}
CHAT = {
    "id": "up-1",
    "object": "chat.completion",
    "created": 1,
    "model": "local/m",
    "system_fingerprint": "fp",
    "choices": [
        {
            "index": 0,
            "message": {**MESSAGE, "reasoning": "Hm.", "annotations": [{"type": "url"}]},
            "logprobs": {**LOGPROBS, "refusal": None},
            "finish_reason": "stop",
        },
        {
            "index": 1,
            "message": {**MESSAGE, "content": None, "tool_calls": [CALL, {**CALL, "id": "c2"}]},
            "logprobs": None,
            "finish_reason": "tool_calls",
        },
    ],
    "usage": USAGE,
}
TEXT = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "local/m",
    "choices": [
        {"index": 0, "text": "one", "logprobs": None, "finish_reason": "stop"},
        {
            "index": 1,
            "text": "two",
            "logprobs": {"tokens": ["two"], "token_logprobs": [-1.0], "text_offset": [0]},
            "finish_reason": "length",
        },
    ],
    "usage": USAGE,
}
ANTHROPIC = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "s=="},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "text", "text": "Hello.", "citations": [{"type": "char_location"}]},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": [1, {"b": None}]}},
        {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 2},
}
PART = {"type": "output_text", "text": "Hello.", "annotations": [], "logprobs": []}
NOTED = {**PART, "annotations": [{"type": "file_path", "file_id": "f", "index": 0}]}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "model": "local/m",
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "output": [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "content": [{"type": "reasoning_text", "text": "Hm?"}],
        },
        {
            "type": "message",
            "id": "m_1",
            "role": "assistant",
            "status": "completed",
            "content": [PART, NOTED, {"type": "refusal", "refusal": "No."}],
        },
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "c1",
            "name": "f",
            "arguments": "{}",
            "status": "completed",
        },
    ],
    "usage": {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    },
}
WHOLES: dict[Operation, dict[str, Any]] = {
    Operation.CHAT: CHAT,
    Operation.COMPLETIONS: TEXT,
    Operation.MESSAGES: ANTHROPIC,
    Operation.RESPONSES: RESPONSE,
}


def told(operation: Operation, whole: dict[str, Any], *, usage: bool = True) -> bytes:
    """A whole answer as a stream."""
    return b"".join(FORMS[operation].told(whole, usage=usage))


def data_of(stream: bytes) -> list[dict[str, Any]]:
    """What a stream's events carry."""
    lines = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


@pytest.mark.parametrize("operation", WHOLES)
def test_a_whole_answer_comes_back_from_its_stream(operation: Operation) -> None:
    """Every member of it (P3, rule: wire)."""
    assert FORMS[operation].read(told(operation, WHOLES[operation])) == WHOLES[operation]


@pytest.mark.parametrize("operation", WHOLES)
def test_half_a_stream_is_no_answer(operation: Operation) -> None:
    """However much of it came before the last of its ends (P3, rule: wire)."""
    answer = dict(WHOLES[operation])
    if "choices" in answer:
        answer["choices"] = answer["choices"][:1]
    whole = told(operation, answer, usage=False)
    ends = {Operation.MESSAGES: 1, Operation.RESPONSES: 1}.get(operation, 2)
    events = whole.split(b"\n\n")[:-1]
    for kept in range(len(events) - ends + 1):
        with pytest.raises(NotWholeError):
            FORMS[operation].read(b"\n\n".join(events[:kept]) + b"\n\n")


def test_chunks_are_openais() -> None:
    """Usage in a chunk of its own, only where it was asked for, and [DONE] (rule: wire)."""
    asked, unasked = told(Operation.CHAT, CHAT), told(Operation.CHAT, CHAT, usage=False)
    assert asked.endswith(b"data: [DONE]\n\n")
    chunks = [ChatCompletionChunk.model_validate(each, strict=True) for each in data_of(asked)]
    assert [each.usage is not None for each in chunks] == [False] * 6 + [True]
    assert chunks[-1].choices == []
    assert not any("usage" in each for each in data_of(unasked))
    calls = chunks[4].choices[0].delta.tool_calls
    assert calls is not None
    assert [(each.index, each.id) for each in calls] == [(0, "c1"), (1, "c2")]


def test_events_of_responses_are_openais_and_numbered() -> None:
    """From 0, without a gap (rule: wire)."""
    events = data_of(told(Operation.RESPONSES, RESPONSE))
    known: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for number, event in enumerate(events):
        assert known.validate_python(event).sequence_number == number
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] == "response.completed"


def test_pieces_are_put_together() -> None:
    """Texts, arguments, inputs, in whatever pieces they come (P3, rule: wire)."""
    chunks = data_of(told(Operation.CHAT, CHAT))
    pieces = []
    for chunk in chunks:
        for choice in chunk["choices"]:
            if text := choice["delta"].pop("content", ""):
                for each in text:
                    delta = {"index": choice["index"], "delta": {"content": each}}
                    pieces.append({**chunk, "choices": [delta]})
        pieces.append(chunk)
    made = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in pieces)
    assert FORMS[Operation.CHAT].read(made) == CHAT


@pytest.mark.parametrize(
    "delta",
    [
        {"audio": {"data": "x"}},
        {"reasoning_details": [{"type": "reasoning.text"}]},
        {"content": 1},
        {"tool_calls": [{"index": -1}]},
        {"tool_calls": [{"index": 10**9, "id": "c"}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]},
    ],
)
def test_what_nobody_can_put_together_is_no_answer(delta: dict[str, Any]) -> None:
    """Rather nothing than half of it (P10, rule: wire)."""
    choice = {"index": 0, "delta": delta, "finish_reason": "stop"}
    made = b"data: %b\n\n" % json.dumps({"id": "1", "choices": [choice]}).encode()
    with pytest.raises(NotWholeError):
        FORMS[Operation.CHAT].read(made)


@pytest.mark.parametrize(
    "made", [b"", b"data: [DONE]\n\n", b"data: 1\n\n", b"data: {\n\n", b'data: {"type":"x"}\n\n']
)
@pytest.mark.parametrize("operation", WHOLES)
def test_no_answer_is_none(operation: Operation, made: bytes) -> None:
    """Whatever the bytes are (rule: bounded)."""
    with pytest.raises(NotWholeError):
        FORMS[operation].read(made)
