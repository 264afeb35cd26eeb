"""Our own count of what a reply holds, for when the provider gives none (money rule 6)."""

from __future__ import annotations

from typing import Any

import msgspec

from command_api.replies.shapes import Chunk, Delta
from domain.pricing.usage import TextCount


class _Choices(msgspec.Struct):
    choices: list[Any]


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


def count_chunk(chunk: Chunk, count: TextCount) -> None:
    """Add what a chunk holds to our own count of its stream."""
    for choice in chunk.choices:
        for text in _delta_texts(choice.delta):
            count.add(text)


def count_reply(raw: bytes) -> int:
    """Our own count of a whole reply, in tokens; 0 where nothing was made (money rule 6)."""
    count, without_text = TextCount(), 0
    for choice in _decode_choices(raw).choices:
        try:
            delta = msgspec.convert(choice.get("message") or {}, Delta)
        except (msgspec.ValidationError, AttributeError):
            continue
        texts = _delta_texts(delta)
        for text in texts:
            count.add(text)
        # What has no text, such as a picture, is output all the same.
        without_text += not any(texts) and _is_output(delta)
    return count.tokens + without_text


def _delta_texts(delta: Delta) -> list[str]:
    texts = [
        value
        for value in (delta.content, delta.reasoning or delta.reasoning_content, delta.refusal)
        if isinstance(value, str)
    ]
    for call in delta.tool_calls or ():
        if call.function is not None:
            texts += [each for each in (call.function.name, call.function.arguments) if each]
        elif call.custom is not None:
            texts += [value for value in call.custom.values() if isinstance(value, str)]
    if isinstance(delta.function_call, dict):
        texts += [value for value in delta.function_call.values() if isinstance(value, str)]
    return texts
