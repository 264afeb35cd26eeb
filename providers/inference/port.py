"""The port to an inference upstream.

UpstreamError
├── UpstreamBusyError        no connection was free; nothing was sent
├── UpstreamConnectError     no connection could be made; nothing was sent
├── UpstreamTimeoutError     too long without a byte, or the whole attempt took too long
├── UpstreamBrokenError      the reply broke off, or was not HTTP
├── UpstreamTooLargeError    the reply is larger than its named maximum
├── UpstreamInterruptedError we gave the attempt up ourselves
└── UnsupportedError         this provider has no way to do what was asked; nothing was sent
"""

from __future__ import annotations

from contextvars import ContextVar
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

TRACE: ContextVar[bytes] = ContextVar("traceparent", default=b"")
"""The caller's `traceparent` (W3C Trace Context), which goes upstream with the call; or b""."""


class Forwarded(NamedTuple):
    """What a caller's own headers say of Anthropic's API: the version, and betas in their order.

    Checked before, so that they may stand in a head; empty where he says nothing.
    """

    version: str = ""
    betas: str = ""


FORWARDED: ContextVar[Forwarded] = ContextVar("forwarded", default=Forwarded())  # noqa: B039 - it never changes.
"""They go to who speaks that API itself, and to nobody else."""


class Operation(StrEnum):
    """What an upstream is asked to do: the first three in the form that OpenAI's kind speaks.

    Only who takes Messages, Responses or completions as they are is asked for them
    (`takes_messages`, `takes_responses`, `takes_completions`).
    """

    CHAT = "chat"
    EMBEDDINGS = "embeddings"
    IMAGES = "images"
    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    RESPONSES = "responses"
    COMPLETIONS = "completions"
    TRANSCRIPTIONS = "transcriptions"
    TRANSLATIONS = "translations"
    MODERATIONS = "moderations"
    RERANK = "rerank"
    SPEECH = "speech"
    IMAGE_EDITS = "image_edits"
    IMAGE_VARIATIONS = "image_variations"
    REALTIME = "realtime"


class FormFile(NamedTuple):
    """A file of a form: `size` bytes, that `read(offset, size)` reads on a thread.

    It may be read more than once, and by several attempts at the same time. Raises OSError.
    """

    field: str
    name: str
    kind: str
    size: int
    read: Callable[[int, int], bytes]


class Form(NamedTuple):
    """Fields, and files behind them."""

    fields: tuple[tuple[str, str], ...]
    files: tuple[FormFile, ...]


class UpstreamError(Exception):
    """The attempt failed below HTTP; `code` goes into the attempt's record."""

    code = "upstream_error"


class UpstreamConnectError(UpstreamError):
    """No connection could be made."""

    code = "connect_error"


class UpstreamBusyError(UpstreamError):
    """There are as many connections as there may be, and none was free in time."""

    code = "connections_busy"


class UpstreamTimeoutError(UpstreamError):
    """The upstream took too long."""

    code = "timeout"


class UpstreamBrokenError(UpstreamError):
    """The reply ended before it was complete."""

    code = "broken_reply"


class UpstreamTooLargeError(UpstreamError):
    """The reply exceeds its limit."""

    code = "reply_too_large"


class UpstreamInterruptedError(UpstreamError):
    """The caller of this port interrupted the attempt."""

    code = "interrupted"


class UnsupportedError(UpstreamError):
    """The provider has no counterpart for something in the request; says what."""

    code = "unsupported_by_provider"


class UpstreamReply(Protocol):
    """A reply whose status and headers have arrived. Header names are lower-case bytes."""

    status: int
    headers: dict[bytes, bytes]

    @property
    def report(self) -> dict[str, Any] | None:
        """The usage that the provider has reported so far, in OpenAI's form.

        Only where it is known before the stream tells it; None elsewhere.
        """
        ...

    async def whole(self) -> bytes:
        """The complete body; raises UpstreamError."""
        ...

    async def piece(self) -> bytes:
        """What has arrived since the last piece, at least one byte; b"" at a clean end.

        Raises UpstreamError.
        """
        ...

    def interrupt(self) -> None:
        """Make a pending or later wait raise UpstreamInterruptedError."""
        ...

    def release(self) -> None:
        """Done with the reply: keep its connection if it can be reused, else close it."""
        ...


class Upstream(Protocol):
    """One upstream, spoken to in OpenAI's form whatever it speaks itself, or in its own."""

    async def send(
        self, operation: Operation, body: bytes, *, stream: bool = False
    ) -> UpstreamReply:
        """Send a body in the operation's form, await status and headers; raises UpstreamError.

        The reply is in that form too, but for errors, which come as the provider sent them.
        """
        ...

    async def close(self) -> None:
        """Close idle connections."""
        ...


@runtime_checkable
class TakesForms(Protocol):
    """An upstream that takes files in OpenAI's forms."""

    async def send_form(
        self, operation: Operation, form: Form, *, stream: bool = False
    ) -> UpstreamReply:
        """Send a form, await status and headers; raises UpstreamError."""
        ...


class RealtimeLimits(NamedTuple):
    """What bounds a session upstream: seconds to open it, and bytes of one frame."""

    connect_s: float
    frame_bytes_max: int


class RealtimeRefusal(NamedTuple):
    """The answer of a provider that opens no session. Header names are lower-case bytes."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class RealtimeChannel(Protocol):
    """A session that is open: frames of text, each an event of OpenAI's Realtime API."""

    async def send(self, text: str) -> None:
        """Send one frame, once there is room for it; raises UpstreamError."""
        ...

    async def receive(self) -> str | None:
        """The next frame; None at a clean end. Raises UpstreamError."""
        ...

    async def close(self) -> None:
        """Say good-bye, within a time."""
        ...

    def abort(self) -> None:
        """End at once."""
        ...


@runtime_checkable
class TakesRealtime(Protocol):
    """An upstream that has realtime sessions."""

    async def open_session(
        self, model: str, limits: RealtimeLimits
    ) -> RealtimeChannel | RealtimeRefusal:
        """Open a session with a model, by the provider's own id; raises UpstreamError."""
        ...
