"""A Chat Completions reply as one of Anthropic's Messages API, whole or as its stream of events.

The inverse of `reply`. What comes is held against OpenAI's types before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.inference.adapters.details import ENCRYPTED, is_anthropics, packed
from providers.inference.adapters.translation import arguments_of, encode
from providers.inference.port import UpstreamBrokenError

if TYPE_CHECKING:
    from collections.abc import Iterator

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
"""OpenAI's finish reasons and Anthropic's. Which sequence stopped a reply OpenAI does not tell."""


def stop_reason_of(finish: str | None, *, called: bool) -> str:
    """A reply with calls of tools waits for their results, whatever its provider calls that."""
    if called and finish in (None, "stop"):
        return "tool_use"
    return STOP_REASONS.get(finish or "stop", "end_turn")


def message_of(completion: dict[str, Any], model: str, usage: dict[str, Any]) -> dict[str, Any]:
    """A whole reply, with the usage that it is charged for in Anthropic's form."""
    choice = completion["choices"][0]
    blocks = _blocks(choice["message"])
    called = any(block["type"] == "tool_use" for block in blocks)
    return {
        "id": completion["id"],
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": stop_reason_of(choice.get("finish_reason"), called=called),
        "stop_sequence": None,
        "usage": usage,
    }


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    thought, signature, hidden = reasoning_of(message)
    blocks: list[dict[str, Any]] = []
    if thought or signature:
        blocks.append({"type": "thinking", "thinking": thought, "signature": signature})
    blocks += [{"type": "redacted_thinking", "data": data} for data in hidden]
    text = (message.get("content") or "") + (message.get("refusal") or "")
    if text:
        blocks.append({"type": "text", "text": text})
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        blocks.append(
            {
                "type": "tool_use",
                "id": call["id"],
                "name": function.get("name") or "",
                "input": arguments_of(function.get("arguments")),
            }
        )
    return blocks


def reasoning_of(message: dict[str, Any]) -> tuple[str, str, list[str]]:
    """The thoughts of a message or delta, their signature, and thoughts that nobody may read.

    Of the last, those of others than Anthropic are packed with what makes them theirs.
    """
    told = _told(message)
    details = message.get("reasoning_details")
    listed = details if isinstance(details, list) else []
    known = [each for each in listed if isinstance(each, dict)]
    texts = [each["text"] for each in known if isinstance(each.get("text"), str)]
    signatures = [each["signature"] for each in known if isinstance(each.get("signature"), str)]
    hidden = [
        each["data"] if is_anthropics(each) else packed([each]) or ""
        for each in known
        if each.get("type") == ENCRYPTED and isinstance(each.get("data"), str)
    ]
    thought = told if isinstance(told, str) else "".join(texts)
    return thought, "".join(signatures), hidden


def _told(message: dict[str, Any]) -> Any:
    """Thoughts as plain text, beside any details."""
    return message.get("reasoning_content") or message.get("reasoning")


def written(event: dict[str, Any]) -> bytes:
    """An event as Anthropic writes it."""
    return f"event: {event['type']}\n".encode() + b"data: %b\n\n" % encode(event)


class MessageEvents:
    """The events that the chunks of one stream become. Blocks follow each other; one is open."""

    def __init__(self, model: str, input_tokens: int) -> None:
        """`input_tokens` is told at the start, when no provider has counted yet."""
        self._model, self._input_tokens = model, input_tokens
        self._begun = False
        self._index = -1
        self.open = ""
        """The kind of the open block."""
        self._finish: str | None = None
        self._calls: set[int] = set()
        self._call: tuple[int, str] | None = None
        """The call that the open block is: its index in the chunks, and its id."""

    @property
    def open_index(self) -> int | None:
        """The number of the block that is open."""
        return self._index if self.open else None

    def chunk(self, chunk: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """One chunk; raises UpstreamBrokenError for calls that are mixed up."""
        if not self._begun:
            yield self._start(chunk.get("id") or "")
        for choice in chunk.get("choices") or ():
            if choice.get("index"):
                continue
            delta = choice.get("delta") or {}
            yield from self._reasoning(delta)
            text = (delta.get("content") or "") + (delta.get("refusal") or "")
            if text:
                yield from self._in("text", {"type": "text", "text": ""})
                yield self._delta({"type": "text_delta", "text": text})
            for call in delta.get("tool_calls") or ():
                yield from self._tool(call)
            self._finish = choice.get("finish_reason") or self._finish

    def end(self, usage: dict[str, Any], stop_reason: str = "") -> Iterator[dict[str, Any]]:
        """The last events; a stop reason of ours wins."""
        if not self._begun:
            yield self._start("")
        yield from self._close()
        reason = stop_reason or stop_reason_of(self._finish, called=bool(self._calls))
        delta = {"stop_reason": reason, "stop_sequence": None}
        yield {"type": "message_delta", "delta": delta, "usage": usage}
        yield {"type": "message_stop"}

    def _start(self, message_id: str) -> dict[str, Any]:
        self._begun = True
        message: dict[str, Any] = {
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": self._input_tokens, "output_tokens": 0},
        }
        return {"type": "message_start", "message": message}

    def _reasoning(self, delta: dict[str, Any]) -> Iterator[dict[str, Any]]:
        thought, signature, hidden = reasoning_of(delta)
        if signature and self.open == "thinking" and not _told(delta):
            thought = ""  # A signature's detail may repeat the text that it signs.
        if thought or signature:
            yield from self._in("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if thought:
            yield self._delta({"type": "thinking_delta", "thinking": thought})
        if signature:
            yield self._delta({"type": "signature_delta", "signature": signature})
        for data in hidden:
            yield from self._close()
            yield self._open("redacted_thinking", {"type": "redacted_thinking", "data": data})

    def _tool(self, call: dict[str, Any]) -> Iterator[dict[str, Any]]:
        function = call.get("function") or {}
        index, told = call["index"], call.get("id") or ""
        # Some providers number every call 0: a new id with a name begins a new one.
        named = bool(told and function.get("name"))
        before, before_id = self._call or (None, "")
        if index != before or (named and told != before_id):
            if index in self._calls and not named:
                message = "a tool call goes on behind the one after it"
                raise UpstreamBrokenError(message)
            self._calls.add(index)
            yield from self._close()
            block = {"type": "tool_use", "id": told or f"call_{len(self._calls)}"}
            block |= {"name": function.get("name") or "", "input": {}}
            yield self._open("tool_use", block)
            self._call = (index, told)
        if function.get("arguments"):
            yield self._delta({"type": "input_json_delta", "partial_json": function["arguments"]})

    def _in(self, kind: str, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """A block of this kind is open from here on."""
        if self.open != kind:
            yield from self._close()
            yield self._open(kind, block)

    def _open(self, kind: str, block: dict[str, Any]) -> dict[str, Any]:
        self.open, self._index = kind, self._index + 1
        return {"type": "content_block_start", "index": self._index, "content_block": block}

    def _close(self) -> Iterator[dict[str, Any]]:
        if self.open:
            self.open, self._call = "", None
            yield {"type": "content_block_stop", "index": self._index}

    def _delta(self, delta: dict[str, Any]) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}
