"""Messages at an OpenAI-shaped provider, there and back, and Messages at Anthropic itself."""

from __future__ import annotations

from typing import Any

import pytest

from providers.inference.adapters.anthropic.as_message import message_of, stop_reason_of
from providers.inference.adapters.anthropic.request import to_anthropic
from providers.inference.adapters.anthropic.to_chat import Taker, to_chat
from providers.inference.adapters.anthropic.upstream import HEADS_MAX, AnthropicUpstream
from providers.inference.adapters.http1.client import HttpClient
from providers.inference.port import Forwarded

CACHED = {"cache_control": {"type": "ephemeral"}}
PNG = {"type": "base64", "media_type": "image/png", "data": "aGk="}
PDF = {"type": "base64", "media_type": "application/pdf", "data": "aGk="}
TOOL = {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}}
TURNS: list[dict[str, Any]] = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "Look.", **CACHED},
            {"type": "image", "source": PNG},
            {"type": "document", "source": PDF},
        ],
    },
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "S"},
            {"type": "redacted_thinking", "data": "D"},
            {"type": "text", "text": "I call."},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "t2", "name": "f", "input": {}},
        ],
    },
    {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": "t1",
                "content": [{"type": "text", "text": "4"}],
            },
            {"type": "tool_result", "tool_use_id": "t2", "content": []},
            {"type": "text", "text": "And?"},
        ],
    },
]
BODY: dict[str, Any] = {
    "model": "m",
    "max_tokens": 5_000,
    "stream": True,
    "system": [{"type": "text", "text": "S.", **CACHED}, {"type": "text", "text": "T."}],
    "messages": TURNS,
    "tools": [TOOL],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "stop_sequences": ["END"],
    "temperature": 0.5,
    "metadata": {"user_id": "u"},
}


def test_a_conversation_is_the_same_after_a_way_through_chat() -> None:
    """Blocks, caches, signatures, calls and results: what an aggregator passes on to Anthropic is
    what the caller sent (rule: translation).
    """
    assert to_anthropic(to_chat(BODY, Taker(aggregates=True, details=True))) == BODY


@pytest.mark.parametrize("choice", ["auto", "any", "none", "tool"])
def test_every_choice_of_tools_comes_back(choice: str) -> None:
    """Each has its counterpart (rule: translation)."""
    chosen = {"type": choice, "name": "f"} if choice == "tool" else {"type": choice}
    body = {**BODY, "tool_choice": chosen}
    assert to_anthropic(to_chat(body, Taker()))["tool_choice"] == chosen


EFFORTS: list[tuple[dict[str, Any], str | None]] = [
    ({"thinking": {"type": "enabled", "budget_tokens": 1_024}}, "low"),
    ({"thinking": {"type": "enabled", "budget_tokens": 4_096}}, "medium"),
    ({"thinking": {"type": "enabled", "budget_tokens": 60_000}}, "high"),
    ({"thinking": {"type": "adaptive"}}, "medium"),
    ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, "xhigh"),
    ({"output_config": {"effort": "low"}}, "low"),
    ({"thinking": {"type": "disabled"}}, None),
    ({}, None),
]


@pytest.mark.parametrize(("more", "effort"), EFFORTS)
def test_thinking_is_effort(more: dict[str, Any], effort: str | None) -> None:
    """Where the model is known to take it, and nowhere else (rule: translation)."""
    assert to_chat({**BODY, **more}, Taker(reasons=True)).get("reasoning_effort") == effort
    assert "reasoning_effort" not in to_chat({**BODY, **more}, Taker())


@pytest.mark.parametrize(
    ("finish", "called", "reason"),
    [
        ("stop", False, "end_turn"),
        ("stop", True, "tool_use"),
        (None, True, "tool_use"),
        (None, False, "end_turn"),
        ("length", True, "max_tokens"),
        ("content_filter", False, "refusal"),
        ("function_call", True, "tool_use"),
        ("novel", False, "end_turn"),
    ],
)
def test_why_it_ended(finish: str | None, called: bool, reason: str) -> None:
    """A message with calls waits for their results (rule: translation)."""
    assert stop_reason_of(finish, called=called) == reason


ODD: list[tuple[dict[str, Any], list[dict[str, Any]]]] = [
    ({"content": None}, []),
    ({"content": "a", "refusal": "No."}, [{"type": "text", "text": "aNo."}]),
    ({"content": "a", "reasoning_details": 7}, [{"type": "text", "text": "a"}]),
    ({"content": "a", "reasoning_details": [7, {"type": "x"}]}, [{"type": "text", "text": "a"}]),
    ({"content": "a", "reasoning": {"no": "text"}}, [{"type": "text", "text": "a"}]),
    (
        {"tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "[1]"}}]},
        [{"type": "tool_use", "id": "t", "name": "f", "input": {"arguments": "[1]"}}],
    ),
    (
        {"tool_calls": [{"id": "t", "function": {"name": "f", "arguments": ""}}]},
        [{"type": "tool_use", "id": "t", "name": "f", "input": {}}],
    ),
]


@pytest.mark.parametrize(("said", "blocks"), ODD)
def test_odd_messages_have_whole_blocks(said: dict[str, Any], blocks: list[dict[str, Any]]) -> None:
    """An input is an object, a text is a text (rule: translation)."""
    completion = {"id": "c", "choices": [{"message": said, "finish_reason": "stop"}]}
    assert message_of(completion, "m", {})["content"] == blocks


def test_callers_headers_replace_the_clients() -> None:
    """Each stands once in the head, and so many heads are kept (rule: bounded, rule: wire)."""
    client = HttpClient("http://127.0.0.1:1/v1", headers={"anthropic-version": "2023-06-01"})
    upstream = AnthropicUpstream(client)
    head = upstream._head("/messages", Forwarded("2024-01-01", "a,b"))
    assert head.count(b"anthropic-version:") == 1
    assert b"anthropic-version: 2024-01-01\r\n" in head
    assert b"anthropic-beta: a,b\r\n" in head
    assert b"anthropic-version: 2023-06-01\r\n" in upstream._head("/messages", Forwarded())
    for number in range(HEADS_MAX * 2):
        upstream._head("/messages", Forwarded("", f"b-{number}"))
    assert len(upstream._heads) <= HEADS_MAX
    with pytest.raises(ValueError, match="line break"):
        upstream._head("/messages", Forwarded("", "a\r\nx-api-key: theirs"))
