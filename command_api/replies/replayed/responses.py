"""OpenAI's Responses: a whole response as numbered events. The way back is the last event.

Source: OpenAI's OpenAPI document (version 2.3.0), `ResponseStreamEvent`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from command_api.replies.replayed.parts import NotWholeError, Object, data_in
from command_api.replies.responses.events import ENDS, numbered, written

if TYPE_CHECKING:
    from collections.abc import Iterator

INPUTS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "mcp_call": ("arguments", "response.mcp_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}
"""Of calls whose input comes in pieces: the member, and how its events are called."""
PARTS = {"output_text": "text", "refusal": "refusal", "reasoning_text": "text"}


def events(whole: Object, *, usage: bool) -> Iterator[bytes]:
    """The stream of a whole response; its usage is always told."""
    del usage
    for number, event in enumerate(_events(whole)):
        yield written(numbered(event, number))


def _events(whole: Object) -> Iterator[Object]:
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    begun |= {name: None for name in ("incomplete_details", "completed_at") if name in whole}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for place, item in enumerate(whole["output"]):
        about = {"item_id": item.get("id"), "output_index": place}
        first, inner = _opened(item, about)
        yield {"type": "response.output_item.added", "output_index": place, "item": first}
        yield from inner
        yield {"type": "response.output_item.done", "output_index": place, "item": item}
    end = "response.incomplete" if whole.get("status") == "incomplete" else "response.completed"
    yield {"type": end, "response": whole}


def _opened(item: Object, about: Object) -> tuple[Object, list[Object]]:
    """How an item begins, and the events between its begin and its end."""
    first = dict(item)
    if "status" in item:
        first["status"] = "in_progress"
    kind, inner = item.get("type"), list[Object]()
    if kind in INPUTS:
        name, event = INPUTS[kind]
        first[name] = ""
        text = item.get(name) or ""
        named = {"name": item.get("name")} if kind == "function_call" else {}
        inner.append({"type": f"{event}.delta", **about, "delta": text})
        inner.append({"type": f"{event}.done", **about, **named, name: text})
    elif kind in ("message", "reasoning"):
        for index, part in enumerate(item.get("summary") or ()):
            inner += _summary(part, {**about, "summary_index": index})
        for index, part in enumerate(item.get("content") or ()):
            inner += _part(part, {**about, "content_index": index})
        first |= {name: [] for name in ("content", "summary") if item.get(name)}
    return first, inner


def _summary(part: Object, where: Object) -> Iterator[Object]:
    text = part.get("text") or ""
    begun = {**part, "text": ""}
    yield {"type": "response.reasoning_summary_part.added", **where, "part": begun}
    yield {"type": "response.reasoning_summary_text.delta", **where, "delta": text}
    yield {"type": "response.reasoning_summary_text.done", **where, "text": text}
    yield {"type": "response.reasoning_summary_part.done", **where, "part": part}


def _part(part: Object, where: Object) -> Iterator[Object]:
    kind = part.get("type", "")
    key = PARTS.get(kind)
    notes: list[Any] = part.get("annotations") or []
    begun = {**part, **({key: ""} if key else {}), **({"annotations": []} if notes else {})}
    if part.get("logprobs"):
        begun["logprobs"] = []
    yield {"type": "response.content_part.added", **where, "part": begun}
    if key:
        event = "response.reasoning_text" if kind == "reasoning_text" else f"response.{kind}"
        text = part.get(key) or ""
        odds = {"logprobs": part.get("logprobs") or []} if kind == "output_text" else {}
        yield {"type": f"{event}.delta", **where, "delta": text, **odds}
        for at, note in enumerate(notes):
            told = {"annotation_index": at, "annotation": note}
            yield {"type": "response.output_text.annotation.added", **where, **told}
        yield {"type": f"{event}.done", **where, key: text, **odds}
    yield {"type": "response.content_part.done", **where, "part": part}


def response(made: bytes) -> Object:
    """The whole response that a stream ended with; raises NotWholeError."""
    last: Any = None
    for event in data_in(made):
        if event.get("type") in ENDS:
            last = event.get("response")
    if not isinstance(last, dict) or not isinstance(last.get("output"), list):
        message = "a response that did not end"
        raise NotWholeError(message)
    return last
