"""What Anthropic's and Gemini's translations do alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from providers.inference.adapters.anthropic.reply import AnthropicTranslator
from providers.inference.adapters.anthropic.reply import usage_of as anthropic_usage
from providers.inference.adapters.anthropic.request import JSON_TOOL, to_anthropic
from providers.inference.adapters.gemini.reply import GeminiTranslator
from providers.inference.adapters.gemini.reply import usage_of as gemini_usage
from providers.inference.adapters.gemini.request import to_gemini
from providers.inference.adapters.translation import TRIED_MAX, translated
from providers.inference.port import UnsupportedError, UpstreamBrokenError
from tests.providers.inference.adapters.bodies import SCHEMA, TOOL, ask

if TYPE_CHECKING:
    from collections.abc import Callable

CHOICES: list[tuple[Any, Any, Any]] = [
    ("auto", {"type": "auto"}, {"mode": "AUTO"}),
    ("none", {"type": "none"}, {"mode": "NONE"}),
    ("required", {"type": "any"}, {"mode": "ANY"}),
    (
        {"type": "function", "function": {"name": "f"}},
        {"type": "tool", "name": "f"},
        {"mode": "ANY", "allowedFunctionNames": ["f"]},
    ),
]


@pytest.mark.parametrize(("choice", "anthropic", "gemini"), CHOICES)
def test_tool_choice(choice: Any, anthropic: Any, gemini: Any) -> None:
    """Each line: OpenAI's, Anthropic's, Gemini's (rule: translation)."""
    body = ask(tools=[TOOL], tool_choice=choice)
    assert to_anthropic(body)["tool_choice"] == anthropic
    assert to_gemini(body)["toolConfig"]["functionCallingConfig"] == gemini


def test_json_by_a_schema_is_the_input_of_a_tool() -> None:
    """Forced, and read back as the answer's content, whole and streamed (rule: translation)."""
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
    made = to_anthropic(ask(response_format=wanted))
    assert made["tool_choice"] == {"type": "tool", "name": JSON_TOOL}
    translator = AnthropicTranslator("m", 1, json_tool=True)
    block = {"type": "tool_use", "id": "t", "name": JSON_TOOL, "input": {"x": 1}}
    whole = translator.whole({"id": "i", "content": [block], "stop_reason": "tool_use"})
    choice = whole["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ('{"x":1}', "stop")
    assert "tool_calls" not in choice["message"]
    start = {"type": "content_block_start", "index": 0, "content_block": {**block, "input": {}}}
    delta = {"type": "input_json_delta", "partial_json": '{"x"'}
    events = [start, {"type": "content_block_delta", "index": 0, "delta": delta}]
    chunks = [chunk for event in events for chunk in translator.event(event)]
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [{"content": '{"x"'}]
    assert to_gemini(ask(response_format=wanted))["generationConfig"] == {
        "responseMimeType": "application/json",
        "responseJsonSchema": SCHEMA,
    }


def test_reasoning_is_a_budget() -> None:
    """Never above what the call may make, never with a forced tool (rule: translation)."""
    made = to_anthropic(ask(reasoning_effort="low", max_tokens=5_000, temperature=0.2))
    assert made["thinking"] == {"type": "enabled", "budget_tokens": 1_024}
    assert "temperature" not in made
    assert (
        to_anthropic(ask(reasoning_effort="high", max_tokens=3_000))["thinking"]["budget_tokens"]
        == 2_999
    )
    assert "thinking" not in to_anthropic(ask(reasoning_effort="high", max_tokens=500))
    forced = ask(reasoning_effort="low", max_tokens=9_000, tools=[TOOL], tool_choice="required")
    assert "thinking" not in to_anthropic(forced)
    config = to_gemini(ask(reasoning={"max_tokens": 77}))["generationConfig"]["thinkingConfig"]
    assert config == {"thinkingBudget": 77, "includeThoughts": True}
    assert to_gemini(ask(reasoning_effort="none"))["generationConfig"]["thinkingConfig"] == {
        "thinkingBudget": 0,
        "includeThoughts": False,
    }


def test_usage_is_brought_into_openais_form() -> None:
    """Anthropic's cached tokens lie beside the input, Gemini's thoughts beside the candidates
    (money rule 6).
    """
    found = anthropic_usage(
        {
            "input_tokens": 5,
            "cache_read_input_tokens": 7,
            "cache_creation_input_tokens": 3,
            "output_tokens": 2,
        }
    )
    assert (found["prompt_tokens"], found["total_tokens"]) == (15, 17)
    assert found["prompt_tokens_details"] == {"cached_tokens": 7, "cache_write_tokens": 3}
    gemini = gemini_usage(
        {
            "promptTokenCount": 10,
            "toolUsePromptTokenCount": 4,
            "candidatesTokenCount": 6,
            "thoughtsTokenCount": 5,
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 8}],
        }
    )
    assert gemini is not None
    assert (gemini["prompt_tokens"], gemini["completion_tokens"]) == (14, 11)
    assert gemini["prompt_tokens_details"]["audio_tokens"] == 8
    assert gemini_usage({"trafficType": "ON_DEMAND"}) is None


def test_a_stream_that_was_cut_short_is_broken() -> None:
    """No message_stop, no finishReason: the provider's clean end of the connection is no end
    (money rule 4).
    """
    for translator in (AnthropicTranslator("m", 1, json_tool=False), GeminiTranslator("m", 1)):
        with pytest.raises(UpstreamBrokenError):
            list(translator.end())


TO: list[Callable[[dict[str, Any]], dict[str, Any]]] = [to_anthropic, to_gemini]
ASKS: dict[str, Any] = {
    "model": "m",
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "x"}],
}


@pytest.mark.parametrize("translate", TO)
@pytest.mark.parametrize("role", ["wizard", "", None, 7, ["user"], {"a": 1}, "x" * 10_000])
def test_a_role_that_nobody_has_is_refused(translate: Any, role: Any) -> None:
    """Its words would be taken for the caller's own (rule: translation, rule: refuse clearly)."""
    body = {**ASKS, "messages": [*ASKS["messages"], {"role": role, "content": "x"}]}
    with pytest.raises(UnsupportedError, match=r"^messages: a message of the role") as refused:
        translated(translate, body)
    assert len(str(refused.value)) < 100


@pytest.mark.parametrize("translate", TO)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("messages", [{"role": "assistant", "tool_calls": 7}]),
        ("messages", [{"role": "user", "content": [{"type": "image_url", "image_url": 7}]}]),
        ("messages", [7]),
        ("tools", [7]),
    ],
)
def test_a_member_of_an_odd_shape_is_named(translate: Any, name: str, value: Any) -> None:
    """Whatever stands beside it (rule: refuse clearly)."""
    body = {**{f"x{number}": number for number in range(20)}, **ASKS, "user": "u", name: value}
    with pytest.raises(UnsupportedError, match=rf"^{name}: "):
        translated(translate, body)


def test_what_is_odd_together_alone_is_told_without_a_name() -> None:
    """And a body of members without end is not tried without end (rule: bounded)."""
    tries = 0

    def never(body: dict[str, Any]) -> dict[str, Any]:
        nonlocal tries
        tries += 1
        if len(body) > 2:
            raise TypeError
        return body

    with pytest.raises(UnsupportedError, match=r"^a member of the body"):
        translated(never, {f"x{number}": number for number in range(10_000)})
    assert tries == 1 + TRIED_MAX
