"""The pixels of an image, as its own first bytes tell them. Pure.

The bytes are a caller's, and what they tell decides how much is held for a call (money rule 2). So
an image has a size only where every reader would find the same one: what is cut off, contradicts
itself, is absurd or unknown has none, and is held for at the most that its model bills.

PNG: W3C, "Portable Network Graphics", 5.6 and 11.2.1. GIF: CompuServe, "GIF89a", 18 to 20. JPEG:
ITU-T T.81, B.1 and B.2. WebP: RFC 9649, 2.3 to 2.7.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from typing import NamedTuple

HEAD_BYTES = 262_144
"""So much of an image's beginning is looked at: before its size a photograph may hold a thumbnail
and a colour profile, of at most 64 KiB a segment."""
SHORT_HEAD_BYTES = 16_384
"""The same of an image that is no JPEG."""
SIDE_PIXELS_MAX = 65_535
"""No provider takes an image that is wider or higher."""
PARTS_MAX = 1_024
"""Most chunks, blocks or segments before an image's size is known."""
PIXEL_BYTES_MAX = 8
"""A pixel of four channels of 16 bits, not compressed at all."""
METADATA_BYTES_MAX = 262_144
"""Bytes of a file that are no pixels; a larger one that claims few pixels is not believed."""
HEAD_CHARACTERS = 4 * (HEAD_BYTES // 3) + 64
"""So much of a data URL or of base64 is needed to read that."""
DETAIL_CHARACTERS_MAX = 32
_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]{1,32};base64,", re.IGNORECASE)
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_BYTES = 13
_GIFS = (b"GIF87a", b"GIF89a")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a JPEG that tell its size (T.81, table B.1)."""
_SCAN, _END, _FILL = 0xDA, 0xD9, 0xFF
_LENGTH_BYTES = 2
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""


class Picture(NamedTuple):
    """An image of a prompt, as far as it is known: pixels, 0 where nobody knows, and its detail."""

    width: int = 0
    height: int = 0
    detail: str = ""


UNKNOWN = Picture()
"""An image of which nothing is known."""


def picture_of_url(url: str, detail: str = "", *, beyond: int = 0) -> Picture:
    """The image behind a URL; of any but a data URL, nobody knows the size.

    Of a long URL its first `HEAD_CHARACTERS` are enough; `beyond` is how many more there are.
    """
    known = _DATA_URL.match(url)
    if known is None:
        return UNKNOWN._replace(detail=detail[:DETAIL_CHARACTERS_MAX])
    return picture_of_base64(url, detail, start=known.end(), beyond=beyond)


def picture_of_base64(text: str, detail: str = "", *, start: int = 0, beyond: int = 0) -> Picture:
    """The image that a text holds in base64 from `start` on."""
    size = _size_of_base64(text, start, beyond)
    width, height = size or (0, 0)
    return Picture(width, height, detail[:DETAIL_CHARACTERS_MAX])


def _size_of_base64(text: str, start: int, beyond: int) -> tuple[int, int] | None:
    whole_bytes = (len(text) + beyond - start) * 3 // 4
    head = _decoded(text, start, SHORT_HEAD_BYTES)
    if head is not None and head.startswith(b"\xff\xd8"):
        head = _decoded(text, start, HEAD_BYTES)
    return None if head is None else size_of(head, whole_bytes)


def _decoded(text: str, start: int, most: int) -> bytes | None:
    """The first bytes of base64, whose alphabet is RFC 4648's, 4; None for any other text."""
    characters = min(len(text) - start, most // 3 * 4) // 4 * 4
    try:
        return b64decode(text[start : start + characters], validate=True)
    except (Error, ValueError):
        return None


def size_of(head: bytes, whole_bytes: int) -> tuple[int, int] | None:
    """Width and height in pixels of an image that begins with `head` and has so many bytes."""
    found = _read(head)
    if found is None:
        return None
    width, height = found
    if not (0 < width <= SIDE_PIXELS_MAX and 0 < height <= SIDE_PIXELS_MAX):
        return None
    if whole_bytes > width * height * PIXEL_BYTES_MAX + METADATA_BYTES_MAX:
        return None
    return found


def _read(head: bytes) -> tuple[int, int] | None:
    if head.startswith(_PNG):
        return _png(head)
    if head.startswith(b"\xff\xd8"):
        return _jpeg(head)
    if head.startswith(_GIFS):
        return _gif(head)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _webp(head)
    return None


def _png(head: bytes) -> tuple[int, int] | None:
    """The first chunk tells it, and no other before the pixels may tell it again."""
    found: tuple[int, int] | None = None
    at = len(_PNG)
    for _ in range(PARTS_MAX):
        length, kind = _big(head, at, 4), head[at + 4 : at + 8]
        if kind == b"IDAT":
            return found
        if (kind == b"IHDR") != (found is None) or not kind[3:]:
            return None
        if found is None:
            if length != _PNG_HEADER_BYTES:
                return None
            found = _big(head, at + 8, 4), _big(head, at + 12, 4)
        at += 12 + length
    return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    """Every frame before the first scan counts: of two sizes the larger, side by side."""
    width = height = 0
    at = 2
    for _ in range(PARTS_MAX):
        if head[at : at + 1] != b"\xff":
            return None
        marker = _big(head, at + 1, 1)
        if marker == _FILL:
            at += 1
            continue
        if marker in _ALONE:
            at += 2
            continue
        length = _big(head, at + 2, 2)
        if marker == _SCAN:
            return width, height
        if marker in (0, _END) or length < _LENGTH_BYTES:
            return None
        if marker in _FRAMES:
            if at + 9 > len(head):
                return None
            lines, columns = _big(head, at + 5, 2), _big(head, at + 7, 2)
            if not lines:  # A later segment tells it (T.81, B.2.5), and nobody reads so far.
                return None
            width, height = max(width, columns), max(height, lines)
        at += _LENGTH_BYTES + length
    return None


def _gif(head: bytes) -> tuple[int, int] | None:
    """The screen, or the first picture where that reaches beyond it."""
    width, height, flags = _little(head, 6, 2), _little(head, 8, 2), _little(head, 10, 1)
    at = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    for _ in range(PARTS_MAX):
        block = head[at : at + 1]
        if block == b"\x2c" and at + 10 <= len(head):
            left, top, wide, high = (_little(head, at + 1 + 2 * each, 2) for each in range(4))
            return max(width, left + wide), max(height, top + high)
        if block != b"\x21":
            return None
        at += 2
        while size := _little(head, at, 1):
            at += 1 + size
        at += 1
    return None


def _webp(head: bytes) -> tuple[int, int] | None:
    """Of its three forms the extended one tells the canvas, which the picture fills."""
    form, data = head[12:16], head[20:30]
    if not data[9:]:
        return None
    if form == b"VP8X":
        return _little(data, 4, 3) + 1, _little(data, 7, 3) + 1
    if form == b"VP8L" and data[:1] == b"\x2f":
        bits = _little(data, 1, 4)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if form == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        return _little(data, 6, 2) & 0x3FFF, _little(data, 8, 2) & 0x3FFF
    return None


def _big(data: bytes, at: int, size: int) -> int:
    """A number, its highest byte first; bytes that are not there count as none."""
    return int.from_bytes(data[at : at + size])


def _little(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "little")
