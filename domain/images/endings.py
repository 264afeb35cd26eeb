"""Whether a picture is there to its end, as far as that costs next to nothing to see. Pure.

Cameras and editors put bytes of their own behind a picture (a second one, a film, zeros), which
every reader passes over: so its end may stand a little before the last byte, but must be there.

PNG: W3C, "Portable Network Graphics", 11.2.5. JPEG: ITU-T T.81, B.1.1.3, where no data of a scan
holds the mark of the end. WebP: RFC 9649, 2.4. The trailer of a GIF is a byte that anything may
hold, and readers do without it: a GIF is not looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[int, int], bytes]
    """So many bytes of a picture from an offset on."""

TAIL_BYTES_MAX = 65_536
"""So near to its last byte a PNG ends."""
SEARCH_BYTES_MAX = 4 * 2**20
"""The same of a JPEG: telephones put short films behind theirs."""
_PNG, _PNG_END = b"\x89PNG", b"\0\0\0\0IEND\xae\x42\x60\x82"
_JPEG, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_RIFF = b"RIFF"
_RIFF_HEAD_BYTES = 8


def is_whole(head: bytes, size: int, read: Read) -> bool:
    """Whether a picture of `size` bytes that begins with `head` has its end; True of others."""
    if head.startswith(_PNG):
        return _ends(_PNG_END, size, read, TAIL_BYTES_MAX)
    if head.startswith(_JPEG):
        return _ends(_JPEG_END, size, read, SEARCH_BYTES_MAX)
    if head.startswith(_RIFF):
        return int.from_bytes(head[4:8], "little") + _RIFF_HEAD_BYTES <= size
    return True


def _ends(mark: bytes, size: int, read: Read, most: int) -> bool:
    """Whether the mark stands in the last so many bytes: nearly always in the very last ones."""
    for tail in (min(TAIL_BYTES_MAX, size), min(most, size)):
        if mark in read(size - tail, tail):
            return True
    return False
