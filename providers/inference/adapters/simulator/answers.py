"""What the simulator answers: nothing in it depends on anything but the request."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from domain.pricing.usage import estimate_tokens
from providers.inference.adapters.simulator.keywords import SchemaError
from providers.inference.adapters.simulator.structure import (
    calls_for,
    fragments,
    pieces,
    structured_reply,
    text_of,
)
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Iterator

CREATED = 1_767_225_600
"""A fixed instant (2026-01-01, Unix time), for the replies are deterministic."""
DIMENSIONS = 8
DIMENSIONS_MAX = 4_096
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
"""A PNG of one pixel, base64."""
OUTPUT_TOKENS_MAX = 100_000
STRUCTURED_BYTES_MAX = 1024 * 1024


class Behaviour(msgspec.Struct, kw_only=True):
    """What the request asks the simulator to do."""

    latency_ms: int = 0
    chunk_ms: int = 0
    status: int = 200
    retry_after: int | None = None
    fail_after_chunks: int | None = None
    error_after_chunks: int | None = None
    usage: Literal["provider", "none"] = "provider"
    output_tokens: int | None = None


class AskedMedia(msgspec.Struct, kw_only=True):
    """An embeddings or images request."""

    model: str
    input: Any = None
    prompt: str = ""
    n: int | None = None
    dimensions: int | None = None
    simulator: Behaviour = msgspec.field(default_factory=Behaviour)

    def answer(self, operation: Operation) -> bytes:
        """Vectors and pictures that depend on nothing but the request."""
        if operation is Operation.IMAGES:
            return encode(
                {"created": CREATED, "data": [{"b64_json": PIXEL} for _ in range(self.n or 1)]}
            )
        inputs = self.input if isinstance(self.input, list) else [self.input]
        size = min(self.dimensions or DIMENSIONS, DIMENSIONS_MAX)
        data = [
            {"object": "embedding", "index": index, "embedding": _vector(text, size)}
            for index, text in enumerate(inputs)
        ]
        tokens = max(1, sum(estimate_tokens(str(text)) for text in inputs))
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return encode({"object": "list", "data": data, "model": self.model, "usage": usage})


def _vector(text: Any, size: int) -> list[float]:
    digest = hashlib.sha256(str(text).encode()).digest()
    return [digest[place % len(digest)] / 255 for place in range(size)]


class AskedChat(msgspec.Struct, kw_only=True):
    """A chat request, as far as the answer depends on it."""

    model: str
    messages: list[dict[str, Any]]
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    response_format: Any = None
    stream_options: dict[str, Any] | None = None
    simulator: Behaviour = msgspec.field(default_factory=Behaviour)


decode_chat = msgspec.json.Decoder(AskedChat).decode
decode_media = msgspec.json.Decoder(AskedMedia).decode
encode = msgspec.json.encode


class Echo:
    """The deterministic reply to one request."""

    def __init__(self, request: AskedChat, body: bytes) -> None:
        """Its id depends on every byte of the body. Raises SchemaError."""
        self.request = request
        self.id = "chatcmpl-sim-" + hashlib.sha256(body).hexdigest()[:24]
        self.choices = request.n or 1
        self.tools = calls_for(request, self.id)
        self.words = [] if self.tools else [*self._words()]
        self.finish = "tool_calls" if self.tools else "stop"
        asked = request.max_completion_tokens or request.max_tokens
        if asked is not None and asked < len(self.words):
            self.words, self.finish = self.words[:asked], "length"
        self._check_size(sum(len(encode(each)) for each in self.tools))
        prompt = max(1, estimate_tokens(text_of(request.messages)))
        made = sum(len(fragments(each)) for each in self.tools) or len(self.words)
        completion = max(1, made) * self.choices
        self.usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }

    def _words(self) -> Iterator[str]:
        """What is said, a token each: the last message, or what the response format asks for."""
        request = self.request
        text = text_of(request.messages[-1:])
        structured = structured_reply(request.response_format, text)
        if structured is not None:
            self._check_size(len(structured))
            yield from pieces(structured)
            return
        words = text.split() or ["Hello."]
        length = request.simulator.output_tokens
        if length is not None:
            length = min(length, OUTPUT_TOKENS_MAX)
            words = [words[index % len(words)] for index in range(length)]
        for index, word in enumerate(words):
            yield f" {word}" if index else word

    def _check_size(self, made: int) -> None:
        """Raise SchemaError where what a schema asked for is too much, all choices together."""
        if made * self.choices > STRUCTURED_BYTES_MAX:
            message = (
                f"all choices together are more than {STRUCTURED_BYTES_MAX} bytes: ask for less"
            )
            raise SchemaError(message)

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": CREATED,
            "model": self.request.model,
            "choices": choices,
        }

    def whole(self) -> bytes:
        """The reply as one JSON body."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self.words)}
        if self.tools:
            message = {"role": "assistant", "content": None, "tool_calls": self.tools}
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": self.finish}
            for index in range(self.choices)
        ]
        reply = self._object("chat.completion", choices)
        if self.request.simulator.usage == "provider":
            reply["usage"] = self.usage
        return encode(reply)

    def chunks(self) -> list[bytes]:
        """The reply as the events of a stream, [DONE] included."""
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if self.tools:
            for place, call in enumerate(self.tools):
                deltas += [{"tool_calls": [{"index": place, **each}]} for each in fragments(call)]
        else:
            deltas += [{"content": word} for word in self.words]
        objects = [
            self._object(
                "chat.completion.chunk", [{"index": index, "delta": delta, "finish_reason": None}]
            )
            for delta in deltas
            for index in range(self.choices)
        ]
        objects += [
            self._object(
                "chat.completion.chunk",
                [{"index": index, "delta": {}, "finish_reason": self.finish}],
            )
            for index in range(self.choices)
        ]
        options = self.request.stream_options or {}
        if options.get("include_usage") and self.request.simulator.usage == "provider":
            objects.append({**self._object("chat.completion.chunk", []), "usage": self.usage})
        return [b"data: %b\n\n" % encode(each) for each in objects] + [b"data: [DONE]\n\n"]


def error_body(status: int) -> bytes:
    """The error object for a status that was asked for."""
    message = f"the simulator was asked to answer {status}"
    return encode({"error": {"message": message, "type": "simulated_error", "code": None}})


def invalid(message: str) -> bytes:
    """The error object for a request that cannot be answered."""
    return encode({"error": {"message": message, "type": "invalid_request_error"}})
