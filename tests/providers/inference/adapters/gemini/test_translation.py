"""OpenAI's form into Gemini's and Vertex AI's, and back."""

from __future__ import annotations

from typing import Any

import pytest

from providers.inference.adapters.gemini.media import embeddings_request, images_request
from providers.inference.adapters.gemini.reply import GeminiTranslator
from providers.inference.adapters.gemini.request import to_gemini
from providers.inference.adapters.gemini.turns import UNSIGNED
from providers.inference.port import UnsupportedError
from tests.providers.inference.adapters.bodies import SCHEMA, TOOL, ask


def test_a_conversation_for_gemini() -> None:
    """System apart, parts with inline data, calls and results by name, settings renamed
    (rule: translation).
    """
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


def _signatures(model: str, *messages: dict[str, Any]) -> list[str | None]:
    """Those of all calls of functions that a model is sent."""
    made = to_gemini({"model": model, "messages": [HI, *messages]})
    parts = [part for turn in made["contents"] for part in turn["parts"]]
    return [part.get("thoughtSignature") for part in parts if "functionCall" in part]


HI = {"role": "user", "content": "Hi"}


def _calls(*ids: str, **more: Any) -> dict[str, Any]:
    calls = [
        {"id": each, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for each in ids
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


def _kept(*pairs: tuple[str, str], form: str = "google-gemini-v1") -> dict[str, Any]:
    about = {"type": "reasoning.encrypted", "format": form}
    return {"reasoning_details": [{**about, "id": call, "data": data} for call, data in pairs]}


RESULT = {"role": "tool", "tool_call_id": "a", "content": "4"}


def test_signatures_come_back_in_details() -> None:
    """Each to its call by the call's id, as callers of other APIs keep them (rule: translation)."""
    candidate = {
        "content": {
            "parts": [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "S"}] * 2
        },
        "finishReason": "STOP",
    }
    message = GeminiTranslator("m", 1).whole({"responseId": "r", "candidates": [candidate]})[
        "choices"
    ][0]["message"]
    for call in message["tool_calls"]:
        del call["extra_content"]
    assert [each["data"] for each in message["reasoning_details"]] == ["S", "S"]
    assert _signatures("gemini-3-pro", message) == ["S", "S"]
    assert _signatures("gemini-3-pro", _calls("a", "b", **_kept(("b", "T"))), RESULT) == [
        UNSIGNED,
        "T",
    ]


def test_a_lost_signature_is_marked_where_it_is_wanted() -> None:
    """The first call of each step of the present turn, from Gemini 3 on (rule: translation)."""
    step = (_calls("a", "b"), RESULT)
    assert _signatures("gemini-3-flash", *step, *step) == [UNSIGNED, None, UNSIGNED, None]
    assert _signatures("gemini-3.1-pro", *step, HI, *step) == [None, None, UNSIGNED, None]
    assert _signatures("gemini-2.5-pro", *step) == [None, None]
    assert _signatures("my-own-model", *step) == [None, None]


@pytest.mark.parametrize(
    "details",
    [
        _kept(("a", "S"), form="anthropic-claude-v1"),
        {"reasoning_details": "S"},
        {"reasoning_details": [None, 1, {"format": "google-gemini-v1"}]},
        {"reasoning_details": [{"format": "google-gemini-v1", "id": ["a"], "data": "S"}]},
        {"reasoning_details": [{"format": "google-gemini-v1", "id": "a", "data": 1}]},
    ],
)
def test_details_of_others_sign_nothing(details: dict[str, Any]) -> None:
    """What a caller sends for a signature is looked at first (rule: refuse clearly)."""
    assert _signatures("gemini-2.5-pro", _calls("a", **details)) == [None]


def test_a_blocked_prompt_is_an_error_and_made_nothing() -> None:
    """Gemini answers 200 without candidates; the caller is told why (money rule 4)."""
    feedback = {"promptFeedback": {"blockReason": "SAFETY"}}
    whole = GeminiTranslator("m", 1).whole(feedback)
    assert whole["error"]["code"] == 400
    assert "SAFETY" in whole["error"]["message"]
    assert list(GeminiTranslator("m", 1).event(feedback)) == [whole]


def test_media_for_vertex() -> None:
    """Embeddings by predict or embedContent, images by predict with an aspect ratio
    (rule: translation).
    """
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
