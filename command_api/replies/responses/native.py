"""Reads the replies of who speaks Responses, whole and as streams, and changes nothing in them.

Kept back are events before the first output (so that a failure can still be an honest status), and
the last one, until the charge is durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.replies.failures import failure_of_error, failure_of_nothing
from command_api.replies.own_count import OutputCount
from command_api.replies.responses.assembled import Assembled, answer_tokens, kept_within
from command_api.replies.responses.events import (
    ENDS,
    FAILED,
    Event,
    add_to,
    count_output,
    data_of,
    decode_event,
    is_output,
)
from command_api.replies.responses.usage import reported_in, told
from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk
from command_api.replies.shapes import UNREADABLE
from command_api.replies.sse import LINE_BYTES_MAX, PENDING_BYTES_MAX
from providers.inference.adapters.lines import LineTooLongError, WholeLines

if TYPE_CHECKING:
    from command_api.replies.scanning import Paid
    from domain.pricing.usage import Usage
    from edge.errors import ApiError

_ENDS = tuple(f'"{each}"'.encode() for each in (*ENDS, FAILED))
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


class ResponsesScanner:
    """Feed it what arrives; it returns what may be passed on (`replies/scanning`)."""

    __slots__ = (
        *("_assembled", "_count", "_event", "_event_bytes", "_fresh", "_last", "_lines"),
        *("_pending", "_pending_bytes", "_seen", "done", "finished", "request_id", "response"),
        *("started", "uncounted_bytes", "usage"),
    )

    def __init__(self) -> None:
        """Nothing came yet."""
        self._lines = WholeLines(LINE_BYTES_MAX)
        self._event: list[bytes] = []
        self._event_bytes = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._count = OutputCount()
        self._seen: set[int] = set()
        self._assembled = Assembled()
        self._fresh: list[Event] = []
        """Events of the last piece, which may yet be cut."""
        self._last = b""
        self.response: dict[str, Any] | None = None
        """The whole response, once the stream has told it."""
        self.uncounted_bytes = 0
        self.started = self.finished = self.done = False
        self.usage: Usage | None = None
        self.request_id: str | None = None

    @property
    def output_tokens(self) -> int:
        """All of it, counted as it came."""
        return self._count.whole.tokens

    @property
    def answer_tokens(self) -> int:
        """Without reasoning."""
        return self._count.answer.tokens

    def count(self) -> int:
        """It is counted already."""
        self.uncounted_bytes = 0
        return self.output_tokens

    def feed(self, data: bytes) -> bytes:
        """Take a piece; raises StreamErrorChunk or BrokenStreamError."""
        if self.done:
            return b""
        try:
            block = self._lines.add(data)
        except LineTooLongError as error:
            raise BrokenStreamError(str(error)) from None
        self._assemble()
        return self._process(block)

    def end(self) -> bytes:
        """The bytes are over, which is no end before a last event: raises BrokenStreamError."""
        if self.done:
            return b""
        rest = b"".join([*self._event, self._lines.rest()])
        # Of an event without its end only what it says of the response counts (HTML, 9.2.6).
        if any(kind in rest for kind in _ENDS):
            self._take(rest + b"\n\n", [])
        if not self.done:
            message = "the stream ended before response.completed"
            raise BrokenStreamError(message)
        return b""

    def take_pending(self) -> bytes:
        """What was kept back before output, for a stream that ended without any."""
        pending = b"".join(self._pending)
        self._pending, self._pending_bytes = [], 0
        return pending

    def within(self, out: bytes, most: int) -> bytes:
        """Of the last output, what lies within so many tokens of answer altogether."""
        before = self.answer_tokens - answer_tokens(out)
        kept, self._fresh = kept_within(out, most - before)
        return kept

    def ending(self, paid: Paid) -> bytes:
        """The last event, which was kept back."""
        del paid  # It was told with the provider's own report.
        return self._last

    def cut_short(self, paid: Paid) -> bytes:
        """The events that end the response at its maximum."""
        self._assemble()
        last, self.response = self._assembled.cut(told(*paid()))
        return last

    def broken(self, error: ApiError) -> bytes:
        """The event that ends a response which cannot go on."""
        self._assemble()
        last, self.response = self._assembled.failed(error)
        return last

    def _assemble(self) -> None:
        for event in self._fresh:
            self._assembled.take(event)
        self._fresh = []

    def _process(self, block: bytes) -> bytes:
        out: list[bytes] = []
        for line in block.splitlines(keepends=True):
            if self.done:
                break
            self._event.append(line)
            self._event_bytes += len(line)
            if self._event_bytes > LINE_BYTES_MAX:
                message = f"an event of the stream is longer than {LINE_BYTES_MAX} bytes"
                raise BrokenStreamError(message, b"".join(out))
            if not line.strip():
                raw = b"".join(self._event)
                self._event, self._event_bytes = [], 0
                self._take(raw, out)
        return b"".join(out)

    def _take(self, raw: bytes, out: list[bytes]) -> None:
        data = data_of(raw)
        if not data:
            self._pass(raw, out)
            return
        if data == b"[DONE]":
            message = "the stream ended before response.completed"
            raise BrokenStreamError(message, b"".join(out))
        try:
            event = decode_event(data)
        except UNREADABLE as error:
            message = f"an event of the stream is not valid: {error}"
            raise BrokenStreamError(message, b"".join(out)) from None
        self._learn(event, raw, out)
        if self.done:
            return
        if not self.started and is_output(event):
            self.started = True
            out.append(self.take_pending())
        if self.started:
            self.uncounted_bytes += len(raw)
        self._pass(raw, out)

    def _learn(self, event: Event, raw: bytes, out: list[bytes]) -> None:
        """What an event says of the response, and what was made in it."""
        kind = event["type"]
        response = event.get("response")
        response = response if isinstance(response, dict) else {}
        if kind == "error":
            raise StreamErrorChunk(event.get("error") or event, b"".join(out))
        if isinstance(response.get("id"), str):
            self.request_id = response["id"]
        if kind in ENDS or kind == FAILED:
            self.usage = reported_in(response)
            if kind == FAILED:
                raise StreamErrorChunk(response.get("error") or {}, b"".join(out))
            self.done = self.finished = True
            self._last, self.response = raw, response or None
            return
        self._fresh.append(event)
        add_to(self._count, event, self._seen)

    def _pass(self, raw: bytes, out: list[bytes]) -> None:
        if self.started:
            out.append(raw)
            return
        self._pending.append(raw)
        self._pending_bytes += len(raw)
        if self._pending_bytes > PENDING_BYTES_MAX:
            message = f"no output within the first {PENDING_BYTES_MAX} bytes of the stream"
            raise BrokenStreamError(message)
