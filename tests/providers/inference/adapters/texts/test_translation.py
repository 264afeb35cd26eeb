"""Completions in chat's form and back, member by member."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.inference.adapters.texts.of_chat import TextChunks, text_completion
from providers.inference.adapters.texts.to_chat import FOREIGN, to_chat
from providers.inference.port import UnsupportedError


def told(text: str | None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of chat."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason, **more}
    return {"id": "x", "object": "chat.completion.chunk", "choices": [choice]}


def test_the_prompt_is_the_users_message() -> None:
    """Alone or alone in a list; what is null is not sent (rule: translation)."""
    for prompt in ("Say hi", ["Say hi"]):
        body = {"model": "m", "prompt": prompt, "stop": None, "best_of": 2, "n": 2, "top_k": 3}
        made = {"model": "m", "n": 2, "top_k": 3}
        messages = [{"role": "user", "content": "Say hi"}]
        assert to_chat(body) == {**made, "messages": messages}


@pytest.mark.parametrize(("asked", "top"), [(0, None), (3, 3)])
def test_log_probabilities_are_asked_for_by_two_members(asked: int, top: int | None) -> None:
    """With 0 only those of the text itself (rule: translation)."""
    made = to_chat({"prompt": "x", "logprobs": asked})
    assert (made["logprobs"], made.get("top_logprobs")) == (True, top)


@pytest.mark.parametrize("name", [*FOREIGN, "suffix", "echo"])
def test_what_has_no_counterpart_is_named(name: str) -> None:
    """Where it says something (P10, rule: refuse clearly)."""
    with pytest.raises(UnsupportedError, match=name):
        to_chat({"prompt": "x", name: ["y"]})
    assert to_chat({"prompt": "x", name: None}) == to_chat({"prompt": "x"})


@given(st.lists(st.text(max_size=8), max_size=12))
def test_offsets_count_from_the_start_of_the_prompt(texts: list[str]) -> None:
    """Each where the one before ended, in characters (rule: translation)."""
    chunks, at = TextChunks(5), 5
    for text in texts:
        token = {"token": text, "logprob": -1.0}
        made = chunks.chunk(told(text, logprobs={"content": [token]}))
        if not text:
            assert made is None
            continue
        assert made is not None
        assert made["choices"][0]["logprobs"]["text_offset"] == [at]
        assert made["choices"][0]["text"] == text
        at += len(text)


def test_a_chunk_that_tells_nothing_is_none() -> None:
    """A role, reasoning; but a finish reason and usage are told (rule: translation)."""
    chunks = TextChunks(0)
    assert chunks.chunk(told(None)) is None
    assert chunks.chunk({**told("x"), "choices": []}) is None
    ended = chunks.chunk(told(None, "tool_calls"))
    assert ended is not None
    assert ended["choices"] == [{"text": "", "index": 0, "logprobs": None, "finish_reason": "stop"}]
    used = chunks.chunk({"id": "x", "object": "o", "choices": [], "usage": {"total_tokens": 1}})
    assert used == {
        "id": "x",
        "object": "text_completion",
        "choices": [],
        "usage": {"total_tokens": 1},
    }


def test_a_refusal_is_the_text() -> None:
    """It is what the model said (rule: translation)."""
    message = {"role": "assistant", "content": None, "refusal": "No."}
    reply = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    assert text_completion(reply, 0)["choices"][0]["text"] == "No."
