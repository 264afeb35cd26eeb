"""What reads a provider's stream as it passes, in whatever form it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.pricing.usage import Usage
    from edge.errors import ApiError

    Paid = Callable[[], tuple[Usage, int]]
    """What of a stream's usage is charged, and how much, in nano-USD."""


class BrokenStreamError(Exception):
    """The stream holds something that is not a chunk, or grew past a limit."""

    def __init__(self, message: str, passed: bytes = b"") -> None:
        """`passed` is what may be passed on before it."""
        super().__init__(message)
        self.passed = passed


class StreamErrorChunk(Exception):
    """The provider reported an error inside the stream; `error` is its error member."""

    def __init__(self, error: Any, passed: bytes) -> None:
        """Keep the provider's own error member, and what may be passed on before it."""
        super().__init__("error chunk")
        self.error, self.passed = error, passed


class Scanner(Protocol):
    """Feed it what arrives; it returns what may be passed on, and says what it found.

    Nothing is passed on before the first output, so that a failure can still be an honest status;
    and the stream's end is kept back until the charge is durable.
    """

    @property
    def started(self) -> bool:
        """Whether there was output."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the provider said why the output ended."""
        ...

    @property
    def done(self) -> bool:
        """Whether the stream said that it is over."""
        ...

    @property
    def usage(self) -> Usage | None:
        """The provider's last report."""
        ...

    @property
    def request_id(self) -> str | None:
        """The provider's id of the reply."""
        ...

    @property
    def uncounted_bytes(self) -> int:
        """What came since the last `count`."""
        ...

    @property
    def output_tokens(self) -> int:
        """Our own count of the output, as far as it has been made."""
        ...

    @property
    def answer_tokens(self) -> int:
        """The same without reasoning."""
        ...

    def feed(self, data: bytes, /) -> bytes:
        """Take a piece; raises StreamErrorChunk or BrokenStreamError."""
        ...

    def end(self) -> bytes:
        """The provider's bytes are over; raises StreamErrorChunk or BrokenStreamError."""
        ...

    def take_pending(self) -> bytes:
        """What was kept back before output, for a stream that ended without any."""
        ...

    def count(self) -> int:
        """Our own count of the output so far, in tokens (money rule 6)."""
        ...

    def within(self, out: bytes, answer_tokens: int, /) -> bytes:
        """Of the last output, what lies within so many tokens of answer altogether."""
        ...

    def ending(self, paid: Paid, /) -> bytes:
        """The end of a stream that ended by itself."""
        ...

    def cut_short(self, paid: Paid, /) -> bytes:
        """The end of one that was cut behind what was `within`, for it has reached its maximum."""
        ...


class TellsFailure(Scanner, Protocol):
    """A scanner of a stream whose failures are no envelope, but an event of its own."""

    def broken(self, error: ApiError, /) -> bytes:
        """The end of a stream that has begun and cannot go on."""
        ...


class HasKind(Scanner, Protocol):
    """A scanner of a stream whose content type is the provider's to say."""

    kind: bytes
    """The content type that the caller is told."""
    breaks_off: bool
    """Whether the stream has no way to say that it failed, but to end without its end."""

    def begins(self, content_type: bytes, /) -> None:
        """Take the provider's content type; raises BrokenStreamError for another kind."""
        ...


class MakesResponse(Scanner, Protocol):
    """A scanner of a stream that ends with the whole of what it made."""

    response: dict[str, Any] | None
    """The whole, once the stream has ended with it."""


# What a scanner has beside is asked by one name of it: a check of a whole protocol takes 20 µs, and
# these are on the way of every stream.


def tells_failure(scanner: object) -> TypeGuard[TellsFailure]:
    """Whether its stream's failures are events of its own."""
    return hasattr(scanner, "broken")


def has_kind(scanner: object) -> TypeGuard[HasKind]:
    """Whether its stream's content type is the provider's to say."""
    return hasattr(scanner, "breaks_off")


def makes_response(scanner: object) -> TypeGuard[MakesResponse]:
    """Whether its stream ends with the whole of what it made."""
    return hasattr(scanner, "response")
