"""What the simulator makes of pictures: as many of one pixel as are asked for, and a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from domain.images.edits import EditTiles
from domain.images.made import COUNTED_USUAL, PARTIAL_TOKENS
from domain.images.sizes import HEAD_BYTES, Picture, picture_of_url, size_of
from domain.pricing.usage import estimate_tokens
from providers.inference.adapters.simulator.answers import CREATED, PIXEL
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.inference.adapters.simulator.answers import AskedMedia
    from providers.inference.port import Form

IMAGE_TOKENS = COUNTED_USUAL
"""Of an image that is made."""
MASK = "mask"
SEEN = EditTiles(high=False)
ABOUT = {
    "created_at": CREATED,
    "size": "1024x1024",
    "quality": "medium",
    "background": "opaque",
    "output_format": "png",
}
"""What an event says of its picture, as if it were one of the usual."""
_encode = msgspec.json.encode


class Asked(NamedTuple):
    """What an answer depends on: tokens of the text and of the pictures, and how many are made."""

    text: int
    seen: int = 0
    images: int = 1
    partial_images: int = 0

    def whole(self) -> bytes:
        """The body of the answer."""
        data = [{"b64_json": PIXEL} for _ in range(self.images)]
        return _encode({"created": CREATED, "data": data, "usage": self._usage()})

    def events(self, name: str, *, tells_usage: bool = True) -> Iterator[bytes]:
        """The same as events, whose names begin with `name`."""
        for place in range(self.partial_images):
            yield _event(f"{name}.partial_image", partial_image_index=place)
        usage = {"usage": self._usage()} if tells_usage else {}
        yield _event(f"{name}.completed", **usage)

    def _usage(self) -> dict[str, Any]:
        made = self.images * (IMAGE_TOKENS + self.partial_images * PARTIAL_TOKENS)
        return {
            "input_tokens": self.text + self.seen,
            "input_tokens_details": {"text_tokens": self.text, "image_tokens": self.seen},
            "output_tokens": made,
            "total_tokens": self.text + self.seen + made,
        }


def _event(name: str, **more: Any) -> bytes:
    said = {"type": name, "b64_json": PIXEL, **ABOUT, **more}
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(said))


def asked_in_form(form: Form) -> Asked:
    """What a form asks for. Raises OSError where a picture is gone."""
    asked = dict(form.fields)
    images = 0
    for each in form.files:
        if each.field != MASK:
            size = size_of(each.read(0, HEAD_BYTES), each.size) or (0, 0)
            images += SEEN.tokens(Picture(*size, asked.get("input_fidelity", "")))
    return Asked(
        estimate_tokens(asked.get("prompt", "")),
        images,
        int(asked.get("n") or 1),
        int(asked.get("partial_images") or 0),
    )


def asked_in_json(request: AskedMedia) -> Asked:
    """What a body asks for."""
    urls = [str(each.get("image_url")) for each in request.images]
    return Asked(
        estimate_tokens(request.prompt),
        sum(SEEN.tokens(picture_of_url(each)) for each in urls),
        request.n or 1,
        request.partial_images or 0,
    )


class Painted:
    """A stream of one image."""

    kind = b"text/event-stream"
    tells_errors = True

    def __init__(self, request: AskedMedia, operation: Operation) -> None:
        """Nothing is made yet."""
        self.request = request
        self._name = "image_edit" if operation is Operation.IMAGE_EDITS else "image_generation"

    def chunks(self) -> Iterator[bytes]:
        """Its events."""
        told = self.request.simulator.usage == "provider"
        return asked_in_json(self.request).events(self._name, tells_usage=told)
