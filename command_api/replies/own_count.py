"""Our own count of what a reply holds, for when the provider gives none (money rule 6)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from command_api.replies.shapes import UNREADABLE, Chunk, Delta, Function, decode_chunk
from domain.pricing.usage import TextCount

if TYPE_CHECKING:
    from collections.abc import Callable


class _Choices(msgspec.Struct):
    choices: list[Any]


class _WholeCall(msgspec.Struct):
    """A tool call of a whole reply: it is no part of one, so it has no index."""

    function: Function | None = None
    custom: dict[str, Any] | None = None


class _WholeMessage(Delta):
    """The message of a whole reply, as far as it was made."""

    role: Any = None
    tool_calls: list[_WholeCall] | None = None  # type: ignore[assignment]


_decode_choices = msgspec.json.Decoder(_Choices).decode


def has_output(chunk: Chunk) -> bool:
    """Whether a chunk carries text, reasoning, a tool call, or any other made thing."""
    return any(_is_output(choice.delta) for choice in chunk.choices)


def _is_output(delta: Delta) -> bool:
    return bool(
        delta.content
        or delta.reasoning
        or delta.reasoning_content
        or delta.reasoning_details
        or delta.refusal
        or delta.tool_calls
        or delta.function_call
        or delta.audio
        or delta.images
    )


class OutputCount:
    """Our own count of a stream: of all that was made, and of its answer alone."""

    __slots__ = ("answer", "whole")

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self.answer, self.whole = TextCount(), TextCount()

    def add(self, chunk: Chunk) -> None:
        """Count what a chunk holds."""
        for choice in chunk.choices:
            for text in _answer_texts(choice.delta):
                self.answer.add(text)
                self.whole.add(text)
            for text in _reasoning_texts(choice.delta):
                self.whole.add(text)


def answer_tokens(block: bytes, decode: Callable[[bytes], Chunk] = decode_chunk) -> int:
    """Our own count of the answer in some lines of a stream."""
    count = OutputCount()
    for line in block.splitlines():
        _add_line(count, line, decode)
    return count.answer.tokens


def _add_line(count: OutputCount, line: bytes, decode: Callable[[bytes], Chunk]) -> None:
    if line.startswith(b"data:"):
        with suppress(*UNREADABLE):
            count.add(decode(line[5:].strip()))


def lines_within(
    block: bytes, tokens: int, decode: Callable[[bytes], Chunk] = decode_chunk
) -> bytes:
    """The lines of a stream up to so many tokens of answer."""
    count, end = OutputCount(), 0
    for line in block.splitlines(keepends=True):
        _add_line(count, line, decode)
        if count.answer.tokens > tokens:
            break
        end += len(line)
    return block[:end]


def count_reply(raw: bytes) -> int:
    """Our own count of a whole reply, in tokens; 0 where nothing was made (money rule 6)."""
    count, without_text = TextCount(), 0
    for choice in _decode_choices(raw).choices:
        try:
            delta = msgspec.convert(choice.get("message") or {}, _WholeMessage)
        except (msgspec.ValidationError, AttributeError):
            continue
        texts = _delta_texts(delta)
        for text in texts:
            count.add(text)
        # What has no text, such as a picture, is output all the same.
        without_text += not any(texts) and _is_output(delta)
    return count.tokens + without_text


def _delta_texts(delta: Delta) -> list[str]:
    return [*_answer_texts(delta), *_reasoning_texts(delta)]


def _reasoning_texts(delta: Delta) -> list[str]:
    text = delta.reasoning or delta.reasoning_content
    return [text] if isinstance(text, str) else []


def _answer_texts(delta: Delta) -> list[str]:
    texts = [value for value in (delta.content, delta.refusal) if isinstance(value, str)]
    for call in delta.tool_calls or ():
        if call.function is not None:
            texts += [each for each in (call.function.name, call.function.arguments) if each]
        elif call.custom is not None:
            texts += [value for value in call.custom.values() if isinstance(value, str)]
    if isinstance(delta.function_call, dict):
        texts += [value for value in delta.function_call.values() if isinstance(value, str)]
    return texts
