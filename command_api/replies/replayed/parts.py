"""What reading streams back has in common: their data, and what is put together of pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from command_api.replies.shapes import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        return {name: _put_together(parts) for name, parts in self._parts.items()}


def _put_together(parts: list[Any]) -> Any:
    if isinstance(parts[0], str):
        return "".join(parts)
    return [each for part in parts for each in part]
