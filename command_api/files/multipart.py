"""Bodies of `multipart/form-data` (RFC 7578, RFC 2046), read as they come, in bounded memory.

Two functions are all of it: the boundary of a content type, and the pieces of a body.
"""

from __future__ import annotations

import re
from email.message import EmailMessage
from typing import TYPE_CHECKING, NamedTuple

from edge.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterator

    from edge.errors import ApiError

BOUNDARY_CHARACTERS_MAX = 70
"""As RFC 2046 (5.1.1) has it."""
HEAD_BYTES_MAX = 8 * 1024
PARTS_MAX = 64
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_DISPOSITION = re.compile(r"content-disposition: *form-data((?: *;.*)?)", re.IGNORECASE)
_MEMBER = re.compile(r'; *([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^;"\s]+)')


class Piece(NamedTuple):
    """Some bytes of a part; every part has at least one piece, and `last` marks its end."""

    name: str
    filename: str | None
    data: bytes
    last: bool


def boundary_of(content_type: bytes) -> bytes:
    """The boundary that a content type names; raises ApiError 400 for another type."""
    message = EmailMessage()
    try:
        message["content-type"] = content_type.decode("ascii")
        boundary = message.get_boundary()
    except (UnicodeDecodeError, ValueError):
        boundary = None
    if (
        message.get_content_type() != "multipart/form-data"
        or boundary is None
        or not _BOUNDARY.fullmatch(boundary)
    ):
        text = "The body must be multipart/form-data with a boundary of 1 to 70 characters."
        raise bad_request("invalid_multipart", text)
    return boundary.encode()


async def pieces_of(body: AsyncIterable[bytes], boundary: bytes) -> AsyncIterator[Piece]:
    """The pieces of all parts in their order; raises ApiError 400 for a body that is none.

    Kept at any time: one piece of the body, a part's head, or less than a boundary.
    """
    reader = _Reader(boundary)
    async for more in body:
        for piece in reader.read(more):
            yield piece
    if not reader.ended:
        raise _broken("it ends before its last boundary")


class _Reader:
    """Where in a body it is: before the first part, in a head or a content, or behind all."""

    def __init__(self, boundary: bytes) -> None:
        """What stands before the first boundary is a preamble, which nobody reads."""
        self._mark = b"\r\n--" + boundary
        self._held = b"\r\n"  # The first boundary may stand at the very beginning.
        self._part: tuple[str, str | None] | None = None
        self._in_head, self._parts = False, 0
        self.ended = False

    def read(self, more: bytes) -> Iterator[Piece]:
        """What is whole with these bytes; raises ApiError 400."""
        if self.ended:
            return  # An epilogue, which nobody reads.
        self._held += more
        while not self.ended:
            if self._in_head:
                if not self._read_head():
                    return
                continue
            found = self._held.find(self._mark)
            if found < 0:
                yield from self._unfinished()
                return
            if self._part is not None:
                yield Piece(*self._part, self._held[:found], last=True)
            self._held = self._held[found + len(self._mark) :]
            self._part, self._in_head = None, True

    def _unfinished(self) -> Iterator[Piece]:
        """What cannot be a part of the next boundary any more."""
        keep = len(self._mark) - 1
        if len(self._held) <= keep:
            return
        if self._part is not None:
            yield Piece(*self._part, self._held[:-keep], last=False)
        elif len(self._held) > HEAD_BYTES_MAX:
            raise _broken("no part begins in it")
        else:
            return
        self._held = self._held[-keep:]

    def _read_head(self) -> bool:
        """Whether the head is whole, and read."""
        if self._held.startswith(b"--"):
            self.ended = True
            return True
        at = self._held.find(b"\r\n\r\n", 0, HEAD_BYTES_MAX + 4)
        if at < 0:
            if len(self._held) > HEAD_BYTES_MAX:
                why = f"the head of a part is longer than {HEAD_BYTES_MAX} bytes"
                raise _broken(why)
            return False
        self._parts += 1
        if self._parts > PARTS_MAX:
            why = f"it has more than {PARTS_MAX} parts"
            raise _broken(why)
        self._part, self._held = _part_of(self._held[:at]), self._held[at + 4 :]
        self._in_head = False
        return True


def _part_of(head: bytes) -> tuple[str, str | None]:
    """The name and the file name of a part, by its head."""
    try:
        lines = head.decode().split("\r\n")
    except UnicodeDecodeError:
        raise _broken("the head of a part is not UTF-8") from None
    for line in lines:
        found = _DISPOSITION.fullmatch(line.strip())
        if found is not None:
            members = {name.lower(): _text(value) for name, value in _MEMBER.findall(found[1])}
            if "name" in members:
                return members["name"], members.get("filename")
    raise _broken("a part has no name")


def _text(value: str) -> str:
    """A parameter's value: quoted as browsers and clients do, or bare."""
    if value.startswith('"'):
        return value[1:-1].replace("%22", '"').replace('\\"', '"')
    return value


def _broken(why: str) -> ApiError:
    return bad_request("invalid_multipart", f"The body is no multipart/form-data: {why}.")
