"""Events of Responses: how they are written, what in them was made, and our own count of it.

Source: OpenAI's OpenAPI document (version 2.3.0), `ResponseStreamEvent`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from command_api.replies.own_count import OutputCount
from command_api.replies.scanners.wire import data_of, ends_of_events
from command_api.replies.shapes import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

Event = dict[str, Any]
SILENT = frozenset({"message", "reasoning"})
"""Items that begin empty; of any other its begin is output."""
ENDS = frozenset({"response.completed", "response.incomplete"})
FAILED = "response.failed"
ANSWERS = frozenset(
    {
        *("response.output_text.delta", "response.refusal.delta"),
        *("response.function_call_arguments.delta", "response.custom_tool_call_input.delta"),
        *("response.mcp_call_arguments.delta", "response.code_interpreter_call_code.delta"),
    }
)
THOUGHTS = frozenset({"response.reasoning_text.delta", "response.reasoning_summary_text.delta"})
TEXT_KEYS = ("name", "arguments", "input", "code")
NUMBER_MAX = 2**53
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.encode


def decode_event(data: bytes) -> Event:
    """An event; raises one of UNREADABLE."""
    event = _decode(data)
    if not isinstance(event.get("type"), str):
        message = "an event without a type"
        raise msgspec.ValidationError(message)
    return event


def written(event: Event) -> bytes:
    """An event as OpenAI writes it."""
    return f"event: {event['type']}\n".encode() + b"data: %b\n\n" % _encode(event)


def numbered(event: Event, number: int) -> Event:
    """The event with its number in the stream."""
    return {"type": event["type"], "sequence_number": number, **event}


def is_output(event: Event) -> bool:
    """Whether it carries anything that was made."""
    kind = event["type"]
    if kind == "response.output_item.added":
        item = event.get("item")
        return isinstance(item, dict) and item.get("type") not in SILENT
    return kind == "response.output_item.done" or bool(event.get("delta"))


def place_of(event: Event) -> int:
    """Which item an event is about."""
    found = event.get("output_index")
    return found if isinstance(found, int) else 0


def add_to(count: OutputCount, event: Event, seen: set[int]) -> None:
    """Count what an event adds; `seen` are the items of which parts were counted."""
    kind = event["type"]
    if kind in ANSWERS or kind in THOUGHTS:
        delta = event.get("delta")
        if isinstance(delta, str):
            seen.add(place_of(event))
            _add(count, delta, answer=kind in ANSWERS)
    elif kind == "response.output_item.added":
        item = event.get("item")
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            _add(count, item["name"], answer=True)
    elif kind == "response.output_item.done" and place_of(event) not in seen:
        item = event.get("item")
        if isinstance(item, dict):
            _add_item(count, {**item, "name": None})


def _add(count: OutputCount, text: str, *, answer: bool) -> None:
    count.whole.add(text)
    if answer:
        count.answer.add(text)


def _add_item(count: OutputCount, item: dict[str, Any]) -> None:
    answer = item.get("type") != "reasoning"
    for key in TEXT_KEYS:
        if isinstance(item.get(key), str):
            _add(count, item[key], answer=answer)
    for name in ("content", "summary"):
        parts = item.get(name)
        for part in parts if isinstance(parts, list) else ():
            for key in ("text", "refusal"):
                if isinstance(part, dict) and isinstance(part.get(key), str):
                    _add(count, part[key], answer=answer)


def count_output(output: list[Any]) -> int:
    """Our own count of a whole response; what has no text is output all the same."""
    count = OutputCount()
    known = [each for each in output if isinstance(each, dict)]
    for each in known:
        _add_item(count, each)
    return count.whole.tokens or sum(each.get("type") not in SILENT for each in known)


def events_in(out: bytes) -> Iterator[tuple[bytes, Event | None]]:
    """The events of a piece that holds whole ones; None for what is no event."""
    begin = 0
    for end in ends_of_events(out):
        raw, begin = out[begin:end], end
        data = data_of(raw)
        try:
            event = decode_event(data) if data else None
        except UNREADABLE:
            event = None
        yield raw, event
