"""What the simulator makes of pictures: as many of one pixel as are asked for, and a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from domain.images.edits import EditTiles
from domain.images.sizes import HEAD_BYTES, Picture, size_of
from domain.pricing.usage import estimate_tokens
from providers.inference.adapters.simulator.answers import CREATED, PIXEL

if TYPE_CHECKING:
    from providers.inference.port import Form

IMAGE_TOKENS = 1_056
"""Of an image that is made: one of medium quality, 1024 pixels each way."""
MASK = "mask"
SEEN = EditTiles(high=False)
_encode = msgspec.json.encode


def edited(form: Form) -> bytes:
    """The body of the answer. Raises OSError where a picture is gone."""
    asked = dict(form.fields)
    count = int(asked.get("n") or 1)
    text = estimate_tokens(asked.get("prompt", ""))
    images = 0
    for each in form.files:
        if each.field != MASK:
            size = size_of(each.read(0, HEAD_BYTES), each.size) or (0, 0)
            images += SEEN.tokens(Picture(*size, asked.get("input_fidelity", "")))
    made = count * IMAGE_TOKENS
    usage = {
        "input_tokens": text + images,
        "input_tokens_details": {"text_tokens": text, "image_tokens": images},
        "output_tokens": made,
        "total_tokens": text + images + made,
    }
    return _encode(
        {"created": CREATED, "data": [{"b64_json": PIXEL} for _ in range(count)], "usage": usage}
    )
