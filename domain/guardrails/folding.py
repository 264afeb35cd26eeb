"""A text as it is looked at: wide digits are plain ones, and what nobody sees is not there.

Source: Unicode 15, Halfwidth and Fullwidth Forms (U+FF01 to U+FF5E), General Categories Cc (but for
white space) and Cf, Default_Ignorable_Code_Point, and other letters that are drawn as nothing.
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
    "\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_WIDE = re.compile(
    "[\uff01-\uff5e\u3000\u00a0\u2000-\u200a\u202f\u205f\u2010-\u2015\u2212]|(?![0-9])\\d"
)
_SPACES = re.compile(r"\s+")
_FULL_WIDTH = range(0xFF01, 0xFF5F)
_FULL_WIDTH_SHIFT = 0xFEE0
_DASHES = frozenset("\u2010\u2011\u2012\u2013\u2014\u2015\u2212")


class Folded(NamedTuple):
    """A folded text, and of each of its characters the place in the text as it came.

    `places` is None where nothing was taken out.
    """

    text: str
    places: list[int] | None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The part of the text as it came that a part of the folded one, not empty, stands for."""
        if self.places is None:
            return start, end
        return self.places[start], self.places[end - 1] + 1


def folded(text: str) -> Folded:
    """The text as detectors look at it."""
    plain = text if text.isascii() else _WIDE.sub(_narrow, text)
    if _HIDDEN.search(plain) is None:
        return Folded(plain, None)
    places: list[int] = []
    parts: list[str] = []
    at = 0
    for hidden in _HIDDEN.finditer(plain):
        parts.append(plain[at : hidden.start()])
        places += range(at, hidden.start())
        at = hidden.end()
    parts.append(plain[at:])
    places += range(at, len(plain))
    return Folded("".join(parts), places)


def _narrow(found: re.Match[str]) -> str:
    character = found[0]
    if ord(character) in _FULL_WIDTH:
        return chr(ord(character) - _FULL_WIDTH_SHIFT)
    if character in _DASHES:
        return "-"
    return str(unicodedata.decimal(character)) if character.isdecimal() else " "


def likened(text: str) -> str:
    """The text as terms are compared: without case, forms of letters, or what nobody sees.

    White space is one space.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _HIDDEN.sub("", text))
    return _SPACES.sub(" ", _HIDDEN.sub("", text).casefold())
