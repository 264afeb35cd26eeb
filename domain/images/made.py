"""How many tokens an image is that is made, at models that make images by tokens. Pure.

OpenAI, "Image generation": `gpt-image-1` and its mini make images of three sizes, of 272 to 6,240
tokens; each partial image of a stream is 100 more. `gpt-image-2` makes any size of up to 8,294,400
pixels. Its users found what OpenAI's own calculator counts for those, which gives its published
figures (7,024 for a square of 1024 pixels of high quality): a grid of 96 by as many as the shorter
side is of the longer one, times a factor of the area.
"""

from __future__ import annotations

from typing import Any

from domain.images.edits import LOW_BY_DEFAULT

PARTIAL_IMAGES_MAX = 3
"""Most partial images of a stream (OpenAI, `partial_images`)."""
PARTIAL_TOKENS = 100
"""What each of them costs beside the image itself (OpenAI, "Image generation")."""
FIRST_TOKENS_MAX = 6_240
"""An image of `gpt-image-1` of high quality that is no square."""
NAMED_TOKENS_MAX = 7_024
"""An image of a later model of high quality, of any size that has a name: a square."""
PIXELS_MADE_MAX = 8_294_400
"""No image of more is made; who asks for one is held for so many."""
GRID = 96
AREA_MORE, AREA_UNIT = 2_000_000, 4_000_000
COUNTED = {"low": 272, "medium": 1_056, "high": 4_160}
"""Our own count of an image by the quality that is asked for: a square of `gpt-image-1`."""
COUNTED_USUAL = COUNTED["medium"]


def made_tokens_max(name: str, width: int, height: int) -> int:
    """The most output tokens of one image at a model (money rule 2).

    `width` and `height` are those asked for, in pixels; 0 where no numbers are.
    """
    if LOW_BY_DEFAULT.fullmatch(name.lower()):
        return FIRST_TOKENS_MAX
    short, long = sorted((width, height))
    if not short:
        return NAMED_TOKENS_MAX
    rows = -(-GRID * short // long)
    area = AREA_MORE + min(width * height, PIXELS_MADE_MAX)
    return max(NAMED_TOKENS_MAX, -(-GRID * rows * area // AREA_UNIT))


def counted_tokens(quality: Any) -> int:
    """Our own count of one image, where nobody tells another (money rule 6)."""
    return COUNTED.get(quality, COUNTED_USUAL) if isinstance(quality, str) else COUNTED_USUAL
