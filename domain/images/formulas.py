"""How providers count the tokens of an image, from its pixels. Pure, and never below their bill.

Each formula gives the most of an image whose size nobody knows, and no more than that of any other:
whatever is larger is made smaller before it is billed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from domain.images.sizes import Picture

LOW, HIGH = "low", "high"
"""Details that ask for less than the most (OpenAI, "Images and vision")."""


class Formula(Protocol):
    """Bounds the tokens of one image."""

    @property
    def most(self) -> int:
        """Tokens of the dearest image there is."""
        ...

    def tokens(self, picture: Picture) -> int:
        """The most tokens of this image."""
        ...


@dataclass(frozen=True, slots=True)
class Flat:
    """As many for every image."""

    most: int

    def tokens(self, picture: Picture) -> int:
        """The same whatever it shows."""
        del picture
        return self.most


@dataclass(frozen=True, slots=True)
class Tiles:
    """A base, and so much for each tile of 512 pixels (OpenAI, "Images and vision").

    An image is made to fit a square of 2048 pixels, then its shorter side 768; one that fits
    already is not enlarged (OpenAI bills one of 128 by 64 as one tile). Of low detail the base
    alone is billed. Sides are rounded up, so a provider that rounds in between bills no more.
    """

    base: int
    tile: int

    SIDE = 2_048
    SHORT = 768
    TILE = 512
    TILES_MAX = 8

    @property
    def most(self) -> int:
        """Four tiles by two."""
        return self.base + self.TILES_MAX * self.tile

    def tokens(self, picture: Picture) -> int:
        """By the tiles that cover it."""
        if picture.detail == LOW:
            return self.base
        if not picture.width:
            return self.most
        short, long = sorted(picture[:2])
        short_fitting = short if long <= self.SIDE else -(-short * self.SIDE // long)
        long_fitting = min(long, self.SIDE)
        if short_fitting > self.SHORT:
            long_fitting = min(long_fitting, -(-long * self.SHORT // short))
            short_fitting = self.SHORT
        tiles = -(-long_fitting // self.TILE) * -(-short_fitting // self.TILE)
        return self.base + min(tiles, self.TILES_MAX) * self.tile


@dataclass(frozen=True, slots=True)
class Patches:
    """Square patches, each of them a token, times a factor of the model.

    OpenAI's have 32 pixels, and an image of more patches than its budget is made smaller
    (OpenAI, "Images and vision"). `high` is the budget of images that ask for high detail, where
    it is another. Low detail counts as high: how much less it is differs by model.
    """

    side: int
    budget: int
    percent: int = 100
    high: int = 0

    LOW_PATCHES = 256
    """Of low detail a small image may be enlarged to 512 pixels each way."""

    @property
    def most(self) -> int:
        """The whole budget."""
        return self._of(self.budget)

    def tokens(self, picture: Picture) -> int:
        """By the patches that cover it."""
        budget = self.high if self.high and picture.detail in (LOW, HIGH) else self.budget
        if not picture.width:
            return self._of(budget)
        patches = -(-picture.width // self.side) * -(-picture.height // self.side)
        if picture.detail == LOW:
            patches = max(patches, self.LOW_PATCHES)
        return self._of(min(patches, budget))

    def _of(self, patches: int) -> int:
        return -(-patches * self.percent // 100)


@dataclass(frozen=True, slots=True)
class Area:
    """Claude's visual tokens: one for 28 pixels each way (Anthropic, "Images and vision").

    Formerly one for 750 pixels (Anthropic, "Vision"); the dearer of both counts. A larger image is
    made smaller.
    """

    most: int

    PATCH = 28
    PIXELS = 750

    def tokens(self, picture: Picture) -> int:
        """By its area, whatever detail is asked for: Claude knows none."""
        width, height = picture[:2]
        if not width:
            return self.most
        patches = -(-width // self.PATCH) * -(-height // self.PATCH)
        return min(self.most, max(patches, -(-width * height // self.PIXELS)))


@dataclass(frozen=True, slots=True)
class Crops:
    """Gemini's tiles (Google, "Understand and count tokens"; Vertex AI, "Image understanding").

    An image of at most 384 pixels each way is one. Of another, a tile's side is two thirds of the
    shorter side, from 256 to 768 pixels, and one that is larger than 3072 pixels is made smaller:
    at most twelve by two tiles cover it.
    """

    tile: int = 258

    SMALL = 384
    SIDE_MIN, SIDE_MAX = 256, 768
    TILES_MAX = 24

    @property
    def most(self) -> int:
        """Of the longest strip."""
        return self.tile * self.TILES_MAX

    def tokens(self, picture: Picture) -> int:
        """By the tiles that cover it, whatever detail is asked for."""
        short, long = sorted(picture[:2])
        if not long:
            return self.most
        if long <= self.SMALL:
            return self.tile
        side = min(max(short * 2 // 3, self.SIDE_MIN), self.SIDE_MAX)
        return self.tile * min(-(-short // side) * -(-long // side), self.TILES_MAX)


@dataclass(frozen=True, slots=True)
class Dearest:
    """The dearest of several, for models of which nobody says by which they are billed."""

    formulas: tuple[Formula, ...]

    @property
    def most(self) -> int:
        """Of the dearest."""
        return max(each.most for each in self.formulas)

    def tokens(self, picture: Picture) -> int:
        """By the dearest."""
        return max(each.tokens(picture) for each in self.formulas)
