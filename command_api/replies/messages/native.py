"""Reads Anthropic's own replies, whole and as streams, and changes nothing in them.

Kept back are events before the first output (so that a failure can still be an honest status), and
`message_stop`, until the charge is durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.replies.failures import failure_of_error, failure_of_nothing
from command_api.replies.messages.events import (
    Event,
    Kept,
    add_to,
    answer_tokens,
    closing,
    count_blocks,
    decode_event,
    kept_within,
    opened,
)
from command_api.replies.messages.usage import reported, told
from command_api.replies.scanners.events import PassedEvents
from command_api.replies.scanning import StreamErrorChunk
from command_api.replies.shapes import UNREADABLE
from providers.inference.adapters.anthropic.reply import searches_of

if TYPE_CHECKING:
    from command_api.replies.scanning import Paid
    from domain.pricing.usage import Usage


class _Message(msgspec.Struct):
    id: Any = None
    content: Any = None
    usage: Any = None
    error: Any = None


_decode_message = msgspec.json.Decoder(_Message).decode


class MessageAnswer(NamedTuple):
    """A whole message that counts as an answer."""

    request_id: str | None
    usage: Usage | None
    blocks: list[Any]

    def made(self) -> int:
        """Our own count of it, in tokens."""
        return count_blocks(self.blocks)


def read_message(provider: str, raw: bytes) -> MessageAnswer:
    """Judge the body of a 200; raises UpstreamFailure when it is no message."""
    try:
        found = _decode_message(raw)
    except UNREADABLE:
        what = "a body that is not a JSON object" if raw.strip() else "an empty body"
        raise failure_of_nothing(provider, what) from None
    if found.error is not None:
        raise failure_of_error(provider, found.error)
    if not isinstance(found.content, list):
        raise failure_of_nothing(provider, "no content")
    request_id = found.id if isinstance(found.id, str) else None
    usage = reported(found.usage, searches_of(found.content))
    return MessageAnswer(request_id, usage, found.content)


class MessagesScanner(PassedEvents[Event]):
    """Reads Anthropic's events."""

    LAST, ENDS = "message_stop", (b'"message_stop"', b'"message_delta"')
    __slots__ = ("_kept", "_open", "_open_before", "_report", "_searches")

    def __init__(self) -> None:
        """Nothing came yet."""
        super().__init__()
        self._open: int | None = None
        self._open_before: int | None = None
        self._kept = Kept(b"", None, told=False)
        self._report: dict[str, Any] = {}
        self._searches = 0

    def within(self, out: bytes, most: int) -> bytes:
        """Of the last output, what lies within so many tokens of answer altogether."""
        before = self.answer_tokens - answer_tokens(out)
        self._kept = kept_within(out, most - before, self._open_before)
        return self._kept.out

    def cut_short(self, paid: Paid) -> bytes:
        """The events that end the message at its maximum."""
        return closing(self._kept, told(*paid()))

    def _begin_block(self) -> None:
        self._open_before = self._open

    def _decoded(self, data: bytes) -> Event:
        return decode_event(data)

    def _learn(self, event: Event, raw: bytes) -> bool:
        """What an event says of the message, and what was made in it."""
        if event.type == "error":
            raise StreamErrorChunk(event.error, b"")
        if event.type == self.LAST:
            self.done, self._last = True, raw
            return False
        message = event.message if isinstance(event.message, dict) else {}
        if event.type == "message_start":
            told_id = message.get("id")
            self.request_id = told_id if isinstance(told_id, str) else None
            self._add_report(message.get("usage"))
        elif event.type == "message_delta":
            self.finished = True
            self._add_report(event.usage)
            # Before it the output is not counted.
            self.usage = reported(self._report, self._searches) if self._report else None
        else:
            self._open = opened(event, self._open)
            add_to(self._count, event.part)
            self._searches += searches_of([event.part])
        return event.is_output

    def _add_report(self, report: Any) -> None:
        """Later counts stand for earlier ones; they are never added up."""
        if isinstance(report, dict):
            self._report |= {name: told for name, told in report.items() if told is not None}
