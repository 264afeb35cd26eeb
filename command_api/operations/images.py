"""/v1/images/generations: what a body asks and bounds, and which answers count.

What the caller sent reaches the provider as it is; only `model` is replaced.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from command_api.operations.extras import priced_extras, unpriced_extra, unpriced_operation
from command_api.operations.request import MediaBody, MediaRequest, tokens_bound
from command_api.replies.images.scanner import ImageScanner
from domain.images.made import (
    PARTIAL_IMAGES_MAX,
    PARTIAL_TOKENS,
    counted_tokens,
    made_tokens_max,
)
from domain.ledger.holds import CallBound
from domain.pricing.extras import image_extra
from domain.pricing.plausible import UsageMaxima, believed
from domain.pricing.usage import Usage, estimate_tokens, estimated_usage
from edge.body import check_model, check_range, decode_body, decode_members
from edge.errors import bad_request
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.settings.calls import HoldSettings, RequestSettings
    from domain.pricing.extras import Extra
    from edge.errors import ApiError
    from providers.inference.registry.offers import Model, Provider

IMAGE_PIXELS_DEFAULT = 1024 * 1024
"""An image whose size nobody says."""
IMAGE_PIXELS_MAX = 100_000_000
"""No image of more is asked for or believed: ten thousand pixels each way."""
_SIZE = re.compile(r"(?!0+x)(\d{1,5})x(?!0+\Z)(\d{1,5})\Z", re.ASCII)
_encode = msgspec.json.encode


class ImagesBody(MediaBody, kw_only=True):
    """The members that matter here."""

    prompt: str
    n: int | None = None
    size: str | None = None
    quality: Any = None
    stream: bool | None = None
    partial_images: int | None = None


_decode_images = msgspec.json.Decoder(ImagesBody).decode


class _ImageData(msgspec.Struct):
    width: int | None = None
    height: int | None = None

    def pixels(self, asked: int) -> int:
        """As many as the provider tells; those asked for where it tells none, or what cannot be."""
        width, height = self.width or 0, self.height or 0
        pixels = width * height if width > 0 and height > 0 else asked
        return pixels if pixels <= IMAGE_PIXELS_MAX else asked


class _Images(msgspec.Struct):
    data: list[_ImageData]


_decode_data = msgspec.json.Decoder(_Images).decode


class ImagesRequest(MediaRequest):
    """A checked request for images."""

    operation = Operation.IMAGES
    cheaper = "fewer or smaller images"

    def __init__(self, raw: bytes, body: ImagesBody, limits: RequestSettings) -> None:
        """Take over what was checked."""
        super().__init__(raw, body, limits)
        self._prompt, self._prompt_tokens = body.prompt, 0
        self._count = body.n or 1
        self.stream = self.include_usage = bool(body.stream)
        self._partial_images = body.partial_images or 0
        size = _SIZE.match(body.size or "")
        self._sides = (int(size[1]), int(size[2])) if size else (0, 0)
        self.pixels = self._sides[0] * self._sides[1] if size else IMAGE_PIXELS_DEFAULT
        self._image_tokens = counted_tokens(body.quality)
        self._quality = image_extra("quality", body.quality)
        self._named_size = () if size else image_extra("size", body.size)
        large = self.pixels > IMAGE_PIXELS_DEFAULT
        self._large_size = image_extra("size", body.size) if large else ()
        self._partial = image_extra("partial_images", body.partial_images)

    def unpriced(self, model: Model, provider: Provider) -> ApiError | None:
        """Images have a price of their own, or are tokens of a model that is known to make them."""
        by_tokens = "image" in model.facts.output_modalities and model.price.counts_tokens
        if not (model.price.counts_images or by_tokens):
            return unpriced_operation("images", model)
        extras = self.extras_at(model)
        return unpriced_extra(extras, model, provider) if extras else None

    def extras_at(self, offer: Model) -> tuple[Extra, ...]:
        """Where images have a price: a better quality, and a size that the price does not count."""
        if not offer.price.counts_images:
            return self._extras
        counted = offer.price.terms.per_megapixel is not None
        large = () if counted else self._large_size
        return self._extras + self._quality + self._named_size + large + self._partial

    def bound(self, model: Model, _: HoldSettings) -> CallBound:
        """Images, their pixels, and for models that count them their tokens (money rule 2)."""
        return CallBound(
            input_tokens=tokens_bound(self._prompt),
            output_tokens=self._made_max(model),
            images=self._count,
            image_pixels=self._count * self.pixels,
            extras=priced_extras(self.extras_at(model), model),
        )

    def _made_max(self, model: Model) -> int:
        """The most output tokens: of the images, and of a stream's partial ones."""
        name = model.facts.images_as or model.canonical or model.id
        partial = self._partial_images * PARTIAL_TOKENS
        return self._count * (made_tokens_max(name, *self._sides) + partial)

    def let_go(self) -> None:
        """Keep nothing of the body's bytes, but our own count of the prompt for a stream's end."""
        super().let_go()
        if self.stream:
            self._prompt_tokens = self._prompt_tokens or estimate_tokens(self._prompt)
        self._prompt = ""

    def estimated_input_tokens(self) -> int:
        """Our own count of the prompt."""
        return self._prompt_tokens or estimate_tokens(self._prompt)

    def used(self, report: Usage | None, offer: Model, made: Callable[[], int]) -> Usage:
        """The provider's report where it can be, else our own count (money rule 6).

        Where images have a price, no report is needed: they are counted, as `counted` or here.
        """
        usage = self._believed(report, offer, made)
        if not self.stream:
            return usage
        images = min(made(), 1)
        extras = priced_extras(self.extras_at(offer), offer)
        return self._with_images(usage, images, images * self.pixels)._replace(extras=extras)

    def _believed(self, report: Usage | None, offer: Model, made: Callable[[], int]) -> Usage:
        if report is None and offer.price.counts_images:
            return Usage(0, 0)
        maxima = UsageMaxima.of(
            context_length=offer.context_length,
            max_output_tokens=None,
            requested=self._made_max(offer),
            unknown_tokens=self._usage_tokens_max,
        )
        least = (0, 0) if offer.price.counts_images else (1, 1)
        return believed(
            report, maxima, offer.price, made=made, estimate=self.estimated, least=least
        )

    def estimated(self, made: int) -> Usage:
        """Our own count of so many images, or of so many tokens that a stream has come to."""
        tokens = made if self.stream else min(made, self._count) * self._image_tokens
        return estimated_usage(input_tokens=self.estimated_input_tokens(), output_tokens=tokens)

    def scanner(
        self, offer: Model, call_id: str, charge: Callable[[Usage], tuple[Usage, int]]
    ) -> ImageScanner:
        """What reads the events of an image, which is the same at every offer."""
        del offer, call_id, charge
        name = "image_edit" if self.operation is Operation.IMAGE_EDITS else "image_generation"
        return ImageScanner(
            name,
            self.read_report,
            partial_images=self._partial_images,
            image_tokens=self._image_tokens,
            pixels=self.pixels,
        )

    def counted(self, usage: Usage, raw: bytes) -> Usage:
        """The images that came, at the size the provider tells, else the one asked for.

        Nobody pays for more of them than were asked for.
        """
        data = _decode_data(raw).data[: self._count]
        pixels = sum(each.pixels(self.pixels) for each in data)
        return self._with_images(usage, len(data), pixels)

    def _with_images(self, usage: Usage, images: int, pixels: int) -> Usage:
        return usage.with_images(images, pixels)

    def mended(self, raw: bytes, _: Model, call_id: str, __: Usage) -> bytes:
        """OpenAI's images have `created`; Together leaves it out."""
        members = decode_members(raw)
        if bytes(members.get("created", b"null")) != b"null":
            return raw
        # A UUIDv7 begins with the milliseconds at which it was made.
        made_ms = int(call_id.replace("-", "")[:12], 16)
        members["created"] = msgspec.Raw(b"%d" % (made_ms // 1_000))
        return _encode(members)


def parse_images(raw: bytes, limits: RequestSettings) -> ImagesRequest:
    """Check a body; raises ApiError 400."""
    body = decode_body(_decode_images, raw)
    check_model(body.model)
    if not body.prompt.strip():
        message = "prompt is empty: say what the image shows."
        raise bad_request("empty_prompt", message, "prompt")
    check_range("n", body.n, limits.images_max)
    check_size(body.size)
    check_stream(body)
    return ImagesRequest(raw, body, limits)


def check_size(size: str | None) -> None:
    """Whatever is no name is two numbers, of no more pixels than there may be; raises ApiError."""
    found = _SIZE.match(size or "")
    if size and "x" in size and found is None:
        message = "size must be WIDTHxHEIGHT, such as 1024x1024."
        raise bad_request("invalid_value", message, "size")
    if found is not None and int(found[1]) * int(found[2]) > IMAGE_PIXELS_MAX:
        message = f"size must hold at most {IMAGE_PIXELS_MAX} pixels."
        raise bad_request("invalid_value", message, "size")


def check_stream(body: ImagesBody) -> None:
    """What can be asked of a stream, and what only of one; raises ApiError 400."""
    partial = body.partial_images or 0
    if not 0 <= partial <= PARTIAL_IMAGES_MAX:
        message = f"partial_images must be between 0 and {PARTIAL_IMAGES_MAX}."
        raise bad_request("invalid_value", message, "partial_images")
    if partial and not body.stream:
        message = "partial_images come in a stream alone: send stream with them."
        raise bad_request("invalid_value", message, "partial_images")
    if body.stream and (body.n or 1) > 1:
        # Which of several images an event is of, and whose usage the last tells, nobody says.
        message = "A stream makes one image: leave n out, or stream."
        raise bad_request("invalid_value", message, "n")
