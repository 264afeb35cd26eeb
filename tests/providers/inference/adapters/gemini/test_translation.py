"""OpenAI's form into Gemini's and Vertex AI's, and back."""

from __future__ import annotations

import pytest

from providers.inference.adapters.gemini.media import embeddings_request, images_request
from providers.inference.adapters.gemini.reply import GeminiTranslator
from providers.inference.adapters.gemini.request import to_gemini
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
