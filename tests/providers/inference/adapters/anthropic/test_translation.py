"""OpenAI's form into Anthropic's, and back."""

from __future__ import annotations

from typing import Any

import pytest

from providers.inference.adapters.anthropic.reply import AnthropicTranslator
from providers.inference.adapters.anthropic.request import to_anthropic
from providers.inference.port import UnsupportedError
from tests.providers.inference.adapters.bodies import SCHEMA, TOOL, ask


def test_a_conversation_for_anthropic() -> None:
    """System apart, images as sources, calls and results as blocks, turns of one role joined
    (rule: translation).
    """
    made = to_anthropic(ask(tools=[TOOL], max_tokens=99, stop="END", temperature=1.7, user="u"))
    assert made["system"] == [{"type": "text", "text": "Be brief."}]
    assert [turn["role"] for turn in made["messages"]] == ["user", "assistant", "user"]
    image = made["messages"][0]["content"][1]
    assert image["source"] == {"type": "base64", "media_type": "image/png", "data": "aGk="}
    assert made["messages"][1]["content"] == [
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}}
    ]
    result, said = made["messages"][2]["content"]
    assert (result["type"], result["tool_use_id"], said["text"]) == ("tool_result", "c1", "And?")
    assert made["tools"] == [{"name": "f", "description": "d", "input_schema": SCHEMA}]
    assert (made["max_tokens"], made["stop_sequences"], made["temperature"]) == (99, ["END"], 1)
    assert made["metadata"] == {"user_id": "u"}


def test_thinking_goes_back_with_its_signature() -> None:
    """What a reply carries in `reasoning_details` is a thinking block of the next request
    (rule: translation).
    """
    translator = AnthropicTranslator("m", 1, json_tool=False)
    block = {"type": "thinking", "thinking": "Hm.", "signature": "S"}
    whole = translator.whole({"content": [block, {"type": "text", "text": "Yes"}]})
    message = whole["choices"][0]["message"]
    assert message["reasoning_content"] == "Hm."
    again = to_anthropic({"model": "m", "messages": [{"role": "user", "content": "?"}, message]})
    assert again["messages"][1]["content"] == [block, {"type": "text", "text": "Yes"}]


UNSUPPORTED = [
    {"n": 2},
    {"logprobs": True},
    {"modalities": ["text", "audio"]},
    {"messages": [{"role": "user", "content": [{"type": "video_url"}]}]},
]


@pytest.mark.parametrize("more", UNSUPPORTED)
def test_what_anthropic_cannot_do_is_said(more: dict[str, Any]) -> None:
    """Rather than answered in another form (P10)."""
    with pytest.raises(UnsupportedError):
        to_anthropic({**ask(), **more})
