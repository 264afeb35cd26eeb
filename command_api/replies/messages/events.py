"""Anthropic's messages and events: what in them was made, and how much of it by our own count.

Source: Anthropic's Messages API reference, "Streaming Messages" (version 2023-06-01).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.replies.own_count import OutputCount
from command_api.replies.scanners.wire import data_of, ends_of_events
from command_api.replies.shapes import UNREADABLE
from providers.inference.adapters.anthropic.as_message import written

if TYPE_CHECKING:
    from collections.abc import Iterator

SILENT = frozenset({"text", "thinking"})
"""Blocks that begin empty; of any other its begin is output."""
CALLS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})
MAX_TOKENS = "max_tokens"


class Event(msgspec.Struct):
    """One event of a stream, as far as it matters here."""

    type: str
    message: Any = None
    index: Any = None
    content_block: Any = None
    delta: Any = None
    usage: Any = None
    error: Any = None

    @property
    def part(self) -> dict[str, Any]:
        """The block that begins, or what is added to it; empty for any other event."""
        found = {"content_block_start": self.content_block, "content_block_delta": self.delta}
        part = found.get(self.type)
        return part if isinstance(part, dict) else {}

    @property
    def is_output(self) -> bool:
        """Whether it carries anything that was made."""
        part = self.part
        if self.type == "content_block_start" and part.get("type") not in SILENT:
            return True
        return any(value for name, value in part.items() if name != "type")


decode_event = msgspec.json.Decoder(Event).decode


def add_to(count: OutputCount, part: dict[str, Any]) -> None:
    """Count a block, whole or at its begin, or what is added to it."""
    for name in ("text", "partial_json"):
        _add(count, part.get(name), answer=True)
    _add(count, part.get("thinking"), answer=False)
    if part.get("type") in CALLS:
        _add(count, part.get("name"), answer=True)
        if part.get("input"):
            _add(count, msgspec.json.encode(part["input"]).decode(), answer=True)


def _add(count: OutputCount, text: Any, *, answer: bool) -> None:
    if isinstance(text, str):
        count.whole.add(text)
        if answer:
            count.answer.add(text)


def count_blocks(blocks: list[Any]) -> int:
    """Our own count of a whole message; what has no text is output all the same."""
    count = OutputCount()
    known = [each for each in blocks if isinstance(each, dict)]
    for each in known:
        add_to(count, each)
    return count.whole.tokens or sum(each.get("type") not in SILENT for each in known)


def _events_in(out: bytes) -> Iterator[tuple[bytes, Event | None]]:
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


class Kept(NamedTuple):
    """What of a piece lies within a maximum, and what its end leaves to be said."""

    out: bytes
    open_index: int | None
    """The block that is open behind it."""
    told: bool
    """Whether it says why the message ends."""


def answer_tokens(out: bytes) -> int:
    """Our own count of the answer in the events of a piece."""
    count = OutputCount()
    for _, event in _events_in(out):
        if event is not None:
            add_to(count, event.part)
    return count.answer.tokens


def kept_within(out: bytes, tokens: int, open_index: int | None) -> Kept:
    """The events of a piece up to so many tokens of answer; `open_index` is open before it."""
    count, end, told = OutputCount(), 0, False
    for raw, event in _events_in(out):
        if event is not None:
            add_to(count, event.part)
            if count.answer.tokens > tokens:
                break
            open_index = opened(event, open_index)
            told = told or event.type == "message_delta"
        end += len(raw)
    return Kept(out[:end], open_index, told)


def opened(event: Event, before: int | None) -> int | None:
    """The block that is open after an event."""
    if event.type == "content_block_start":
        return event.index if isinstance(event.index, int) else 0
    return None if event.type == "content_block_stop" else before


def closing(kept: Kept, usage: dict[str, Any]) -> bytes:
    """The events that end a message at its maximum."""
    events: list[dict[str, Any]] = []
    if kept.open_index is not None:
        events.append({"type": "content_block_stop", "index": kept.open_index})
    if not kept.told:
        delta = {"stop_reason": MAX_TOKENS, "stop_sequence": None}
        events.append({"type": "message_delta", "delta": delta, "usage": usage})
    return b"".join(map(written, [*events, {"type": "message_stop"}]))
