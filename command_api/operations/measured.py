"""What a body's prompt adds up to, whatever API it is of (money rule 2, money rule 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from command_api.operations.prompts import FILE_TOKENS, IMAGE_TOKENS, MESSAGE_TOKENS
from domain.ledger.holds import PromptSize
from edge.body import RAW_NULL

if TYPE_CHECKING:
    import msgspec

    from domain.images.sizes import Picture


class Prompt(NamedTuple):
    """The size of a prompt, and our own count of its texts in tokens (money rule 6)."""

    size: PromptSize
    tokens: int


class Sums:
    """Adds a prompt up; what a message holds is read by who knows its API."""

    def __init__(self) -> None:
        """Nothing was added."""
        self._text = self._others = self._images = self._files = self._minutes = 0
        self._tokens = self._messages = 0
        self._pictures: list[Picture] = []

    def raw(self, *members: msgspec.Raw) -> None:
        """Members that are prompt as they stand, such as tools."""
        for each in members:
            if each is not RAW_NULL and bytes(each) != b"null":
                self._text += len(each)
                self._tokens += -(-len(each) // 4)

    def others(self, size: int) -> None:
        """Bytes of what nobody here knows."""
        self._others += size
        self._tokens += -(-size // 4)

    def prompt(self) -> Prompt:
        """All of it."""
        size = PromptSize(
            text_bytes=self._text,
            messages=self._messages,
            images=self._images,
            audio_minutes=self._minutes,
            files=self._files,
            other_bytes=self._others,
            pictures=tuple(self._pictures),
        )
        parts = self._images * IMAGE_TOKENS + self._files * FILE_TOKENS
        return Prompt(size, self._tokens + self._messages * MESSAGE_TOKENS + parts)
