"""The response that a stream's events make, as far as they came; and its end, where we say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from command_api.replies.own_count import OutputCount
from command_api.replies.responses.events import (
    NUMBER_MAX,
    Event,
    add_to,
    events_in,
    numbered,
    place_of,
    written,
)
from edge.errors import INSUFFICIENT_QUOTA, RATE_LIMIT

if TYPE_CHECKING:
    from edge.errors import ApiError

ITEMS_MAX = 10_000
BYTES_MAX = 16 * 1024 * 1024
"""Most that is assembled of one stream, in items and in bytes of text; the rest only passes."""
PARTS = {
    "response.output_text.delta": ("content", "content_index", "text"),
    "response.refusal.delta": ("content", "content_index", "refusal"),
    "response.reasoning_text.delta": ("content", "content_index", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index", "text"),
}
"""Where a delta belongs: the member of the item, which part of it, the member of that."""
WHOLES = {
    "response.function_call_arguments.delta": "arguments",
    "response.custom_tool_call_input.delta": "input",
}
KINDS = {"text": "output_text", "refusal": "refusal"}


class Assembled:
    """What a stream's events make."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self.response: dict[str, Any] = {}
        self.number = -1
        """That of the last event."""
        self._done: dict[int, dict[str, Any]] = {}
        self._open: dict[int, dict[str, Any]] = {}
        self._texts: dict[tuple[int, str, int, str], list[str]] = {}
        self._bytes = 0

    def take(self, event: Event) -> None:
        """One event; odd ones are passed over."""
        number = event.get("sequence_number")
        if isinstance(number, int) and self.number < number < NUMBER_MAX:
            self.number = number
        kind, place = event["type"], place_of(event)
        if kind in ("response.created", "response.in_progress"):
            if isinstance(event.get("response"), dict):
                self.response = event["response"]
        elif kind == "response.output_item.added":
            item = event.get("item")
            if isinstance(item, dict) and len(self._open) + len(self._done) < ITEMS_MAX:
                self._open[place] = item
        elif kind == "response.output_item.done":
            self._close(place, event.get("item"))
        elif kind in PARTS:
            name, index, key = PARTS[kind]
            part = event.get(index)
            self._add((place, name, part if isinstance(part, int) else 0, key), event.get("delta"))
        elif kind in WHOLES:
            self._add((place, WHOLES[kind], 0, ""), event.get("delta"))

    def output(self, status: str) -> list[dict[str, Any]]:
        """The items in their order; what is open has this status."""
        items = dict(self._done)
        for place in self._open:
            items[place] = self._item(place, status)
        return [items[place] for place in sorted(items)]

    def cut(self, usage: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """The events that end it at its maximum, and the response that they make."""
        out: list[bytes] = []
        for place in sorted(self._open):
            item = self._item(place, "incomplete")
            about = {"item_id": item.get("id"), "output_index": place}
            out += [self._written(event) for event in _closing(item, about)]
        details = {"reason": "max_output_tokens"}
        told = {"status": "incomplete", "incomplete_details": details, "usage": usage}
        response = {**self.response, **told, "output": self.output("incomplete")}
        out.append(self._written({"type": "response.incomplete", "response": response}))
        return b"".join(out), response

    def failed(self, error: ApiError) -> tuple[bytes, dict[str, Any]]:
        """The event that ends it where it cannot go on, and the response that it tells."""
        response = {**self.response, "status": "failed", "error": error_of(error)}
        response["output"] = self.output("incomplete")
        return self._written({"type": "response.failed", "response": response}), response

    def _written(self, event: Event) -> bytes:
        self.number += 1
        return written(numbered(event, self.number))

    def _close(self, place: int, item: Any) -> None:
        self._open.pop(place, None)
        for key in [key for key in self._texts if key[0] == place]:
            del self._texts[key]
        if isinstance(item, dict) and len(self._done) < ITEMS_MAX:
            self._done[place] = item

    def _add(self, key: tuple[int, str, int, str], text: Any) -> None:
        if isinstance(text, str) and self._bytes < BYTES_MAX and len(self._texts) < ITEMS_MAX:
            self._bytes += len(text)
            self._texts.setdefault(key, []).append(text)

    def _item(self, place: int, status: str) -> dict[str, Any]:
        """An open item with what came of it."""
        item = {**self._open[place]}
        if item.get("type") != "reasoning":
            item["status"] = status
        for (where, name, _, key), texts in sorted(self._texts.items()):
            if where != place:
                continue
            text = "".join(texts)
            if not key:
                item[name] = text
                continue
            kind = "summary_text" if name == "summary" else KINDS[key]
            if name == "content" and item.get("type") == "reasoning":
                kind = "reasoning_text"
            part: dict[str, Any] = {"type": kind, key: text}
            if kind == "output_text":
                part["annotations"] = []
            held = item.get(name)
            item[name] = [*(held if isinstance(held, list) else ()), part]
        return item


def _closing(item: dict[str, Any], about: dict[str, Any]) -> list[Event]:
    events: list[Event] = []
    content = item.get("content")
    for index, part in enumerate(content if isinstance(content, list) else ()):
        key = next((key for key, kind in KINDS.items() if part.get("type") == kind), "")
        if key:
            where = {**about, "content_index": index}
            done = {"type": f"response.{KINDS[key]}.done", **where, key: part.get(key)}
            events.append(done | ({"logprobs": []} if key == "text" else {}))
            events.append({"type": "response.content_part.done", **where, "part": part})
    if item.get("type") == "function_call":
        told = {"name": item.get("name"), "arguments": item.get("arguments")}
        events.append({"type": "response.function_call_arguments.done", **about, **told})
    last = {"output_index": about["output_index"], "item": item}
    return [*events, {"type": "response.output_item.done", **last}]


def error_of(error: ApiError) -> dict[str, Any]:
    """The error of a failed response; its code is OpenAI's, ours stands beside it."""
    codes = {RATE_LIMIT: "rate_limit_exceeded", INSUFFICIENT_QUOTA: "insufficient_quota"}
    code = codes.get(error.kind, "server_error")
    return {"code": code, "message": error.message, "gatewayz_code": error.code}


def answer_tokens(out: bytes) -> int:
    """Our own count of the answer in the events of a piece."""
    count, seen = OutputCount(), set[int]()
    for _, event in events_in(out):
        if event is not None:
            add_to(count, event, seen)
    return count.answer.tokens


def kept_within(out: bytes, tokens: int) -> tuple[bytes, list[Event]]:
    """Of a piece, what lies within so many tokens of answer: its bytes, and its events."""
    count, end, kept, seen = OutputCount(), 0, list[Event](), set[int]()
    for raw, event in events_in(out):
        if event is not None:
            add_to(count, event, seen)
            if count.answer.tokens > tokens:
                break
            kept.append(event)
        end += len(raw)
    return out[:end], kept
