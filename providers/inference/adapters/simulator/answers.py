"""What the simulator answers: nothing in it depends on anything but the request."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from domain.pricing.usage import estimate_tokens
from providers.inference.adapters.simulator.judgements import ranking, verdicts
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
"""Most tokens of a reply, all choices together; what is longer is cut."""
OUTPUT_BYTES_MAX = 1024 * 1024
"""Most text of a reply, all choices together; what has a schema cannot be cut and is refused."""
VECTOR_NUMBERS_MAX = 2**18
"""Most numbers of all vectors of a reply together."""


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
    """A request for embeddings, images, moderations, a rerank or speech."""

    model: str
    input: Any = None
    prompt: str = ""
    n: int | None = None
    dimensions: int | None = None
    query: str = ""
    documents: list[str] = []
    top_n: int | None = None
    response_format: str = ""
    stream_format: str = ""
    images: list[dict[str, Any]] = []
    partial_images: int | None = None
    simulator: Behaviour = msgspec.field(default_factory=Behaviour)

    def answer(self, operation: Operation) -> bytes:
        """What depends on nothing but the request. Raises SchemaError."""
        if operation is Operation.IMAGES:
            return encode(
                {"created": CREATED, "data": [{"b64_json": PIXEL} for _ in range(self.n or 1)]}
            )
        if operation is Operation.MODERATIONS:
            return encode({"model": self.model, "results": verdicts(self.input)})
        if operation is Operation.RERANK:
            results = ranking(self.query, self.documents, self.top_n)
            return encode({"model": self.model, "results": results})
        inputs = self.input if isinstance(self.input, list) else [self.input]
        if inputs and isinstance(inputs[0], int):
            inputs = [inputs]  # One prompt, as its tokens.
        size = min(self.dimensions or DIMENSIONS, DIMENSIONS_MAX)
        if size * len(inputs) > VECTOR_NUMBERS_MAX:
            message = (
                f"all vectors together are more than {VECTOR_NUMBERS_MAX} numbers: ask for less"
            )
            raise SchemaError(message)
        data = [
            {"object": "embedding", "index": index, "embedding": _vector(text, size)}
            for index, text in enumerate(inputs)
        ]
        tokens = max(1, sum(estimate_tokens(str(text)) for text in inputs))
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return encode({"object": "list", "data": data, "model": self.model, "usage": usage})


def _vector(text: Any, size: int) -> list[float]:
    """Its words, each at the place of its hash: texts of nearly the same words are near."""
    made = [0.0] * size
    for word in re.findall(r"\w+", str(text).lower()) or [""]:
        made[int.from_bytes(hashlib.sha256(word.encode()).digest()[:4]) % size] += 1.0
    return made


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

    tells_errors = True
    """Whether a stream of it has chunks that tell of an error."""

    def __init__(self, request: AskedChat, body: bytes) -> None:
        """Its id depends on every byte of the body. Raises SchemaError."""
        self.request = request
        self.id = "chatcmpl-sim-" + hashlib.sha256(body).hexdigest()[:24]
        self.choices = request.n or 1
        self.cut = False
        self.tools = calls_for(request, self.id)
        self.words = [] if self.tools else [*self._words()]
        self.finish = "tool_calls" if self.tools else "length" if self.cut else "stop"
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
        most, left = OUTPUT_TOKENS_MAX // self.choices, OUTPUT_BYTES_MAX // self.choices
        words = text[:left].split(maxsplit=most)
        self.cut = len(text) > left or len(words) > most
        words = words[:most] or ["Hello."]
        length = request.simulator.output_tokens
        if length is not None:
            words = [words[index % len(words)] for index in range(min(length, most))]
            self.cut = length > most
        for index, word in enumerate(words):
            said = f" {word}" if index else word
            left -= len(said.encode())
            if left < 0:
                self.cut = True
                return
            yield said

    def _check_size(self, made: int) -> None:
        """Raise SchemaError where what a schema asked for is too much, all choices together."""
        if made * self.choices > OUTPUT_BYTES_MAX:
            message = f"all choices together are more than {OUTPUT_BYTES_MAX} bytes: ask for less"
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

    def chunks(self) -> Iterator[bytes]:
        """The reply as the events of a stream, [DONE] included, made as they are read."""
        kind, choices = "chat.completion.chunk", range(self.choices)
        for delta in self._deltas():
            for index in choices:
                choice = {"index": index, "delta": delta, "finish_reason": None}
                yield _event(self._object(kind, [choice]))
        for index in choices:
            choice = {"index": index, "delta": {}, "finish_reason": self.finish}
            yield _event(self._object(kind, [choice]))
        options = self.request.stream_options or {}
        if options.get("include_usage") and self.request.simulator.usage == "provider":
            yield _event({**self._object(kind, []), "usage": self.usage})
        yield b"data: [DONE]\n\n"

    def _deltas(self) -> Iterator[dict[str, Any]]:
        yield {"role": "assistant", "content": ""}
        for place, call in enumerate(self.tools):
            for each in fragments(call):
                yield {"tool_calls": [{"index": place, **each}]}
        for word in self.words:
            yield {"content": word}


def _event(value: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % encode(value)


def error_body(status: int) -> bytes:
    """The error object for a status that was asked for."""
    message = f"the simulator was asked to answer {status}"
    return encode({"error": {"message": message, "type": "simulated_error", "code": None}})


def invalid(message: str) -> bytes:
    """The error object for a request that cannot be answered."""
    return encode({"error": {"message": message, "type": "invalid_request_error"}})
