"""A scanner around another one, whose output it tells otherwise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk

if TYPE_CHECKING:
    from command_api.replies.scanning import Scanner
    from domain.pricing.usage import Usage


class ScannerAround(ABC):
    """A scanner whose output is told otherwise: what is counted and charged is the one's within."""

    __slots__ = ("_scanner",)

    def __init__(self, scanner: Scanner) -> None:
        """Read by `scanner`."""
        self._scanner = scanner

    @property
    def started(self) -> bool:
        """Whether there was output."""
        return self._scanner.started

    @property
    def finished(self) -> bool:
        """Whether the provider said why the output ended."""
        return self._scanner.finished

    @property
    def done(self) -> bool:
        """Whether the stream said that it is over."""
        return self._scanner.done

    @property
    def usage(self) -> Usage | None:
        """The provider's last report."""
        return self._scanner.usage

    @property
    def request_id(self) -> str | None:
        """The provider's id of the reply."""
        return self._scanner.request_id

    @property
    def uncounted_bytes(self) -> int:
        """What came since the last `count`."""
        return self._scanner.uncounted_bytes

    @property
    def output_tokens(self) -> int:
        """Our own count, as far as it has been made."""
        return self._scanner.output_tokens

    @property
    def answer_tokens(self) -> int:
        """The same without reasoning."""
        return self._scanner.answer_tokens

    def count(self) -> int:
        """Our own count of the output so far."""
        return self._scanner.count()

    def feed(self, data: bytes) -> bytes:
        """Take a piece; raises StreamErrorChunk or BrokenStreamError."""
        try:
            out = self._scanner.feed(data)
        except (BrokenStreamError, StreamErrorChunk) as error:
            error.passed = self._told(error.passed)
            raise
        return self._told(out)

    def end(self) -> bytes:
        """The provider's bytes are over; raises StreamErrorChunk or BrokenStreamError."""
        try:
            out = self._scanner.end()
        except (BrokenStreamError, StreamErrorChunk) as error:
            error.passed = self._told(error.passed)
            raise
        return self._told(out)

    def take_pending(self) -> bytes:
        """What was kept back before output, for a stream that ended without any."""
        return self._told(self._scanner.take_pending())

    @abstractmethod
    def _told(self, block: bytes, /) -> bytes:
        """Whole lines of the other's output, as they are told."""
