"""What an image that is made can cost, and what we count one for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.images.made import (
    FIRST_TOKENS_MAX,
    NAMED_TOKENS_MAX,
    PIXELS_MADE_MAX,
    counted_tokens,
    made_tokens_max,
)

SIDES = st.integers(0, 100_000)


@pytest.mark.parametrize(
    ("name", "size", "tokens"),
    [
        ("gpt-image-1", (1_024, 1_536), 6_240),
        ("openai/gpt-image-1-mini", (0, 0), 6_240),
        ("gpt-image-1-2025-04-23", (4_000, 4_000), 6_240),
        # Published by OpenAI for gpt-image-2, or by its calculator.
        ("gpt-image-2", (1_024, 1_024), 7_024),
        ("gpt-image-2", (3_584, 2_048), 12_329),
        ("gpt-image-2", (2_048, 3_584), 12_329),
        ("gpt-image-2", (2_880, 2_880), 23_719),
        # Whatever has a name costs at most a square's.
        ("gpt-image-2", (1_536, 1_024), 7_024),
        ("gpt-image-2", (0, 0), 7_024),
        ("gpt-image-2", (0, 1_024), 7_024),
        ("gpt-image-1.5", (1_024, 1_024), 7_024),
        ("somebody/paints", (16, 16), 7_024),
        # Nobody makes so many pixels.
        ("gpt-image-2", (10_000, 10_000), 23_719),
        ("gpt-image-2", (99_999, 1), 7_024),
    ],
)
def test_an_image_is_held_for_at_its_dearest(name: str, size: tuple[int, int], tokens: int) -> None:
    """By the sides that are asked for, whatever the quality (money rule 2)."""
    assert made_tokens_max(name, *size) == tokens


@given(SIDES, SIDES)
def test_no_size_is_held_for_at_less_or_without_end(width: int, height: int) -> None:
    """Neither narrow nor absurd sizes pass the bounds (money rule 2, rule: bounded)."""
    most = made_tokens_max("gpt-image-2", PIXELS_MADE_MAX, PIXELS_MADE_MAX)
    assert NAMED_TOKENS_MAX <= made_tokens_max("gpt-image-2", width, height) <= most
    assert made_tokens_max("gpt-image-1", width, height) == FIRST_TOKENS_MAX


@pytest.mark.parametrize(
    ("quality", "tokens"),
    [
        *(("low", 272), ("medium", 1_056), ("high", 4_160), ("auto", 1_056), (None, 1_056)),
        *(("", 1_056), (7, 1_056), ([], 1_056), ({}, 1_056)),
    ],
)
def test_an_image_is_counted_by_its_quality(quality: Any, tokens: int) -> None:
    """A middling one where nobody says (money rule 6)."""
    assert counted_tokens(quality) == tokens
