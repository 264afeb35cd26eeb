"""What a caller's model id names: a provider's own id at that provider, or a model anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Container


class ModelName(NamedTuple):
    """A model id, read once: the provider it pins a call to, if any, and the id meant there.

    Without a provider, `id` is the whole text.
    """

    provider: str | None
    id: str

    @classmethod
    def read(cls, text: str, configured: Container[str]) -> ModelName:
        """A first segment that is a configured provider's name pins; the rest, slashes included,
        is that provider's own id. Any other first segment is part of the id.
        """
        head, slash, rest = text.partition("/")
        if slash and head in configured:
            return cls(head, rest)
        return cls(None, text)
