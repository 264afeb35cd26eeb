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
    data_of,
    decode_event,
    kept_within,
    opened,
)
from command_api.replies.messages.usage import reported, told
from command_api.replies.own_count import OutputCount
from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk
from command_api.replies.shapes import UNREADABLE
from command_api.replies.sse import LINE_BYTES_MAX, PENDING_BYTES_MAX
from providers.inference.adapters.anthropic.reply import searches_of
from providers.inference.adapters.lines import LineTooLongError, WholeLines

if TYPE_CHECKING:
    from command_api.replies.scanning import Paid
    from domain.pricing.usage import Usage


ENDS = (b'"message_stop"', b'"message_delta"')


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


class MessagesScanner:
    """Feed it what arrives; it returns what may be passed on (`replies/scanning`)."""

    __slots__ = (
        *("_count", "_event", "_event_bytes", "_kept", "_last", "_lines", "_open", "_open_before"),
        *(
            "_pending",
            "_pending_bytes",
            "_report",
            "_searches",
            "done",
            "finished",
            "request_id",
            "started",
        ),
        *("uncounted_bytes", "usage"),
    )

    def __init__(self) -> None:
        """Nothing came yet."""
        self._lines = WholeLines(LINE_BYTES_MAX)
        self._event: list[bytes] = []
        self._event_bytes = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._count = OutputCount()
        self._open: int | None = None
        self._open_before: int | None = None
        self._kept = Kept(b"", None, told=False)
        self._report: dict[str, Any] = {}
        self._last = b""
        self._searches = 0
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
        """Without thinking."""
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
        return self._process(block)

    def end(self) -> bytes:
        """The bytes are over, which is no end before message_stop: raises BrokenStreamError."""
        if self.done:
            return b""
        rest = b"".join([*self._event, self._lines.rest()])
        # Of an event without its end only what it says of the message counts (HTML, 9.2.6).
        if any(kind in rest for kind in ENDS):
            self._take(rest + b"\n\n", [])
        if not self.done:
            message = "the stream ended before message_stop"
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
        self._kept = kept_within(out, most - before, self._open_before)
        return self._kept.out

    def ending(self, paid: Paid) -> bytes:
        """The message_stop that was kept back."""
        del paid  # It was told with Anthropic's own report.
        return self._last

    def cut_short(self, paid: Paid) -> bytes:
        """The events that end the message at its maximum."""
        return closing(self._kept, told(*paid()))

    def _process(self, block: bytes) -> bytes:
        out: list[bytes] = []
        self._open_before = self._open
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
        try:
            event = decode_event(data)
        except UNREADABLE as error:
            message = f"an event of the stream is not valid: {error}"
            raise BrokenStreamError(message, b"".join(out)) from None
        if event.type == "error":
            raise StreamErrorChunk(event.error, b"".join(out))
        if event.type == "message_stop":
            self.done, self._last = True, raw
            return
        self._learn(event)
        if not self.started and event.is_output:
            self.started = True
            out.append(self.take_pending())
        if self.started:
            self.uncounted_bytes += len(raw)
        self._pass(raw, out)

    def _learn(self, event: Event) -> None:
        """What an event says of the message, and what was made in it."""
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

    def _add_report(self, report: Any) -> None:
        """Later counts stand for earlier ones; they are never added up."""
        if isinstance(report, dict):
            self._report |= {name: told for name, told in report.items() if told is not None}

    def _pass(self, raw: bytes, out: list[bytes]) -> None:
        if self.started:
            out.append(raw)
            return
        self._pending.append(raw)
        self._pending_bytes += len(raw)
        if self._pending_bytes > PENDING_BYTES_MAX:
            message = f"no output within the first {PENDING_BYTES_MAX} bytes of the stream"
            raise BrokenStreamError(message)
