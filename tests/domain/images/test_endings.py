"""A picture that was cut off behind its head is known by its end."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from domain.images.endings import SEARCH_BYTES_MAX, TAIL_BYTES_MAX, is_whole
from tests.domain.images.test_sizes import chunk, frame, jpeg, png

if TYPE_CHECKING:
    from collections.abc import Callable

PNG = png(4, 4) + chunk(b"IEND", b"")
JPEG = jpeg(frame(4, 4)) + b"\x12\xff\x00\x34\xff\xd0\x56" + b"\xff\xd9"
WEBP = b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8L" + b"\0" * 22
GIF = b"GIF89a" + b"\0" * 20


def reader(data: bytes) -> Callable[[int, int], bytes]:
    """Pieces of it."""
    return lambda offset, size: data[offset : offset + size]


def whole(data: bytes) -> bool:
    """Whether it has its end."""
    return is_whole(data[:64], len(data), reader(data))


@pytest.mark.parametrize("data", [PNG, JPEG, WEBP, GIF])
def test_what_is_whole_passes(data: bytes) -> None:
    """As do the bytes that cameras put behind it (rule: contract)."""
    assert whole(data)
    assert whole(data + b"\0" * 1_000)


def test_a_film_behind_a_photograph_passes() -> None:
    """Up to its maximum, for more is not read (rule: bounded)."""
    assert whole(JPEG + bytes(TAIL_BYTES_MAX * 2))
    assert not whole(JPEG + bytes(SEARCH_BYTES_MAX))
    assert not whole(PNG + bytes(TAIL_BYTES_MAX))


@pytest.mark.parametrize("data", [PNG, JPEG, WEBP])
def test_what_is_cut_off_anywhere_does_not(data: bytes) -> None:
    """A byte is enough (rule: refuse clearly)."""
    assert not any(whole(data[:end]) for end in range(8, len(data)))


def test_a_length_that_lies_is_not_whole() -> None:
    """A WebP says how long it is (rule: refuse clearly)."""
    assert not whole(WEBP[:4] + b"\xff\xff\xff\xff" + WEBP[8:])
