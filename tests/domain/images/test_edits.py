"""What a picture of an edit is billed at, held against published bills."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.images.edits import EditTiles, edit_formula, edit_tokens
from domain.images.formulas import Flat
from domain.images.sizes import UNKNOWN, Picture

LOW, HIGH = EditTiles(high=False), EditTiles(high=True)


@pytest.mark.parametrize(
    ("formula", "picture", "tokens"),
    [
        (LOW, Picture(1_024, 1_024), 194),
        (LOW, Picture(512, 513), 323),
        (LOW, Picture(1_920, 1_080), 323),
        (LOW, Picture(1, 60_000), 65 + 4 * 129),
        (LOW, UNKNOWN, 65 + 4 * 129),
        (LOW, Picture(1_024, 1_024, "high"), 194 + 4_160),
        (LOW, Picture(1_920, 1_080, "high"), 323 + 6_240),
        (LOW, Picture(1_024, 1_024, "low"), 194),
        (HIGH, Picture(1_024, 1_024, "low"), 194 + 4_160),
        (HIGH, UNKNOWN, HIGH.most),
    ],
)
def test_a_picture_costs_its_tiles_and_its_fidelity(
    formula: EditTiles, picture: Picture, tokens: int
) -> None:
    """No lower than what was billed for one of these sides (money rule 2)."""
    assert formula.tokens(picture) == tokens


@given(st.integers(0, 65_535), st.integers(0, 65_535), st.sampled_from(["", "low", "high", "x"]))
def test_no_picture_is_more_than_the_most(width: int, height: int, detail: str) -> None:
    """Whatever its sides are, and at least one tile (money rule 2)."""
    for formula in (LOW, HIGH):
        assert 194 <= formula.tokens(Picture(width, height, detail)) <= formula.most


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openai/gpt-image-1", LOW),
        ("gpt-image-1-mini", LOW),
        ("GPT-Image-1-2025-04-23", LOW),
        ("gpt-image-1.5", HIGH),
        ("gpt-image-2", HIGH),
        ("chatgpt-image-latest", HIGH),
    ],
)
def test_each_model_has_its_fidelity(name: str, expected: EditTiles) -> None:
    """Later models see a picture in high fidelity whatever is asked for (money rule 2)."""
    assert edit_formula(name, Flat(9)) == expected


def test_what_nobody_knows_is_held_for_at_the_dearer() -> None:
    """The dearer of GPT Image's bill and of what a prompt's picture is there (money rule 2)."""
    squares = [Picture(512, 512), Picture(64, 64)]
    assert edit_tokens("maker/paints", Flat(9), squares) == 2 * (194 + 4_160)
    assert edit_tokens("maker/paints", Flat(90_000), squares) == 180_000
