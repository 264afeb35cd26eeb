"""OpenAI's form into Anthropic's and Gemini's, and back: what each reply and request becomes."""

from __future__ import annotations

from typing import Any

import pytest

from providers.inference.adapters.anthropic import AnthropicTranslator
from providers.inference.adapters.anthropic import usage_of as anthropic_usage
from providers.inference.adapters.anthropic_request import JSON_TOOL, to_anthropic
from providers.inference.adapters.gemini import GeminiTranslator
from providers.inference.adapters.gemini import usage_of as gemini_usage
from providers.inference.adapters.gemini_media import embeddings_request, images_request
from providers.inference.adapters.gemini_request import to_gemini
from providers.inference.port import UnsupportedError, UpstreamBrokenError

PNG = "data:image/png;base64,aGk="
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
CALLED = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "See"},
            {"type": "image_url", "image_url": {"url": PNG}},
        ],
    },
    {"role": "assistant", "content": None, "tool_calls": [CALLED]},
    {"role": "tool", "tool_call_id": "c1", "content": '{"y": 2}'},
    {"role": "user", "content": "And?"},
]


def ask(**more: Any) -> dict[str, Any]:
    """A body with the conversation."""
    return {"model": "m", "messages": TALK, **more}


def test_a_conversation_for_anthropic() -> None:
    """System apart, images, calls and results as blocks, equal roles joined (rule: translation)."""
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


def test_thinking_goes_back_with_its_signature() -> None:
    """A reply's `reasoning_details` become a block of the next request (rule: translation)."""
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
    """Rather than answered in another form (rule: refuse clearly)."""
    with pytest.raises(UnsupportedError):
        to_anthropic({**ask(), **more})


def test_a_conversation_for_gemini() -> None:
    """System apart, parts with inline data, calls and results by name (rule: translation)."""
    made = to_gemini(ask(tools=[TOOL], max_tokens=9, stop=["a"], temperature=0.5, n=2, seed=3))
    assert made["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert [turn["role"] for turn in made["contents"]] == ["user", "model", "user"]
    assert made["contents"][0]["parts"][1] == {
        "inlineData": {"mimeType": "image/png", "data": "aGk="}
    }
    assert made["contents"][1]["parts"] == [{"functionCall": {"name": "f", "args": {"x": 1}}}]
    answer = made["contents"][2]["parts"][0]["functionResponse"]
    assert answer == {"name": "f", "response": {"y": 2}}
    assert made["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == SCHEMA
    assert made["generationConfig"] == {
        "temperature": 0.5,
        "seed": 3,
        "candidateCount": 2,
        "maxOutputTokens": 9,
        "stopSequences": ["a"],
    }


def test_a_thought_signature_goes_back_with_its_call() -> None:
    """As Google's own OpenAI endpoint carries it (rule: translation)."""
    part = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "S"}
    candidate = {"content": {"parts": [part]}, "finishReason": "STOP"}
    whole = GeminiTranslator("m", 1).whole({"responseId": "r", "candidates": [candidate]})
    choice = whole["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    again = to_gemini({"model": "m", "messages": [choice["message"]]})
    assert again["contents"][0]["parts"][0]["thoughtSignature"] == "S"


def test_usage_is_brought_into_openais_form() -> None:
    """Anthropic's cached tokens lie beside the input, Gemini's thoughts beside the candidates
    (money rule 6, rule: translation).
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
    """No message_stop, no finishReason: a connection's clean end is no end (money rule 4)."""
    for translator in (AnthropicTranslator("m", 1, json_tool=False), GeminiTranslator("m", 1)):
        with pytest.raises(UpstreamBrokenError):
            list(translator.end())


def test_a_blocked_prompt_is_an_error_and_made_nothing() -> None:
    """Gemini answers 200 without candidates; we tell why (money rule 4, rule: refuse clearly)."""
    feedback = {"promptFeedback": {"blockReason": "SAFETY"}}
    whole = GeminiTranslator("m", 1).whole(feedback)
    assert whole["error"]["code"] == 400
    assert "SAFETY" in whole["error"]["message"]
    assert list(GeminiTranslator("m", 1).event(feedback)) == [whole]


def test_media_for_vertex() -> None:
    """Embeddings by predict or embedContent, images by predict with a ratio (rule: translation)."""
    made = embeddings_request({"model": "text-embedding-005", "input": ["a", "b"], "dimensions": 9})
    assert (made.method, made.body["instances"]) == (
        "predict",
        [{"content": "a"}, {"content": "b"}],
    )
    assert made.body["parameters"] == {"outputDimensionality": 9}
    single = embeddings_request({"model": "gemini-embedding-2", "input": "a"})
    assert single.method == "embedContent"
    for wrong in ([1, 2], [[1]]):
        with pytest.raises(UnsupportedError):
            embeddings_request({"model": "text-embedding-005", "input": wrong})
    image = images_request({"model": "i", "prompt": "p", "n": 2, "size": "1536x1024"}, 1)
    assert image.body["parameters"] == {"sampleCount": 2, "aspectRatio": "3:2"}
    made_image = image.translator.whole({"predictions": [{"bytesBase64Encoded": "aGk="}]})
    assert made_image == {"created": 1, "data": [{"b64_json": "aGk="}]}
