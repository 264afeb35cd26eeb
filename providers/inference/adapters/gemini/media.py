"""Embeddings and images at Vertex AI: what is sent, and how its replies read.

Sources: Vertex AI's REST reference of `predict` (text embeddings, Imagen) and of `embedContent`
(gemini-embedding-2 and later, which serve one input a request).
"""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, Any, NamedTuple

from providers.inference.adapters.translation import Translator, text_of
from providers.inference.port import UnsupportedError, UpstreamBrokenError

if TYPE_CHECKING:
    from collections.abc import Iterable

EMBED_CONTENT = "gemini-embedding-2"
"""Models of this name take `embedContent`; the others take `predict`."""


class Translation(NamedTuple):
    """The method to call, its body, and how to read the reply."""

    method: str
    body: dict[str, Any]
    translator: Translator


class _WholeOnly:
    """A reply that never streams."""

    @property
    def report(self) -> None:
        """The one reply says it all."""

    def event(self, _: dict[str, Any]) -> Iterable[dict[str, Any]]:
        message = "the reply is a stream"
        raise UpstreamBrokenError(message)

    def end(self) -> Iterable[dict[str, Any]]:
        return ()


class EmbeddingsTranslator(_WholeOnly):
    """Vectors in OpenAI's list."""

    def __init__(self, model: str) -> None:
        """Of a model."""
        self._model = model

    def whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """Both forms: predictions with statistics, or embeddings with usageMetadata."""
        if body.get("error"):
            return {"error": body["error"]}
        single = body.get("embedding")
        several = [single] if isinstance(single, dict) else body.get("embeddings")
        if several:
            vectors = [each.get("values") for each in several]
            tokens = (body.get("usageMetadata") or {}).get("promptTokenCount") or 0
        else:
            found = [each.get("embeddings") or {} for each in body.get("predictions") or ()]
            vectors = [each.get("values") for each in found]
            tokens = sum((each.get("statistics") or {}).get("token_count") or 0 for each in found)
        if not vectors or None in vectors:
            message = "the reply has no embedding"
            raise UpstreamBrokenError(message)
        data = [
            {"object": "embedding", "index": index, "embedding": vector}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": int(tokens), "total_tokens": int(tokens)}
        return {"object": "list", "data": data, "model": self._model, "usage": usage}


class ImagesTranslator(_WholeOnly):
    """Imagen's predictions in OpenAI's list."""

    def __init__(self, created: int) -> None:
        """Unix time, seconds."""
        self._created = created

    def whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """Base64 images; those that were filtered have none."""
        if body.get("error"):
            return {"error": body["error"]}
        data = [
            {"b64_json": each["bytesBase64Encoded"]}
            for each in body.get("predictions") or ()
            if each.get("bytesBase64Encoded")
        ]
        if not data:
            message = "the reply has no image"
            raise UpstreamBrokenError(message)
        return {"created": self._created, "data": data}


def embeddings_request(asked: dict[str, Any]) -> Translation:
    """The request for an embeddings body; raises UnsupportedError."""
    given = asked.get("input")
    inputs = given if isinstance(given, list) else [given]
    if not all(isinstance(each, str) for each in inputs):
        message = "input: Vertex AI embeds texts, not tokens"
        raise UnsupportedError(message)
    model = asked["model"]
    size = asked.get("dimensions")
    if model.startswith(EMBED_CONTENT):
        if len(inputs) != 1:
            message = "input: this model embeds one text a request"
            raise UnsupportedError(message)
        body: dict[str, Any] = {"content": {"parts": [{"text": inputs[0]}]}}
        if size:
            body["outputDimensionality"] = size
        return Translation("embedContent", body, EmbeddingsTranslator(model))
    body = {"instances": [{"content": each} for each in inputs]}
    if size:
        body["parameters"] = {"outputDimensionality": size}
    return Translation("predict", body, EmbeddingsTranslator(model))


def images_request(asked: dict[str, Any], created: int) -> Translation:
    """The request for an images body."""
    parameters: dict[str, Any] = {"sampleCount": asked.get("n") or 1}
    width, _, height = str(asked.get("size") or "").partition("x")
    if width.isdecimal() and height.isdecimal() and int(width) and int(height):
        divisor = gcd(int(width), int(height))
        parameters["aspectRatio"] = f"{int(width) // divisor}:{int(height) // divisor}"
    body = {"instances": [{"prompt": text_of(asked.get("prompt"))}], "parameters": parameters}
    return Translation("predict", body, ImagesTranslator(created))
