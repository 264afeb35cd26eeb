"""The port of a guard.

A guard is asked for each prompt, and gives back what of it may be sent. Where it has to look at the
answer too, it gives an `Output`, which is this call's own and forgotten with it. What it raises is
no answer but a failure, and follows its rule `fail`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from domain.guardrails.walking import Walk

TEXT_CHARACTERS_MAX = 500_000
"""Most characters of one prompt, or of one whole answer, that guards look at."""


class BlockedError(Exception):
    """The guard lets this text through to nobody. It never says what it found."""


class TooMuchTextError(Exception):
    """There is more text than guards look at: that is a failure, with a rule as any other."""


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
