"""The port of a guard.

A guard is asked for each prompt, and gives back what of it may be sent. Where it has to look at the
answer too, it gives an `Output`, which is this call's own and forgotten with it. What it raises is
no answer but a failure, and follows its rule `fail`.

A guard that has to wait for somebody gives `Asks`: they are awaited once the prompt went through
all guards, before anything is held. Guards that wait for nobody have none, and nobody awaits them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from domain.guardrails.walking import Walk
    from edge.caller import Caller
    from edge.errors import ApiError

TEXT_CHARACTERS_MAX = 500_000
"""Most characters of one prompt, or of one whole answer, that guards look at."""


class BlockedError(Exception):
    """The guard lets this text through to nobody. It never says what it found."""


class TooMuchTextError(Exception):
    """There is more text than guards look at: that is a failure, with a rule as any other."""


class OwnRefusalError(Exception):
    """What a guard asks for is refused for a reason of the caller's own: credits, a limit.

    No rule of the guard's passes it over: else who has no credits left would have no guard either.
    """

    def __init__(self, error: ApiError) -> None:
        """`error` is what the caller would be told of a call of his own."""
        super().__init__(error.code)
        self.error = error


class Moderated(NamedTuple):
    """A call to ask a model with; `input` is as in a body for `/v1/moderations`."""

    guarded_call_id: str
    caller: Caller
    model: str
    input: list[Any]
    timeout_s: float
    idempotency_key: str = ""


class Verdicts(NamedTuple):
    """What such a call was answered: its id, and its body, or why it has none.

    `refused` says that nothing was held, for a reason of the caller's own.
    """

    call_id: str
    body: bytes
    error: ApiError | None = None
    refused: bool = False
    held: bool = True


class Takes(NamedTuple):
    """What a model takes: bytes of one text, inputs of one call, pictures."""

    bytes_max: int | None
    inputs_max: int
    pictures: bool


class Judge(Protocol):
    """Asks models for guards, by calls that the guarded call's caller pays."""

    def takes(self, model: str, /) -> Takes:
        """What it takes, as far as the catalog says."""
        ...

    async def ask(self, asked: Moderated, /) -> Verdicts:
        """The answer, in time."""
        ...


class OfCall(NamedTuple):
    """Whose prompt or answer is looked at, and who asks models for it.

    `key` is empty, or stands for the caller's idempotency key: what is asked again under it is
    charged once.
    """

    judge: Judge
    caller: Caller
    call_id: str
    key: bytes = b""


class Asks(Protocol):
    """What a guard asks of others for one call."""

    calls: list[str]
    """The calls that it made for this prompt; then, for the answer, those it made since."""

    def prompt(self, of: OfCall, /) -> Awaitable[None]:
        """Look at the prompt; raises BlockedError, OwnRefusalError."""
        ...

    @property
    def pending(self) -> bool:
        """Whether there is text of the answer that nobody has looked at."""
        ...

    @property
    def ready(self) -> bool:
        """Whether so much is pending that it is to be looked at now."""
        ...

    def answer(self, of: OfCall, /) -> Awaitable[None]:
        """Look at all that is pending; raises BlockedError, OwnRefusalError."""
        ...


class Channel(Protocol):
    """One text of a streamed answer as it comes."""

    held: str
    """What was taken and not yet given. An `add` that raises leaves it as it was."""

    def add(self, more: str, /) -> str:
        """Take more; what of it may be told now. Raises BlockedError."""
        ...

    def end(self) -> str:
        """The text is over: the rest. Raises BlockedError."""
        ...


class Output(Protocol):
    """What a guard does with the answer to one call."""

    decision: str
    """What its story says of it, unless it is blocked."""

    @property
    def count(self) -> int:
        """How many different values it has changed."""
        ...

    def whole(self, text: str, /, *, inside_json: bool) -> str:
        """A whole text, as it may be told; raises BlockedError.

        `inside_json` says that it is JSON's own text, which must stay so.
        """
        ...

    def echoed(self, text: str, /) -> str:
        """A text of the prompt that the answer repeats."""
        ...

    def channel(self, *, inside_json: bool) -> Channel:
        """What takes a text that comes in pieces."""
        ...


class Looked(NamedTuple):
    """What a guard says of a prompt: the body to send, and how often it was changed."""

    body: dict[str, Any]
    decision: str
    changes: int = 0
    output: Output | None = None
    asks: Asks | None = None


class Guard(Protocol):
    """One guard, for all calls of a process."""

    name: str
    fail_open: bool
    """What becomes of a call where the guard fails: it goes on without it, or is refused."""

    def prompt(self, body: dict[str, Any], /) -> Looked:
        """Look at a body; raises BlockedError. The body is not changed, but made anew."""
        ...


class Counted:
    """Counts the texts of one look, so that it has an end."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        """Nothing was looked at yet."""
        self._left = TEXT_CHARACTERS_MAX

    def take(self, text: str) -> str:
        """The text; raises TooMuchTextError."""
        self._left -= len(text)
        if self._left < 0:
            message = f"more than {TEXT_CHARACTERS_MAX} characters"
            raise TooMuchTextError(message)
        return text


def over_prompt(body: dict[str, Any], walk: Walk) -> dict[str, Any]:
    """A body with the texts of its prompt taken; raises what the walk does."""
    return {
        name: value if name in ROUTING else walk.over({name: value})[name]
        for name, value in body.items()
    }


ROUTING = frozenset(
    {
        *("model", "models", "provider", "route", "routing", "include", "tool_choice"),
        *("modalities", "stream_options", "context_management", "thinking", "reasoning"),
    }
)
"""Members of a body that hold names alone."""
