"""Reads the replies of who speaks Responses, whole and as streams, and changes nothing in them.

Kept back are events before the first output (so that a failure can still be an honest status), and
the last one, until the charge is durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.replies.failures import failure_of_error, failure_of_nothing
from command_api.replies.responses.assembled import Assembled, answer_tokens, kept_within
from command_api.replies.responses.events import (
    ENDS,
    FAILED,
    Event,
    add_to,
    count_output,
    decode_event,
    is_output,
)
from command_api.replies.responses.usage import reported_in, told
from command_api.replies.scanners.events import PassedEvents
from command_api.replies.scanning import StreamErrorChunk
from command_api.replies.shapes import UNREADABLE

if TYPE_CHECKING:
    from command_api.replies.scanning import Paid
    from domain.pricing.usage import Usage
    from edge.errors import ApiError

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class ResponseAnswer(NamedTuple):
    """A whole response that counts as an answer."""

    request_id: str | None
    usage: Usage | None
    response: dict[str, Any]

    def made(self) -> int:
        """Our own count of it, in tokens."""
        return count_output(self.response["output"])


def read_response(provider: str, raw: bytes) -> ResponseAnswer:
    """Judge the body of a 200; raises UpstreamFailure when it is no response."""
    try:
        found = _decode(raw.strip())
    except UNREADABLE:
        what = "a body that is not a JSON object" if raw.strip() else "an empty body"
        raise failure_of_nothing(provider, what) from None
    if found.get("error") is not None:
        raise failure_of_error(provider, found["error"])
    if not isinstance(found.get("output"), list):
        raise failure_of_nothing(provider, "no output")
    told_id = found.get("id")
    request_id = told_id if isinstance(told_id, str) else None
    return ResponseAnswer(request_id, reported_in(found), found)


class ResponsesScanner(PassedEvents[Event]):
    """Reads the events of a response."""

    LAST, ENDS = "response.completed", tuple(f'"{each}"'.encode() for each in (*ENDS, FAILED))
    __slots__ = ("_assembled", "_fresh", "_seen", "response")

    def __init__(self) -> None:
        """Nothing came yet."""
        super().__init__()
        self._seen: set[int] = set()
        self._assembled = Assembled()
        self._fresh: list[Event] = []
        """Events of the last piece, which may yet be cut."""
        self.response: dict[str, Any] | None = None
        """The whole response, once the stream has told it."""

    def within(self, out: bytes, most: int) -> bytes:
        """Of the last output, what lies within so many tokens of answer altogether."""
        before = self.answer_tokens - answer_tokens(out)
        kept, self._fresh = kept_within(out, most - before)
        return kept

    def cut_short(self, paid: Paid) -> bytes:
        """The events that end the response at its maximum."""
        self._begin_block()
        last, self.response = self._assembled.cut(told(*paid()))
        return last

    def broken(self, error: ApiError) -> bytes:
        """The event that ends a response which cannot go on."""
        self._begin_block()
        last, self.response = self._assembled.failed(error)
        return last

    def _begin_block(self) -> None:
        for event in self._fresh:
            self._assembled.take(event)
        self._fresh = []

    def _decoded(self, data: bytes) -> Event:
        if data == b"[DONE]":
            raise self._ended_early()
        return decode_event(data)

    def _learn(self, event: Event, raw: bytes) -> bool:
        """What an event says of the response, and what was made in it."""
        kind = event["type"]
        response = event.get("response")
        response = response if isinstance(response, dict) else {}
        if kind == "error":
            raise StreamErrorChunk(event.get("error") or event, b"")
        if isinstance(response.get("id"), str):
            self.request_id = response["id"]
        if kind in ENDS or kind == FAILED:
            self.usage = reported_in(response)
            if kind == FAILED:
                raise StreamErrorChunk(response.get("error") or {}, b"")
            self.done = self.finished = True
            self._last, self.response = raw, response or None
            return False
        self._fresh.append(event)
        add_to(self._count, event, self._seen)
        return is_output(event)
