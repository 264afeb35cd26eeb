"""The built-in simulator: an upstream without a network, so that all can be tried without a key.

It echoes the last message's text, word by word, as a real Chat Completions reply; `embed` makes
vectors and `paint` pictures of one pixel. The request's
own `simulator` object changes what it does (the OpenAI SDK sends it with `extra_body`):

  latency_ms            before the reply begins (default 0)
  chunk_ms              between chunks of a stream (default 0)
  status                answer with this HTTP status and an error object
  retry_after           seconds, sent as Retry-After with an error status
  fail_after_chunks     break a stream off after so many chunks
  error_after_chunks    send an error chunk after so many chunks
  usage                 "provider" (default) or "none": whether usage is reported
  output_tokens         length of the reply in tokens, one word each
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from domain.pricing.usage import estimate_tokens
from providers.inference.port import (
    Operation,
    UpstreamBrokenError,
    UpstreamInterruptedError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CREATED = 1_767_225_600
"""A fixed instant (2026-01-01, Unix time), for the replies are deterministic."""
DIMENSIONS = 8
DIMENSIONS_MAX = 4_096
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
"""A PNG of one pixel, base64."""
LATENCY_MS_MAX = 600_000
OUTPUT_TOKENS_MAX = 100_000


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


class _Other(msgspec.Struct, kw_only=True):
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
            return _encode(
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
        return _encode({"object": "list", "data": data, "model": self.model, "usage": usage})


def _vector(text: Any, size: int) -> list[float]:
    digest = hashlib.sha256(str(text).encode()).digest()
    return [digest[place % len(digest)] / 255 for place in range(size)]


class _Request(msgspec.Struct, kw_only=True):
    model: str
    messages: list[dict[str, Any]]
    n: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = None
    stream_options: dict[str, Any] | None = None
    simulator: Behaviour = msgspec.field(default_factory=Behaviour)


_decode = msgspec.json.Decoder(_Request).decode
_decode_other = msgspec.json.Decoder(_Other).decode
_encode = msgspec.json.encode


def _text_of(messages: list[dict[str, Any]]) -> str:
    texts: list[str] = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            texts.append(content)
        elif isinstance(content, list):
            texts.extend(part["text"] for part in content if isinstance(part.get("text"), str))
    return "\n".join(texts)


class _Answer:
    """The deterministic reply to one request."""

    def __init__(self, request: _Request, body: bytes) -> None:
        self.request = request
        self.id = "chatcmpl-sim-" + hashlib.sha256(body).hexdigest()[:24]
        asked = request.max_completion_tokens or request.max_tokens
        words = _text_of(request.messages[-1:]).split() or ["Hello."]
        length = request.simulator.output_tokens
        if length is not None:
            length = min(length, OUTPUT_TOKENS_MAX)
            words = [words[index % len(words)] for index in range(length)]
        self.finish = "stop"
        if asked is not None and asked < len(words):
            words, self.finish = words[:asked], "length"
        self.words = [word if index == 0 else f" {word}" for index, word in enumerate(words)]
        self.tool = self._tool()
        self.choices = request.n or 1
        prompt = max(1, estimate_tokens(_text_of(request.messages)))
        completion = max(1, len(self.words)) * self.choices
        self.usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }

    def _tool(self) -> dict[str, Any] | None:
        """Call the first tool with empty arguments when the caller requires a tool."""
        choice = self.request.tool_choice
        if not self.request.tools or not (choice == "required" or isinstance(choice, dict)):
            return None
        name = self.request.tools[0].get("function", {}).get("name", "tool")
        self.finish = "tool_calls"
        return {
            "id": f"call_{self.id[-8:]}",
            "type": "function",
            "function": {"name": name, "arguments": "{}"},
        }

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
        if self.tool:
            message = {"role": "assistant", "content": None, "tool_calls": [self.tool]}
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": self.finish}
            for index in range(self.choices)
        ]
        reply = self._object("chat.completion", choices)
        if self.request.simulator.usage == "provider":
            reply["usage"] = self.usage
        return _encode(reply)

    def chunks(self) -> list[bytes]:
        """The reply as the events of a stream, [DONE] included."""
        deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
        if self.tool:
            deltas.append({"tool_calls": [{"index": 0, **self.tool}]})
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
        return [b"data: %b\n\n" % _encode(each) for each in objects] + [b"data: [DONE]\n\n"]


def _error(status: int) -> bytes:
    message = f"the simulator was asked to answer {status}"
    return _encode({"error": {"message": message, "type": "simulated_error", "code": None}})


class SimulatorReply:
    """A reply made here; keeps the port's promises."""

    def __init__(
        self, status: int, pieces: AsyncIterator[bytes], headers: dict[bytes, bytes] | None = None
    ) -> None:
        """`pieces` makes the body; it may raise UpstreamError."""
        self.status = status
        self.headers = {b"content-type": b"application/json", **(headers or {})}
        self._pieces = pieces
        self._interrupted = asyncio.Event()

    @property
    def report(self) -> None:
        """The body says it all."""

    async def piece(self) -> bytes:
        """The next piece, or an interruption, whichever comes first."""
        following = asyncio.ensure_future(anext(self._pieces, b""))
        stopped = asyncio.ensure_future(self._interrupted.wait())
        try:
            await asyncio.wait({following, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if self._interrupted.is_set():
                message = "interrupted"
                raise UpstreamInterruptedError(message)
            return following.result()
        finally:
            following.cancel()
            stopped.cancel()

    async def whole(self) -> bytes:
        """All pieces."""
        parts: list[bytes] = []
        while piece := await self.piece():
            parts.append(piece)
        return b"".join(parts)

    def interrupt(self) -> None:
        """Make the pending wait raise."""
        self._interrupted.set()

    def release(self) -> None:
        """Nothing to keep."""


class Simulator:
    """The upstream itself."""

    async def send(
        self, operation: Operation, body: bytes, *, stream: bool = False
    ) -> SimulatorReply:
        """Answer a body that the gateway has checked already."""
        chat = operation is Operation.CHAT
        try:
            request = _decode(body) if chat else _decode_other(body)
        except msgspec.DecodeError as error:
            reply = _encode({"error": {"message": str(error), "type": "invalid_request_error"}})
            return SimulatorReply(400, _once(reply, 0))
        behaviour = request.simulator
        wait_s = min(max(behaviour.latency_ms, 0), LATENCY_MS_MAX) / 1_000
        if behaviour.status != 200:
            after = behaviour.retry_after
            headers = {} if after is None else {b"retry-after": str(after).encode()}
            return SimulatorReply(
                behaviour.status, _once(_error(behaviour.status), wait_s), headers
            )
        if isinstance(request, _Other):
            return SimulatorReply(200, _once(request.answer(operation), wait_s))
        answer = _Answer(request, body)
        if not stream:
            return SimulatorReply(200, _once(answer.whole(), wait_s))
        return SimulatorReply(200, _stream(answer, wait_s), {b"content-type": b"text/event-stream"})

    async def close(self) -> None:
        """Nothing to close."""


async def _once(body: bytes, wait_s: float) -> AsyncIterator[bytes]:
    if wait_s:
        await asyncio.sleep(wait_s)
    yield body


async def _stream(answer: _Answer, wait_s: float) -> AsyncIterator[bytes]:
    behaviour = answer.request.simulator
    if wait_s:
        await asyncio.sleep(wait_s)
    for index, chunk in enumerate(answer.chunks()):
        if index == behaviour.fail_after_chunks:
            message = "the simulator was asked to break off"
            raise UpstreamBrokenError(message)
        if index == behaviour.error_after_chunks:
            yield b"data: %b\n\n" % _error(500)
            return
        yield chunk
        if behaviour.chunk_ms:
            await asyncio.sleep(min(behaviour.chunk_ms, LATENCY_MS_MAX) / 1_000)
