"""Ids of files and batches as OpenAI's clients see them: a word, and 32 digits."""

from __future__ import annotations

import re
from uuid import UUID

FILE, BATCH = "file-", "batch_"
_HEX = re.compile(r"[0-9a-f]{32}")


def shown_id(prefix: str, made: UUID) -> str:
    """An id as it is shown."""
    return f"{prefix}{made.hex}"


def id_of(prefix: str, text: str) -> UUID | None:
    """The id behind what a caller sent; None where it is none of ours."""
    digits = text.removeprefix(prefix)
    return UUID(digits) if text.startswith(prefix) and _HEX.fullmatch(digits) else None
