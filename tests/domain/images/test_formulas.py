"""How providers bill images, held against their own examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.images.formulas import Area, Crops, Dearest, Flat, Formula, Patches, Tiles
from domain.images.sizes import UNKNOWN, Picture

TILES = Tiles(85, 170)
MINI = Tiles(2_833, 5_667)
PATCHES = Patches(32, 1_536, 162)
NEWER = Patches(32, 10_000, 120, 2_500)
CLAUDE, LARGE = Area(1_600), Area(4_784)
FORMULAS: list[Formula] = [
    *(TILES, MINI, PATCHES, NEWER, CLAUDE, LARGE, Crops(), Flat(9)),
    Dearest((TILES, NEWER)),
]
BILLS: list[tuple[Formula, Picture, int]] = [
    # OpenAI's own examples of tiles, and bills that its users publish.
    (TILES, Picture(1_024, 1_024), 765),
    (TILES, Picture(2_048, 4_096), 1_105),
    (TILES, Picture(4_096, 8_192, "low"), 85),
    (TILES, Picture(128, 64), 255),
    (TILES, Picture(2_049, 513), 1_445),
    (TILES, Picture(1_800, 2_400), 765),
    (TILES, Picture(1_280, 720), 1_105),
    (TILES, Picture(512, 512), 255),
    (TILES, Picture(513, 512), 425),
    (TILES, Picture(60_000, 1), 765),
    (TILES, UNKNOWN, 85 + 8 * 170),
    (TILES, Picture(detail="low"), 85),
    (TILES, Picture(detail="?"), 85 + 8 * 170),
    (MINI, Picture(128, 64), 8_500),
    (MINI, Picture(1_280, 720), 2_833 + 6 * 5_667),
    (MINI, UNKNOWN, 48_169),
    # Patches: OpenAI's example, a bill of 2,488, and what the newest models were measured at.
    (Patches(32, 1_536), Picture(1_024, 1_024), 1_024),
    (Patches(32, 1_536), Picture(1_800, 2_400), 1_536),
    (PATCHES, Picture(4_000, 1_474), 2_489),
    (PATCHES, Picture(8, 8), 2),
    (PATCHES, Picture(8, 8, "low"), 415),
    (PATCHES, Picture(detail="low"), 2_489),
    (NEWER, Picture(512, 512), 308),
    (NEWER, Picture(3_840, 2_160, "auto"), 9_792),
    (NEWER, Picture(3_840, 2_160, "high"), 3_000),
    (NEWER, Picture(9_000, 9_000, "original"), 12_000),
    (NEWER, Picture(detail="high"), 3_000),
    (NEWER, UNKNOWN, 12_000),
    # Anthropic's examples, by area and by patches.
    (CLAUDE, Picture(200, 200), 64),
    (CLAUDE, Picture(1_000, 1_000), 1_334),
    (CLAUDE, Picture(1_092, 1_092), 1_590),
    (CLAUDE, Picture(8_000, 8_000, "low"), 1_600),
    (CLAUDE, Picture(1, 8_000), 286),
    (CLAUDE, UNKNOWN, 1_600),
    (LARGE, Picture(1_920, 1_080), 2_765),
    (LARGE, UNKNOWN, 4_784),
    # Google's: at most 384 pixels each way is one; 960 by 540 are six tiles of 360 pixels.
    (Crops(), Picture(384, 384), 258),
    (Crops(), Picture(960, 540), 6 * 258),
    (Crops(), Picture(768, 768), 4 * 258),
    (Crops(), Picture(3_072, 3_072), 16 * 258),
    (Crops(), Picture(385, 1), 2 * 258),
    (Crops(), Picture(60_000, 60_000), 24 * 258),
    (Crops(), UNKNOWN, 24 * 258),
    (Flat(9), Picture(5, 5), 9),
    (Dearest((TILES, NEWER)), Picture(64, 64), 255),
    (Dearest((TILES, NEWER)), Picture(2_000, 2_000), 4_763),
]


@pytest.mark.parametrize(("formula", "picture", "tokens"), BILLS)
def test_an_image_is_held_for_at_what_its_provider_bills(
    formula: Formula, picture: Picture, tokens: int
) -> None:
    """Never lower than the published formula (money rule 2)."""
    assert formula.tokens(picture) == tokens


SIDES = st.integers(1, 65_535)
DETAILS = st.sampled_from(["", "low", "high", "auto", "original", "?"])


@given(
    formula=st.sampled_from(FORMULAS),
    picture=st.builds(Picture, SIDES, SIDES, DETAILS),
    unknown=DETAILS,
)
def test_no_image_is_more_than_the_most(formula: Formula, picture: Picture, unknown: str) -> None:
    """What nobody knows is held for at no less than any image of its detail (P1)."""
    assert 0 < formula.tokens(picture) <= formula.most
    assert formula.tokens(picture) <= formula.tokens(Picture(detail=picture.detail))
    assert formula.tokens(Picture(detail=unknown)) <= formula.most
    turned = Picture(picture.height, picture.width, picture.detail)
    assert formula.tokens(turned) == formula.tokens(picture)


@given(width=SIDES, height=SIDES)
def test_tiles_are_no_fewer_than_of_sides_that_are_rounded_down(width: int, height: int) -> None:
    """A provider may cut pixels off between its two steps (money rule 2)."""
    short, long = sorted((width, height))
    if long > 2_048:
        short, long = max(1, short * 2_048 // long), 2_048
    if short > 768:
        short, long = 768, long * 768 // short
    tiles = -(-short // 512) * -(-long // 512)
    assert TILES.tokens(Picture(width, height)) >= 85 + 170 * tiles
