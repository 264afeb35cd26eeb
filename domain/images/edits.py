"""How many tokens a picture is that is edited, at models that make images by tokens. Pure.

OpenAI, "Image generation" and "Images and vision": GPT Image bills a picture by tiles as a chat
model does, but that its shorter side becomes 512 pixels; of high fidelity so much more, by whether
it is a square. Bills that its users publish: 194 tokens for 1024 pixels each way, 323 for 512 by
513; and a few tokens of text beside the prompt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.images.formulas import HIGH, LOW, Dearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain.images.formulas import Formula
    from domain.images.sizes import Picture

OVERHEAD_TOKENS = 64
"""Text that the provider adds to the prompt of an edit: 32 tokens were billed for one picture."""
LOW_BY_DEFAULT = re.compile(r"(?:.*/)?gpt-image-1(?:-mini)?(?:-\d{4}.*)?(?:[:@].*)?")
"""Models at which a picture is of low fidelity unless high is asked for; at later ones it may be
high whatever is asked for."""
GPT_IMAGE = re.compile(r"(?:.*/)?(?:gpt-image-|chatgpt-image-).*")


@dataclass(frozen=True, slots=True)
class EditTiles:
    """GPT Image's tiles, by a picture's sides; its `detail` is the fidelity that is asked for.

    A picture that fits 2048 pixels each way is at most 512 high or wide then: four tiles in a row.
    """

    high: bool
    """Whether it is of high fidelity unless low is asked for, and then too."""

    BASE, TILE, TILES_MAX = 65, 129, 4
    SQUARE, OTHER = 4_160, 6_240
    """What high fidelity adds."""

    @property
    def most(self) -> int:
        """Of a long strip, of high fidelity."""
        return self.BASE + self.TILES_MAX * self.TILE + self.OTHER

    def tokens(self, picture: Picture) -> int:
        """By its tiles."""
        short, long = sorted(picture[:2])
        tiles = min(-(-long // short), self.TILES_MAX) if short else self.TILES_MAX
        more = 0
        if self.high or picture.detail == HIGH:
            more = self.SQUARE if short and short == long else self.OTHER
        return self.BASE + tiles * self.TILE + more


def edit_formula(name: str, media: Formula) -> Formula:
    """What a picture of an edit is at a model; `media` is what one of a prompt is there."""
    lower = name.lower()
    if LOW_BY_DEFAULT.fullmatch(lower):
        return EditTiles(high=False)
    if GPT_IMAGE.fullmatch(lower):
        return EditTiles(high=True)
    return Dearest((EditTiles(high=True), media))


def edit_tokens(name: str, media: Formula, pictures: Iterable[Picture]) -> int:
    """The most tokens of image that these pictures are at a model (money rule 2)."""
    return sum(map(edit_formula(name, media).tokens, pictures))


FIDELITIES = ("", LOW, HIGH)
"""What an edit may ask of a picture (OpenAI, `input_fidelity`)."""
