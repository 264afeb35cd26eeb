"""Anthropic's Messages: a whole message as events, and events as a whole message.

Source: Anthropic's Messages API reference, "Streaming Messages" (version 2023-06-01).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from command_api.replies.replayed.parts import NotWholeError, Object, Texts, data_in, place_in
from command_api.replies.shapes import UNREADABLE
from providers.inference.adapters.anthropic.as_message import written

if TYPE_CHECKING:
    from collections.abc import Iterator

DELTAS = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}
"""What each kind of delta adds to."""
ENDS = ("stop_reason", "stop_sequence")
CITATION = "citations_delta"
JSON = "input_json_delta"


def events(whole: Object, *, usage: bool) -> Iterator[bytes]:
    """The stream of a whole message; its usage is always told."""
    del usage
    report = whole.get("usage") or {}
    begun = {**report, "output_tokens": min(report.get("output_tokens", 0), 1)}
    begun.pop("cost", None)
    message = {**whole, "content": [], **dict.fromkeys(ENDS), "usage": begun}
    yield written({"type": "message_start", "message": message})
    for at, block in enumerate(whole["content"]):
        first, deltas = _opened(block)
        yield written({"type": "content_block_start", "index": at, "content_block": first})
        for each in deltas:
            yield written({"type": "content_block_delta", "index": at, "delta": each})
        yield written({"type": "content_block_stop", "index": at})
    delta = {name: whole.get(name) for name in ENDS}
    yield written({"type": "message_delta", "delta": delta, "usage": report})
    yield written({"type": "message_stop"})


def _opened(block: Object) -> tuple[Object, list[Object]]:
    """How a block begins, and what is added to it. A block that nobody adds to begins whole."""
    first, deltas = dict(block), list[Object]()
    kind = block.get("type")
    if kind == "text":
        first["text"] = ""
        deltas = [{"type": CITATION, "citation": each} for each in first.pop("citations", 0) or ()]
        if block["text"]:
            deltas.insert(0, {"type": "text_delta", "text": block["text"]})
    elif kind == "thinking":
        first |= {"thinking": "", "signature": ""}
        if block["thinking"]:
            deltas.append({"type": "thinking_delta", "thinking": block["thinking"]})
        if block.get("signature"):
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
    elif isinstance(block.get("input"), dict):
        first["input"] = {}
        text = msgspec.json.encode(block["input"]).decode()
        deltas.append({"type": JSON, "partial_json": text})
    return first, deltas


def message(made: bytes) -> Object:
    """The whole message that a stream's events make; raises NotWholeError."""
    whole: Object | None = None
    blocks: dict[int, _Block] = {}
    stopped = False
    for event in data_in(made):
        kind = event.get("type")
        if kind == "message_start":
            whole = event["message"]
        elif kind == "content_block_start":
            blocks[place_in(event)] = _Block(event["content_block"])
        elif kind == "content_block_delta":
            if place_in(event) not in blocks:
                lost = "a delta of no block"
                raise NotWholeError(lost)
            blocks[place_in(event)].take(event["delta"])
        elif kind == "message_delta" and whole is not None:
            whole |= event["delta"]
            whole["usage"] = {**(whole.get("usage") or {}), **_stated(event.get("usage"))}
        elif kind == "message_stop":
            stopped = True
    if whole is None or not (stopped and whole.get("stop_reason")):
        lost = "a message that did not end"
        raise NotWholeError(lost)
    return {**whole, "content": [blocks[at].whole() for at in sorted(blocks)]}


def _stated(report: Any) -> Object:
    return {name: told for name, told in (report or {}).items() if told is not None}


class _Block:
    """One block as it comes."""

    def __init__(self, first: Object) -> None:
        self._first, self._texts = first, Texts()
        self._citations = list[Any](first.get("citations") or ())

    def take(self, delta: Object) -> None:
        """What is added; raises NotWholeError."""
        kind = delta.get("type", "")
        if kind == CITATION:
            self._citations.append(delta.get("citation"))
        elif kind in DELTAS:
            self._texts.add(DELTAS[kind], delta.get(DELTAS[kind]))
        else:
            lost = f"nobody here can put {kind!r} together"
            raise NotWholeError(lost)

    def whole(self) -> Object:
        """The block; raises NotWholeError for an input that is no JSON."""
        block = dict(self._first)
        for name, text in self._texts.whole().items():
            if name != "partial_json":
                block[name] = (block.get(name) or "") + text
            elif text:
                try:
                    block["input"] = msgspec.json.decode(text)
                except UNREADABLE as error:
                    raise NotWholeError(str(error)) from None
        if self._citations:
            block["citations"] = self._citations
        return block
