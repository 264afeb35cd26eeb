"""Events that pass as they came, of an API whose last one stands for the end of its streams."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from command_api.replies.own_count import OutputCount
from command_api.replies.scanners.wire import data_of
from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk
from command_api.replies.shapes import UNREADABLE
from command_api.replies.sse import LINE_BYTES_MAX, PENDING_BYTES_MAX
from providers.inference.adapters.lines import LineTooLongError, WholeLines

if TYPE_CHECKING:
    from command_api.replies.scanning import Paid
    from domain.pricing.usage import Usage

Event = TypeVar("Event")


class PassedEvents(ABC, Generic[Event]):
    """Feed it what arrives; it returns what may be passed on (`replies/scanning`).

    Kept back are events before the first output, and the last one.
    """

    LAST: ClassVar[str]
    """The event with which a stream ends."""
    ENDS: ClassVar[tuple[bytes, ...]]
    """What stands in an event that still counts though its end did not come."""
    __slots__ = (
        *("_count", "_event", "_event_bytes", "_last", "_lines", "_pending", "_pending_bytes"),
        *("done", "finished", "request_id", "started", "uncounted_bytes", "usage"),
    )

    def __init__(self) -> None:
        """Nothing came yet."""
        self._lines = WholeLines(LINE_BYTES_MAX)
        self._event: list[bytes] = []
        self._event_bytes = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._count = OutputCount()
        self._last = b""
        self.uncounted_bytes = 0
        self.started = self.finished = self.done = False
        self.usage: Usage | None = None
        self.request_id: str | None = None

    @abstractmethod
    def _decoded(self, data: bytes, /) -> Event:
        """An event of its data; raises what UNREADABLE names."""

    @abstractmethod
    def _learn(self, event: Event, raw: bytes, /) -> bool:
        """Whether an event is output, and what it says; raises StreamErrorChunk.

        Of the last one it keeps `raw`, and it is done.
        """

    def _begin_block(self) -> None:
        """More whole lines are read now."""

    @property
    def output_tokens(self) -> int:
        """All of it, counted as it came."""
        return self._count.whole.tokens

    @property
    def answer_tokens(self) -> int:
        """Without what was thought."""
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
        self._begin_block()
        return self._process(block)

    def end(self) -> bytes:
        """The bytes are over, which is no end before the last event: raises BrokenStreamError."""
        if self.done:
            return b""
        rest = b"".join([*self._event, self._lines.rest()])
        # Of an event without its end only what it says of the reply counts (HTML, 9.2.6).
        if any(kind in rest for kind in self.ENDS):
            self._take(rest + b"\n\n", [])
        if not self.done:
            raise self._ended_early()
        return b""

    def take_pending(self) -> bytes:
        """What was kept back before output, for a stream that ended without any."""
        pending = b"".join(self._pending)
        self._pending, self._pending_bytes = [], 0
        return pending

    def ending(self, paid: Paid) -> bytes:
        """The last event, which was kept back."""
        del paid  # It was told with the provider's own report.
        return self._last

    def _ended_early(self) -> BrokenStreamError:
        return BrokenStreamError(f"the stream ended before {self.LAST}")

    def _process(self, block: bytes) -> bytes:
        out: list[bytes] = []
        try:
            for line in block.splitlines(keepends=True):
                if self.done:
                    break
                self._event.append(line)
                self._event_bytes += len(line)
                if self._event_bytes > LINE_BYTES_MAX:
                    message = f"an event of the stream is longer than {LINE_BYTES_MAX} bytes"
                    raise BrokenStreamError(message)
                if not line.strip():
                    raw = b"".join(self._event)
                    self._event, self._event_bytes = [], 0
                    self._take(raw, out)
        except (BrokenStreamError, StreamErrorChunk) as error:
            error.passed = b"".join(out)
            raise
        return b"".join(out)

    def _take(self, raw: bytes, out: list[bytes]) -> None:
        data = data_of(raw)
        if data:
            try:
                event = self._decoded(data)
            except UNREADABLE as error:
                message = f"an event of the stream is not valid: {error}"
                raise BrokenStreamError(message) from None
            is_output = self._learn(event, raw)
            if self.done:
                return
            if not self.started and is_output:
                self.started = True
                out.append(self.take_pending())
            if self.started:
                self.uncounted_bytes += len(raw)
        self._pass(raw, out)

    def _pass(self, raw: bytes, out: list[bytes]) -> None:
        if self.started:
            out.append(raw)
            return
        self._pending.append(raw)
        self._pending_bytes += len(raw)
        if self._pending_bytes > PENDING_BYTES_MAX:
            message = f"no output within the first {PENDING_BYTES_MAX} bytes of the stream"
            raise BrokenStreamError(message)
