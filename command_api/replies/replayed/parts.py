"""What reading streams back has in common: their data, and what is put together of pieces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from command_api.replies.shapes import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

Object = dict[str, Any]
_decode = msgspec.json.Decoder(dict[str, Any]).decode
PLACES_MAX = 10_000
"""Most choices, calls or blocks that one stream is put together of."""


class NotWholeError(Exception):
    """A stream that cannot be read back into a whole answer without loss."""


def data_in(made: bytes) -> Iterator[Object]:
    """The data of a stream's events but [DONE]; raises NotWholeError for what is no object."""
    for line in made.split(b"\n"):
        if not line.startswith(b"data:"):
            continue
        payload = line[5:].strip()
        if payload == b"[DONE]":
            return
        try:
            yield _decode(payload)
        except UNREADABLE as error:
            raise NotWholeError(str(error)) from None


def place_in(told: Object) -> int:
    """The index of a choice, call or block; raises NotWholeError for none."""
    index = told.get("index")
    if type(index) is not int or not 0 <= index < PLACES_MAX:
        message = f"an index that cannot be: {index!r}"
        raise NotWholeError(message)
    return index


class Texts:
    """Texts and lists under names, put together once, not copied with each piece."""

    def __init__(self) -> None:
        """Empty."""
        self._parts: dict[str, list[Any]] = {}

    def add(self, name: str, more: Any) -> None:
        """More of a text or list; raises NotWholeError for what is neither."""
        if more is None:
            return
        if not isinstance(more, str | list):
            message = f"{name} of another kind: {type(more).__name__}"
            raise NotWholeError(message)
        parts = self._parts.setdefault(name, [])
        if parts and type(parts[0]) is not type(more):
            message = f"{name} of two kinds"
            raise NotWholeError(message)
        parts.append(more)

    def whole(self) -> Object:
        """All of them."""
        return {name: _joined(parts) for name, parts in self._parts.items()}


def _joined(parts: list[Any]) -> Any:
    if isinstance(parts[0], str):
        return "".join(parts)
    return [each for part in parts for each in part]


class Choice(ABC):
    """One choice of a completion as it comes, of a chat or of a bare text."""

    said_in: ClassVar[str]
    """The member of a chunk's choice that has a piece of it."""

    def __init__(self) -> None:
        """Nothing of it came yet."""
        self._logprobs = Texts()
        self._others: Object = {}
        self._finish: Any = None

    def take(self, choice: Object) -> None:
        """What a chunk says of it; raises NotWholeError."""
        for name, told in choice.items():
            if name == self.said_in:
                self.add(told)
            elif name == "finish_reason":
                self._finish = told or self._finish
            elif name == "logprobs":
                for each, values in (told or {}).items():
                    self._logprobs.add(each, values)
            elif name != "index" and told is not None:
                self._others[name] = told

    def whole(self) -> Object:
        """The choice of a whole completion; raises NotWholeError where it did not end."""
        if not self._finish:
            message = "a choice that did not end"
            raise NotWholeError(message)
        return self.made(self._logprobs.whole() or None)

    @abstractmethod
    def add(self, piece: Any, /) -> None:
        """One more piece; raises NotWholeError for what nobody here can put together."""

    @abstractmethod
    def made(self, logprobs: Object | None, /) -> Object:
        """The whole of its pieces; raises NotWholeError."""


def put_together(
    made: bytes, begin: Callable[[], Choice], of_streams: Collection[str], **more: Any
) -> Object:
    """The whole completion that a stream's chunks make; raises NotWholeError.

    Its `usage` is the stream's own report, if it had one; `of_streams` are members of a chunk that
    say nothing of the whole, `more` are the whole's own.
    """
    whole: Object = {}
    choices: dict[int, Choice] = {}
    for chunk in data_in(made):
        whole |= {n: t for n, t in chunk.items() if n not in of_streams and t is not None}
        if chunk.get("usage") is not None:
            whole["usage"] = chunk["usage"]
        for choice in chunk.get("choices") or ():
            place = place_in(choice)
            if place not in choices:
                choices[place] = begin()
            choices[place].take(choice)
    if not choices:
        message = "a stream without a choice"
        raise NotWholeError(message)
    told = [{"index": at, **choices[at].whole()} for at in sorted(choices)]
    return {**whole, **more, "choices": told}
