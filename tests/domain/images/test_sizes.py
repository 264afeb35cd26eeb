"""The pixels of an image are read from bytes that a caller wrote."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.images.sizes import (
    HEAD_BYTES,
    METADATA_BYTES_MAX,
    PARTS_MAX,
    SHORT_HEAD_BYTES,
    SIDE_PIXELS_MAX,
    UNKNOWN,
    Picture,
    picture_of_base64,
    picture_of_url,
    size_of,
)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int) -> bytes:
    """The header chunk of a PNG."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


PNG_SIGN = b"\x89PNG\r\n\x1a\n"
IDAT = chunk(b"IDAT", b"x")


def png(width: int, height: int, before: bytes = b"") -> bytes:
    """A PNG as far as its pixels."""
    return PNG_SIGN + header(width, height) + before + IDAT


def segment(marker: int, data: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data


def frame(width: int, height: int, marker: int = 0xC0) -> bytes:
    """A frame header of a JPEG."""
    return segment(marker, struct.pack(">BHHB", 8, height, width, 3) + b"\0" * 9)


SCAN = segment(0xDA, b"\3" + b"\0" * 9)


def jpeg(*segments: bytes) -> bytes:
    """A JPEG as far as its first scan."""
    return b"\xff\xd8" + b"".join(segments) + SCAN


def gif(width: int, height: int, *blocks: bytes, flags: int = 0) -> bytes:
    """A GIF with these blocks."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, flags, 0, 0) + b"".join(blocks)


def placed(left: int, top: int, width: int, height: int) -> bytes:
    """The head of a picture in a GIF."""
    return b"\x2c" + struct.pack("<HHHHB", left, top, width, height, 0)


def webp(form: bytes, data: bytes) -> bytes:
    """A WebP whose first chunk this is."""
    return b"RIFF" + struct.pack("<I", 30) + b"WEBP" + form + struct.pack("<I", 10) + data


COMMENT = b"\x21\xfe\x03abc\x02de\0"
TABLE = b"\0" * 24
LOSSLESS = struct.pack("<I", 799 | 599 << 14)
GOOD: list[tuple[bytes, tuple[int, int]]] = [
    (png(1, 1), (1, 1)),
    (png(1_024, 768, chunk(b"gAMA", b"\0\0\0\1")), (1_024, 768)),
    (jpeg(frame(640, 480)), (640, 480)),
    (jpeg(segment(0xE1, b"\xff" * 60_000), b"\xff", frame(640, 480, 0xC2)), (640, 480)),
    (jpeg(b"\xff\xd0", frame(100, 900), frame(900, 100)), (900, 900)),
    (jpeg(segment(0xC4, b"\0" * 20), frame(3, 4)), (3, 4)),
    (gif(320, 200, placed(0, 0, 320, 200)), (320, 200)),
    (gif(1, 1, TABLE, COMMENT, placed(10, 20, 500, 300), flags=0x82), (510, 320)),
    (webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 550, 368)), (550, 368)),
    (webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 0xC000 | 550, 368)), (550, 368)),
    (webp(b"VP8L", b"\x2f" + LOSSLESS + b"\0" * 5), (800, 600)),
    (webp(b"VP8X", b"\0" * 4 + b"\x0f\x27\0" + b"\x1f\x4e\0"), (10_000, 20_000)),
]


@pytest.mark.parametrize(("data", "size"), GOOD)
def test_a_header_tells_the_pixels(data: bytes, size: tuple[int, int]) -> None:
    """Of each form that providers take, however its parts stand (money rule 2)."""
    text = b64encode(data).decode()
    assert size_of(data, len(data)) == size
    assert picture_of_base64(text) == Picture(*size)
    assert picture_of_url(f"data:image/png;base64,{text}", "low") == Picture(*size, "low")
    assert picture_of_url(f"DATA:image/x;BASE64,{text}") == Picture(*size)


@pytest.mark.parametrize("data", [data for data, _ in GOOD])
def test_what_is_cut_off_has_no_other_size(data: bytes) -> None:
    """A header that is cut anywhere tells the whole size or none (money rule 2)."""
    whole = size_of(data, len(data))
    told = {size_of(data[:end], len(data)) for end in range(len(data))}
    assert told <= {None, whole}
    assert size_of(data[:9], len(data)) is None


HOSTILE: list[bytes] = [
    b"",
    b"\x89PNG",
    b"<svg width='1' height='1'/>",
    png(0, 5),
    png(5, 0),
    png(2**31, 1),
    png(SIDE_PIXELS_MAX + 1, 1),
    # Told twice, the second time beyond the first; told after another chunk; of another length.
    png(1, 1, header(8_000, 8_000)),
    PNG_SIGN + chunk(b"gAMA", b"\0\0\0\1") + header(1, 1) + IDAT,
    PNG_SIGN + IDAT,
    PNG_SIGN + chunk(b"IHDR", b"\0\0\0\1" * 2) + IDAT,
    PNG_SIGN + b"\xff\xff\xff\xffIHDR" + b"\0\0\0\1" * 2,
    png(1, 1, chunk(b"tEXt", b"") * PARTS_MAX),
    png(1, 1, chunk(b"iCCP", b"\0" * SHORT_HEAD_BYTES))[:SHORT_HEAD_BYTES],
    jpeg(),
    jpeg(frame(0, 9)),
    jpeg(frame(9, 0)),
    jpeg(b"junk", frame(1, 1)),
    jpeg(b"\xff\xd9", frame(1, 1)),
    jpeg(b"\xff\0", frame(1, 1)),
    jpeg(b"\xff\xe0\0\0", frame(1, 1)),
    jpeg(b"\xff\xe0\0\1", frame(1, 1)),
    jpeg(frame(1, 1), b"\xff\xd0" * PARTS_MAX),
    b"\xff\xd8" + frame(1, 1),
    b"\xff\xd8\xff\xc0\0\x11\x08\0\x01",
    gif(1, 1),
    gif(1, 1, b"\x3b"),
    gif(1, 1, b"\x21\xfe\xff"),
    gif(1, 1, b"\x21\xfe\0" * PARTS_MAX, placed(0, 0, 1, 1)),
    gif(0, 0, placed(0, 0, 0, 0)),
    webp(b"VP8 ", b"\0" * 10),
    webp(b"VP8L", b"\0" * 10),
    webp(b"ALPH", b"\0" * 10),
    webp(b"VP8X", b"\0" * 9),
    b"RIFF\0\0\0\0WAVE" + b"\0" * 40,
]


@pytest.mark.parametrize("data", HOSTILE)
def test_a_header_that_cannot_be_trusted_tells_nothing(data: bytes) -> None:
    """Then the most of the model is held for (money rule 2)."""
    assert size_of(data, len(data)) is None
    assert picture_of_base64(b64encode(data).decode()) == UNKNOWN


def test_a_large_file_of_few_pixels_is_not_believed() -> None:
    """More bytes than its pixels could fill are another picture's (money rule 2)."""
    data = png(10, 10)
    most = 10 * 10 * 8 + METADATA_BYTES_MAX
    assert size_of(data, most) == (10, 10)
    assert size_of(data, most + 1) is None
    assert picture_of_base64(b64encode(data + b"\0" * most).decode()) == UNKNOWN


TEXTS = [
    "",
    "data:image/png;base64,",
    "https://example.com/a.png",
    "data:text/plain;base64," + b64encode(png(1, 1)).decode(),
    "data:image/png," + b64encode(png(1, 1)).decode(),
    "data:image/" + "a" * 33 + ";base64," + b64encode(png(1, 1)).decode(),
    " data:image/png;base64," + b64encode(png(1, 1)).decode(),
    "data:image/png;base64," + "!" + b64encode(png(1, 1)).decode(),
    "data:image/png;base64,\n" + b64encode(png(1, 1)).decode(),
    "data:image/png;base64,AAAA====" + b64encode(png(1, 1)).decode(),
    "data:image/png;base64," + "é" * 100,
]


@pytest.mark.parametrize("url", TEXTS)
def test_of_any_other_address_nobody_knows_the_size(url: str) -> None:
    """A link, a file's id, base64 that readers take differently (money rule 2)."""
    assert picture_of_url(url) == UNKNOWN
    assert picture_of_url(url, "low" * 99).detail == ("low" * 11)[:32]


def test_no_more_than_the_head_is_read() -> None:
    """A photograph's size is looked for so far, and no further (rule: bounded)."""
    thumbnails = segment(0xE1, b"\0" * 65_000)
    near, far = (jpeg(*[thumbnails] * count, frame(9_000, 9_000)) for count in (4, 5))
    assert len(near) < HEAD_BYTES < len(far)
    assert picture_of_base64(b64encode(near).decode()) == Picture(9_000, 9_000)
    assert picture_of_base64(b64encode(far).decode()) == UNKNOWN


@given(
    start=st.sampled_from([b"", PNG_SIGN, b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8"]),
    rest=st.binary(max_size=200),
)
def test_whatever_was_sent_has_a_size_that_can_be_or_none(start: bytes, rest: bytes) -> None:
    """No bytes raise, loop or make a size of nothing (rule: bounded)."""
    found = size_of(start + rest, 10)
    assert found is None or all(0 < side <= SIDE_PIXELS_MAX for side in found)
