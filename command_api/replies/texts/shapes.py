"""OpenAI's types of completions, as far as a reply is held against them.

A chunk has the shape of a whole reply. Read as one of chat's it has a delta, so that one scanner
reads all streams.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from command_api.replies.shapes import Chunk, Delta

FinishReason = Literal["stop", "length", "content_filter"]


class TextChoice(msgspec.Struct):
    """One choice of a chunk."""

    index: int
    text: str
    finish_reason: FinishReason | None = None
    logprobs: dict[str, Any] | None = None

    @property
    def delta(self) -> Delta:
        """The text as chat's chunks have it."""
        return Delta(content=self.text)


class WholeText(TextChoice, kw_only=True):
    """One choice of a whole reply."""

    finish_reason: FinishReason


class TextChunk(Chunk, kw_only=True):
    """One chunk of a stream."""

    object: Literal["text_completion"]  # type: ignore[assignment]
    choices: list[TextChoice]  # type: ignore[assignment]


class TextCompletion(TextChunk, kw_only=True):
    """A whole reply."""

    choices: list[WholeText]  # type: ignore[assignment]


decode_text_chunk = msgspec.json.Decoder(TextChunk).decode
decode_text = msgspec.json.Decoder(TextCompletion).decode
