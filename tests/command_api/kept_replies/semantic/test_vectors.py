"""Vectors from providers that nobody trusts, and how near they are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_api.kept_replies.semantic.vectors import DIMENSIONS_MAX, read_vector, similarity
from domain.identity.key_cache import PARTS


def read(numbers: Any) -> bytes | None:
    """The vector of an answer with these numbers."""
    return read_vector(json.dumps({"data": [{"embedding": numbers}]}).encode())


def near(one: list[float], other: list[float]) -> int | None:
    """The similarity of two."""
    first, second = read(one), read(other)
    assert first is not None
    assert second is not None
    return similarity(first, second)


def test_how_near_texts_are() -> None:
    """The cosine, whatever their lengths (rule: contract)."""
    assert near([1, 0], [5, 0]) == PARTS
    assert near([1, 0], [0, 3]) == 0
    assert near([1, 0], [-2, 0]) == -PARTS
    assert near([1, 1], [1, 0]) == 7_071
    assert near([1e308, 1e308], [1e-308, 1e-308]) == PARTS
    assert near([1, 0], [1, 0, 0]) is None


@pytest.mark.parametrize(
    "numbers",
    [[], [0], [0.0, -0.0], ["1"], None, {}, "AAAA", [[1]], [1.0] * (DIMENSIONS_MAX + 1)],
)
def test_what_is_no_vector(numbers: Any) -> None:
    """Empty, zero, too long, or no numbers (rule: bounded)."""
    assert read(numbers) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"data":[]}',
        b'{"data":[{"embedding":[1]},{"embedding":[1]}]}',
        b'{"data":[{"embedding":[NaN]}]}',
        b'{"data":[{"embedding":[Infinity]}]}',
        b'{"data":[{"embedding":[1e999]}]}',
        b'{"data":[{"embedding":[1,' + b"1" * 400 + b"]}]}",
        b'{"data":[{"embedding":[' + b"1," * 10**6 + b"1]}]}",
    ],
)
def test_what_is_no_answer(raw: bytes) -> None:
    """NaN, infinities, several, and what never ends (rule: bounded)."""
    assert read_vector(raw) is None


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50))
def test_a_vector_is_its_own_nearest(numbers: list[float]) -> None:
    """Always within -1 and 1, and 1 with itself (rule: contract)."""
    packed = read(numbers)
    if packed is not None:
        assert similarity(packed, packed) == PARTS
        other = read([1.0, *numbers[1:]])
        assert other is not None
        found = similarity(packed, other)
        assert found is not None
        assert -PARTS <= found <= PARTS
