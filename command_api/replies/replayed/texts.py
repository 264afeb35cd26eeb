"""Completions, OpenAI's older API: a whole one as chunks, and chunks as a whole one.

Source: OpenAI's OpenAPI document (version 2.3.0), `CreateCompletionResponse`: a chunk is one, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from command_api.replies.replayed.chat import DONE
from command_api.replies.replayed.parts import Choice, Object, Texts, put_together

if TYPE_CHECKING:
    from collections.abc import Iterator

OF_STREAMS = frozenset({"choices", "usage", "obfuscation"})
_encode = msgspec.json.encode


def chunks(whole: Object, *, usage: bool) -> Iterator[bytes]:
    """The stream of a whole completion, with its report of usage where that was asked for."""
    shared = {name: told for name, told in whole.items() if name not in OF_STREAMS}
    if usage:
        shared["usage"] = None
    for choice in whole["choices"]:
        yield b"data: %b\n\n" % _encode({**shared, "choices": [choice]})
    if usage:
        yield b"data: %b\n\n" % _encode({**shared, "choices": [], "usage": whole.get("usage")})
    yield DONE


def completion(made: bytes) -> Object:
    """The whole completion that a stream's chunks make; raises NotWholeError."""
    return put_together(made, _Choice, OF_STREAMS)


class _Choice(Choice):
    """One text as it comes."""

    said_in = "text"

    def __init__(self) -> None:
        super().__init__()
        self._text = Texts()

    def add(self, piece: Any) -> None:
        self._text.add(self.said_in, piece)

    def made(self, logprobs: Object | None) -> Object:
        told = {"logprobs": logprobs, "finish_reason": self._finish}
        return {"text": "", **self._text.whole(), **self._others, **told}
