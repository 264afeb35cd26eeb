"""Completions, OpenAI's older API: a whole one as chunks, and chunks as a whole one.

Source: OpenAI's OpenAPI document (version 2.3.0), `CreateCompletionResponse`: a chunk is one, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from command_api.replies.replayed.chat import DONE
from command_api.replies.replayed.parts import NotWholeError, Object, Texts, data_in, place_in

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
    whole: Object = {}
    choices: dict[int, _Choice] = {}
    for chunk in data_in(made):
        whole |= {n: t for n, t in chunk.items() if n not in OF_STREAMS and t is not None}
        if chunk.get("usage") is not None:
            whole["usage"] = chunk["usage"]
        for choice in chunk.get("choices") or ():
            choices.setdefault(place_in(choice), _Choice()).take(choice)
    if not choices:
        message = "a stream without a choice"
        raise NotWholeError(message)
    return {**whole, "choices": [{"index": at, **choices[at].whole()} for at in sorted(choices)]}


class _Choice:
    """One text as it comes."""

    def __init__(self) -> None:
        self._text, self._logprobs = Texts(), Texts()
        self._others: Object = {}
        self._finish: Any = None

    def take(self, choice: Object) -> None:
        """What a chunk says of it; raises NotWholeError."""
        for name, told in choice.items():
            if name == "text":
                self._text.add(name, told)
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
            message = "a text that did not end"
            raise NotWholeError(message)
        told = {"logprobs": self._logprobs.whole() or None, "finish_reason": self._finish}
        return {"text": "", **self._text.whole(), **self._others, **told}
