"""Chat Completions: a whole completion as chunks, and chunks as a whole completion.

Source: OpenAI's OpenAPI document (version 2.3.0), `CreateChatCompletionStreamResponse`;
`reasoning`, `images` and `annotations` as OpenRouter streams them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from command_api.replies.replayed.parts import (
    Choice,
    NotWholeError,
    Object,
    Texts,
    place_in,
    put_together,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE = b"data: [DONE]\n\n"
OF_STREAMS = frozenset({"object", "choices", "usage", "obfuscation"})
"""Members of a chunk that are said otherwise of a whole completion."""
TEXTS = frozenset({"content", "refusal", "reasoning", "reasoning_content"})
LISTS = frozenset({"annotations", "images"})
CALLS = ("function", "custom")
_encode = msgspec.json.encode


def chunks(whole: Object, *, usage: bool) -> Iterator[bytes]:
    """The stream of a whole completion, with its report of usage where that was asked for."""
    shared = {name: told for name, told in whole.items() if name not in OF_STREAMS}
    shared["object"] = "chat.completion.chunk"
    if usage:
        shared["usage"] = None
    for choice in whole["choices"]:
        told = {n: t for n, t in choice.items() if n not in ("message", "finish_reason")}
        message = choice["message"]
        text = None if message.get("content") is None else ""
        first = {"role": message.get("role", "assistant"), "content": text}
        yield _chunk(shared, {**told, "logprobs": None, "delta": first, "finish_reason": None})
        delta = {n: t for n, t in message.items() if n != "role" and t is not None and t != []}
        if calls := delta.get("tool_calls"):
            delta["tool_calls"] = [{"index": at, **each} for at, each in enumerate(calls)]
        yield _chunk(shared, {**told, "delta": delta, "finish_reason": None})
        last = {"delta": {}, "logprobs": None, "finish_reason": choice["finish_reason"]}
        yield _chunk(shared, {**told, **last})
    if usage:
        yield _line({**shared, "choices": [], "usage": whole.get("usage")})
    yield DONE


def _chunk(shared: Object, choice: Object) -> bytes:
    return _line({**shared, "choices": [choice]})


def _line(chunk: Object) -> bytes:
    return b"data: %b\n\n" % _encode(chunk)


def completion(made: bytes) -> Object:
    """The whole completion that a stream's chunks make; raises NotWholeError.

    Its `usage` is the stream's own report, if it had one.
    """
    return put_together(made, _Choice, OF_STREAMS, object="chat.completion")


class _Choice(Choice):
    """One choice as it comes."""

    said_in = "delta"

    def __init__(self) -> None:
        super().__init__()
        self._role = "assistant"
        self._message = Texts()
        self._calls: dict[int, _Call] = {}

    def add(self, piece: Any) -> None:
        delta: Object = piece or {}
        for name, told in delta.items():
            if told is None or told == []:
                continue
            if name == "role":
                self._role = told
            elif name in TEXTS or name in LISTS:
                self._message.add(name, told)
            elif name == "tool_calls":
                for each in told:
                    self._calls.setdefault(place_in(each), _Call()).take(each)
            else:
                message = f"nobody here can put {name!r} together"
                raise NotWholeError(message)

    def made(self, logprobs: Object | None) -> Object:
        message: Object = {"role": self._role, "content": None, "refusal": None}
        message |= self._message.whole()
        if self._calls:
            message["tool_calls"] = [self._calls[at].whole() for at in sorted(self._calls)]
            message["content"] = message["content"] or None
        if logprobs is not None:
            logprobs = {"content": None, "refusal": None, **logprobs}
        told = {"message": message, "logprobs": logprobs, "finish_reason": self._finish}
        return {**self._others, **told}


class _Call:
    """One tool call as it comes."""

    def __init__(self) -> None:
        self._told: Object = {}
        self._texts = {name: Texts() for name in CALLS}

    def take(self, part: Object) -> None:
        """A part of it: names come whole and once, arguments and inputs in pieces."""
        for name, told in part.items():
            if name in CALLS and isinstance(told, dict):
                for each, text in told.items():
                    self._texts[name].add(each, text)
            elif name != "index" and told is not None:
                self._told[name] = told

    def whole(self) -> Object:
        """The call; raises NotWholeError where it lacks its id or its name."""
        told = {"type": "function", **self._told}
        told |= {name: made for name in CALLS if (made := self._texts[name].whole())}
        kind = told.get(told["type"]) or {}
        if not (told.get("id") and kind.get("name")):
            message = "a call without an id or a name"
            raise NotWholeError(message)
        kind.setdefault("arguments" if told["type"] == "function" else "input", "")
        return told
