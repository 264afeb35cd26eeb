"""Cuts texts into portions that a model takes, at the end of a sentence or a word where it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.guardrails.sentences import end_of_sentences

if TYPE_CHECKING:
    from collections.abc import Iterable

BETWEEN = "\n\n"
"""Between texts that stand in one portion."""
BYTES_MIN = 4
"""Of a portion: no character has more in UTF-8 (RFC 3629, section 3)."""
LOOKED_BACK = 4
"""A cut is looked for in the last part in so many of a portion."""


def portions(texts: Iterable[str], *, characters: int, bytes_max: int | None) -> list[str]:
    """All texts in portions of so many characters, and of so many bytes, in order.

    Nothing is left out but white space at a cut. `bytes_max` is at least BYTES_MIN.
    """
    made: list[str] = []
    left = BETWEEN.join(each for each in texts if each.strip())
    while left:
        end = _end(left, characters, bytes_max)
        portion, left = left[:end], left[end:]
        if portion.strip():
            made.append(portion)
    return made


def _end(text: str, characters: int, bytes_max: int | None) -> int:
    end = min(len(text), characters)
    if bytes_max is not None:
        while len(text[:end].encode("utf-8", "surrogatepass")) > bytes_max:
            over = len(text[:end].encode("utf-8", "surrogatepass")) - bytes_max
            end -= max(1, over // BYTES_MIN)
    if end == len(text):
        return end
    begin = end - end // LOOKED_BACK
    last = text[begin:end]
    cut = end_of_sentences(last) or last.rfind(" ") + 1
    return begin + cut if cut else end
