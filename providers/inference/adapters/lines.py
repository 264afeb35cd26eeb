"""Whole lines out of pieces that end anywhere, each byte joined once."""

from __future__ import annotations


class LineTooLongError(Exception):
    """A line has grown past its maximum."""


class WholeLines:
    """Keeps the beginning of a line until its end is there."""

    __slots__ = ("_bytes_max", "_kept", "_kept_bytes")

    def __init__(self, bytes_max: int) -> None:
        """`bytes_max` bounds what is kept of one line."""
        self._bytes_max = bytes_max
        self._kept: list[bytes] = []
        self._kept_bytes = 0

    def add(self, piece: bytes) -> bytes:
        """The lines that are whole with this piece; raises LineTooLongError."""
        cut = piece.rfind(b"\n") + 1
        if cut == len(piece) and not self._kept:
            return piece
        block = b""
        if cut:
            self._kept.append(piece[:cut])
            block = b"".join(self._kept)
            self._kept, self._kept_bytes = [], 0
            piece = piece[cut:]
        if piece:
            self._kept.append(piece)
            self._kept_bytes += len(piece)
            if self._kept_bytes > self._bytes_max:
                message = f"a line of the stream is longer than {self._bytes_max} bytes"
                raise LineTooLongError(message)
        return block

    def rest(self) -> bytes:
        """What is left of a last line without its line break."""
        rest, self._kept, self._kept_bytes = b"".join(self._kept), [], 0
        return rest
