"""Chunks that are like one that was found to fit, told by the bytes around their texts.

A chunk with the same around its text fits as well, and need not be decoded: most of a stream passes
in bulk.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from command_api.replies.shapes import Chunk

_USAGE = b'"usage"'
_NO_USAGE = re.compile(rb'"usage"\s*:\s*null')
_BACKSLASH = ord("\\")


class Likeness:
    """What stands around the text of the last chunk that was looked at."""

    __slots__ = ("_junction", "_prefix", "_rest_of_line", "_suffix")

    def __init__(self) -> None:
        """No chunk was seen, so none is like it."""
        self._prefix = self._suffix = self._rest_of_line = self._junction = b""

    def learn(self, line: bytes, chunk: Chunk) -> None:
        """Remember what stands around the text of a chunk that was found to fit.

        Another chunk with the same around its text fits as well, and need not be decoded. (What
        it might have between its text and a like end is not looked at.)
        """
        if len(chunk.choices) != 1 or chunk.choices[0].finish_reason or chunk.usage is not None:
            return
        name = b'"content"' if chunk.choices[0].delta.content else b'"reasoning_content"'
        begin = line.find(name)
        begin = line.find(b'"', begin + len(name)) + 1 if begin >= 0 else 0
        end = _end_of_string(line, begin)
        close = line.find(b"}]", end)
        if begin > 0 and 0 < end < close:
            self._prefix, self._rest_of_line = line[:begin], line[end:]
            blank = b"\r\n" if line.endswith(b"\r\n") else b"\n"
            self._junction = self._rest_of_line + blank + self._prefix
            self._suffix = line[end : close + 2]

    def bulk(self, block: bytes, at: int) -> tuple[int, int]:
        """Up to where a block passes without a look; else up to where each line needs one."""
        if self._prefix:
            last = block.rfind(self._rest_of_line, at)
            cut = last + len(self._rest_of_line)
            if last >= 0 and self._joined(block, at, cut):
                return cut + (block[cut : cut + 1] == b"\n"), 0
        # Chunks whose ends differ, as with OpenAI's padding, are alike up to their choices; then
        # no line with a suspicious word is passed over.
        found = _suspicious(block, at)
        cut = len(block) if found < 0 else block.rfind(b"\n", at, found) + 1
        if cut > at and self._alike(block, at, cut):
            return cut, 0
        return at, cut

    def _joined(self, block: bytes, at: int, cut: int) -> bool:
        """Whether chunks follow each other with nothing between their texts but what fitted."""
        start = at + (block[at : at + 1] == b"\n")
        return block.startswith(self._prefix, start) and (
            block.count(self._junction, start, cut) == block.count(b"data:", start, cut) - 1
        )

    def _alike(self, block: bytes, at: int, cut: int) -> bool:
        """Whether all chunks of a block have beside their text what fitted before."""
        chunks = block.count(b"data:", at, cut)
        if not chunks:
            return True
        return (
            bool(self._prefix)
            and block.count(self._prefix, at, cut) == chunks
            and block.count(self._suffix, at, cut) == chunks
        )


def _suspicious(block: bytes, at: int) -> int:
    """Where the next word stands that makes a line worth a look; -1 for nowhere.

    Three plain searches: one regular expression for all of them takes ten times as long.
    """
    found = (block.find(b'"error"', at), block.find(b"[DONE]", at))
    first = min((place for place in found if place >= 0), default=-1)
    # Up to there only: what is behind is looked at when its turn comes.
    end = len(block) if first < 0 else first
    usage = block.find(_USAGE, at, end)
    while usage >= 0 and _NO_USAGE.match(block, usage):
        usage = block.find(_USAGE, usage + len(_USAGE), end)
    return first if usage < 0 else usage


def _end_of_string(line: bytes, begin: int) -> int:
    """Where the JSON string that begins here ends; -1 when it does not."""
    end = line.find(b'"', begin)
    while end > 0:
        escapes = end
        while escapes > begin and line[escapes - 1] == _BACKSLASH:
            escapes -= 1
        if (end - escapes) % 2 == 0:
            return end
        end = line.find(b'"', end + 1)
    return end
