"""Reads a multipart/form-data body piece by piece (RFC 7578, RFC 2046 5.1). Strict, bounded.

What a client of today never sends is refused: folded headers, encodings of a transfer, a preamble,
parts without a name. Of a file only what may still be the beginning of a delimiter is kept here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.errors import ApiError

PARTS_MAX = 64
"""Most parts of a form: OpenAI's have a dozen fields, of which some come more than once."""
HEAD_BYTES_MAX = 4_096
"""Most of the headers of one part."""
FIELD_BYTES_MAX = 64 * 1024
"""Most of all values that are no file, together."""
NAME_CHARACTERS_MAX = 256
_BOUNDARY = re.compile(
    rb'multipart/form-data\s*;(?:[^"]*;)?\s*boundary\s*=\s*'
    rb"(?:\"([0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-])\""
    rb"|([0-9A-Za-z'()+_./:=?-]{1,70}))"
    rb"\s*(?:;.*)?",
    re.IGNORECASE | re.DOTALL,
)
_PARAMETER = re.compile(rb'\s*;\s*([a-zA-Z0-9*-]{1,32})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s";]+))')
_ESCAPED = re.compile(rb'\\(["\\])')
END, HEAD, BODY = range(3)


def bad_form(message: str, param: str | None = None) -> ApiError:
    """A 400 for a form that cannot be read."""
    return bad_request("invalid_form", f"{message} Nothing was charged.", param)


def boundary_of(content_type: bytes) -> bytes:
    """The boundary that a Content-Type tells; raises ApiError 400."""
    if not content_type.strip().lower().startswith(b"multipart/form-data"):
        message = "Send the file as multipart/form-data: a Content-Type of another kind came."
        raise bad_form(message)
    found = _BOUNDARY.fullmatch(content_type.strip())
    if found is None:
        message = "The Content-Type has no boundary of 1 to 70 characters (RFC 2046, 5.1.1)."
        raise bad_form(message)
    return bytes(found[1] or found[2])


class Part:
    """One part's headers: its name, and for a file the name and the type of that."""

    __slots__ = ("file_name", "kind", "name")

    def __init__(self, name: str, file_name: str | None, kind: str) -> None:
        """`file_name` is None for a field."""
        self.name, self.file_name, self.kind = name, file_name, kind


class FormReader:
    """Fed with a body's pieces, it gives parts and what is in them."""

    def __init__(self, boundary: bytes) -> None:
        """Nothing came yet."""
        self._mark = b"\r\n--" + boundary
        # The first delimiter has no line break before it that belongs to it.
        self._kept = bytearray(b"\r\n")
        self._state, self._parts, self._first = BODY, 0, True
        self.done = False
        """Whether the last delimiter came."""

    def feed(self, piece: bytes) -> Iterator[Part | bytes]:
        """A Part where one begins, bytes of the one that is open; raises ApiError 400."""
        kept = self._kept
        kept += piece
        while not self.done:
            if self._state == BODY:
                found = kept.find(self._mark)
                most = len(kept) - len(self._mark) + 1 if found < 0 else found
                if most > 0:
                    if self._first:
                        message = "The form does not begin with its boundary."
                        raise bad_form(message)
                    made = bytes(kept[:most])
                    del kept[:most]
                    yield made
                if found < 0:
                    if self._first and not self._mark.startswith(kept[: len(self._mark)]):
                        message = "The form does not begin with its boundary."
                        raise bad_form(message)
                    return
                del kept[: len(self._mark)]
                self._state, self._first = END, False
            elif self._state == END:
                if len(kept) < 2:  # noqa: PLR2004 - a line break, or the two dashes of the last one.
                    return
                self._after_mark(bytes(kept[:2]))
                del kept[:2]
            else:
                part = self._head()
                if part is None:
                    return
                yield part
        kept.clear()

    def _after_mark(self, two: bytes) -> None:
        if two == b"--":
            self.done = True
        elif two == b"\r\n":
            self._parts += 1
            self._state = HEAD
            if self._parts > PARTS_MAX:
                message = f"The form has more than {PARTS_MAX} parts."
                raise bad_form(message)
        else:
            message = "A delimiter of the form is followed by something else than a line break."
            raise bad_form(message)

    def _head(self) -> Part | None:
        """The headers of a part once all of them are there."""
        end = self._kept.find(b"\r\n\r\n")
        if end > HEAD_BYTES_MAX or (end < 0 and len(self._kept) > HEAD_BYTES_MAX):
            message = f"The headers of a part are larger than {HEAD_BYTES_MAX} bytes."
            raise bad_form(message)
        if end < 0:
            return None
        lines = bytes(self._kept[:end]).split(b"\r\n")
        # The line break before a delimiter belongs to it, also where a part is empty.
        del self._kept[: end + 4]
        self._state = BODY
        return _part_of(lines)


def _part_of(lines: list[bytes]) -> Part:
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or not re.fullmatch(rb"[a-z0-9-]+", name) or name in headers:
            message = "A part has headers that cannot be read."
            raise bad_form(message)
        headers[name] = value.strip()
    if headers.get(b"content-transfer-encoding", b"binary").lower() not in (
        b"binary",
        b"8bit",
        b"7bit",
    ):
        message = "A part is encoded for a transfer: send it as it is."
        raise bad_form(message)
    disposition, _, rest = headers.get(b"content-disposition", b"").partition(b";")
    given = _parameters(b";" + rest)
    own = _text(given.get(b"name", b""))
    if disposition.strip().lower() != b"form-data" or not own:
        message = "A part has no Content-Disposition of form-data with a name."
        raise bad_form(message)
    file_name = given.get(b"filename")
    return Part(
        own,
        None if file_name is None else _text(file_name),
        _kind(headers.get(b"content-type", b"")),
    )


def _parameters(text: bytes) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    at = 0
    while text[at:].strip(b" \t;"):
        match = _PARAMETER.match(text, at)
        if match is None or match[1].lower() in found:
            message = "A part's Content-Disposition cannot be read."
            raise bad_form(message)
        plain = match[3] if match[2] is None else _ESCAPED.sub(rb"\1", match[2])
        found[match[1].lower()] = plain
        at = match.end()
    return found


def _text(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        message = "The name of a part is not UTF-8."
        raise bad_form(message) from None
    if len(text) > NAME_CHARACTERS_MAX or not text.isprintable():
        message = f"The name of a part is not printable, or over {NAME_CHARACTERS_MAX} characters."
        raise bad_form(message)
    return text


def _kind(raw: bytes) -> str:
    """A media type that may stand in a header again; else what says nothing."""
    plain = re.fullmatch(rb"[A-Za-z0-9!#$&^_.+-]{1,64}/[A-Za-z0-9!#$&^_.+-]{1,64}", raw)
    return raw.decode() if plain else "application/octet-stream"
