"""Vectors of texts: read from an answer that nobody trusts, packed, and compared.

They are kept with a length of 1, as little-endian 32-bit floats, so that their product is the
cosine of their angle.
"""

from __future__ import annotations

import math
import sys
from array import array
from operator import mul
from typing import Annotated

import msgspec

from domain.identity.key_cache import PARTS

DIMENSIONS_MAX = 4_096
ANSWER_BYTES_MAX = 256 * 1024
"""Longest answer that is read: 4,096 numbers as JSON have room in it."""
_FLOAT_BYTES = 4


class _Item(msgspec.Struct):
    embedding: Annotated[list[float], msgspec.Meta(min_length=1, max_length=DIMENSIONS_MAX)]


class _Answer(msgspec.Struct):
    data: Annotated[list[_Item], msgspec.Meta(min_length=1, max_length=1)]


_decode = msgspec.json.Decoder(_Answer).decode


def read_vector(raw: bytes) -> bytes | None:
    """The one vector of an answer, packed; None for what is none.

    That is one without numbers, with too many, with one that is not finite, or of no length.
    """
    if len(raw) > ANSWER_BYTES_MAX:
        return None
    try:
        numbers = _decode(raw).data[0].embedding
    except msgspec.MsgspecError:
        return None
    largest = max(map(abs, numbers))
    if not math.isfinite(largest) or not all(map(math.isfinite, numbers)) or not largest:
        return None
    # First by the largest: the squares of what is huge or tiny are none.
    scaled = [each / largest for each in numbers]
    length = math.sqrt(sum(map(mul, scaled, scaled)))
    return _packed(array("f", [each / length for each in scaled]))


def similarity(one: bytes, other: bytes) -> int | None:
    """The cosine of two packed vectors, in ten-thousandths; None where sizes differ."""
    if len(one) != len(other) or len(one) % _FLOAT_BYTES:
        return None
    found = sum(map(mul, _unpacked(one), _unpacked(other)))
    return round(min(1.0, max(-1.0, found)) * PARTS) if math.isfinite(found) else None


def _packed(numbers: array[float]) -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _unpacked(packed: bytes) -> array[float]:
    numbers = array("f")
    numbers.frombytes(packed)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
