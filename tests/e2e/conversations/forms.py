"""The port of a form: how an API writes a conversation and reads it, whole and in a stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tests.e2e.conversations.talks import Asked, Call, Said, Say


class CallersForm(Protocol):
    """An API as who calls speaks it."""

    path: str

    def body(self, asked: Asked) -> dict[str, Any]:
        """What the caller sends, but the model; raises Unsayable."""

    def goes_on(self, body: dict[str, Any], answer: dict[str, Any], result: Say) -> dict[str, Any]:
        """The body of the next turn: with the answer as it came, and a tool's result."""

    def hears(self, said: Said) -> Said:
        """What of an answer the API has words for."""

    def whole(self, body: dict[str, Any]) -> Said:
        """What a whole answer says."""

    def streamed(self, raw: bytes) -> Said:
        """What a stream says."""


class ProvidersForm(Protocol):
    """An API as a provider speaks it."""

    def asked(self, body: dict[str, Any]) -> Asked:
        """What a body asks."""

    def tells(self, said: Said) -> Said:
        """What of an answer the API has words for."""

    def answer(self, said: Said) -> dict[str, Any]:
        """The whole answer."""

    def pieces(self, said: Said) -> list[bytes]:
        """The same as a stream."""


class UnsayableError(Exception):
    """The API has no words for it."""


def arguments(call: Call) -> str:
    """A call's arguments as text."""
    return json.dumps(dict(call.arguments))


def read_arguments(text: str | dict[str, Any]) -> tuple[tuple[str, int], ...]:
    """The same read back."""
    found = json.loads(text) if isinstance(text, str) else text
    return tuple(found.items())


def halves(text: str) -> tuple[str, ...]:
    """A text as a stream tells it."""
    middle = len(text) // 2
    return tuple(part for part in (text[:middle], text[middle:]) if part)


def data_url(media: tuple[str, str]) -> str:
    """Media as a data URL."""
    return f"data:{media[0]};base64,{media[1]}"


def of_data_url(url: str) -> tuple[str, str]:
    """The media in a data URL."""
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return kind, data


def data(told: dict[str, Any]) -> bytes:
    """An event without a name."""
    return b"data: " + json.dumps(told).encode() + b"\n\n"


def named(told: dict[str, Any]) -> bytes:
    """An event that is named as its data says."""
    return f"event: {told['type']}\n".encode() + data(told)


def events(raw: bytes) -> list[dict[str, Any]]:
    """The data of a stream's events."""
    lines = [line[5:].strip() for line in raw.splitlines() if line.startswith(b"data:")]
    return [json.loads(line) for line in lines if line != b"[DONE]"]
