"""Reads the bodies of /v1/embeddings and /v1/images/generations.

As with chat, what the caller sent reaches the provider as it is; only `model` is replaced.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from command_api.body import (
    check_model,
    check_range,
    decode_body,
    utf8_size,
)
from command_api.errors import bad_request
from command_api.routing_request import Routing, RoutingMembers, members_for, read_routing
from domain.holds import BYTES_PER_TOKEN_BOUND, MESSAGE_OVERHEAD_TOKENS, CallBound
from domain.usage import Usage, estimate_tokens
from providers.inference.port import Operation

if TYPE_CHECKING:
    from command_api.settings import Settings
    from providers.inference.offers import Model, Provider

IMAGE_PIXELS_DEFAULT = 1024 * 1024
"""An image whose size nobody says."""
IMAGE_OUTPUT_TOKENS_MAX = 6_240
"""What one image of gpt-image-1 costs at most, in output tokens (OpenAI, "Image generation")."""
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})\Z")
_encode = msgspec.json.encode


class ImagesBody(RoutingMembers, kw_only=True):
    """The members that matter here."""

    model: str
    prompt: str
    n: int | None = None
    size: str | None = None
    stream: bool | None = None


class EmbeddingsBody(RoutingMembers, kw_only=True):
    """The members that matter here."""

    model: str
    input: str | list[Any]
    dimensions: int | None = None
    encoding_format: str | None = None


_decode_embeddings = msgspec.json.Decoder(EmbeddingsBody).decode
_decode_images = msgspec.json.Decoder(ImagesBody).decode


class MediaRequest:
    """What both have in common: one JSON answer, no stream."""

    operation: Operation
    stream = False
    include_usage = False
    choices = 1
    max_tokens: int | None = 0

    def __init__(self, raw: bytes, body: EmbeddingsBody | ImagesBody) -> None:
        """Take over what was checked."""
        self.raw, self.model = raw, body.model
        self.routing: Routing | None = read_routing(body) if body.routes else None

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> bytes:
        """The body for the provider."""
        del max_tokens
        return _encode(members_for(self, model, provider))


class EmbeddingsRequest(MediaRequest):
    """A checked request for embeddings."""

    operation = Operation.EMBEDDINGS

    def __init__(self, raw: bytes, body: EmbeddingsBody) -> None:
        """Take over what was checked."""
        super().__init__(raw, body)
        self._inputs = _inputs_of(body.input)
        self.encoding = body.encoding_format or "float"

    def bound(self, model: Model, _: Settings) -> CallBound:
        """Each input is a prompt of its own, cut off at the model's context (money rule 2)."""
        most = model.context_length
        sizes = (_tokens_bound(each) for each in self._inputs)
        return CallBound(
            input_tokens=sum(size if most is None else min(size, most) for size in sizes)
        )

    def estimated_input_tokens(self) -> int:
        """Our own count (money rule 6)."""
        return sum(
            estimate_tokens(each) if isinstance(each, str) else len(each) for each in self._inputs
        )

    def estimated(self, _: int) -> Usage:
        """Our own count: embeddings have no output."""
        return Usage(
            input_tokens=max(1, self.estimated_input_tokens()), output_tokens=0, source="estimated"
        )

    def counted(self, usage: Usage, _: bytes) -> Usage:
        """The report says it all."""
        return usage


def _tokens_bound(item: str | list[int]) -> int:
    if isinstance(item, str):
        return -(-utf8_size(item) // BYTES_PER_TOKEN_BOUND) + MESSAGE_OVERHEAD_TOKENS
    return len(item)


def _inputs_of(given: str | list[Any]) -> list[str | list[int]]:
    """The inputs one by one; raises ApiError 400 for a mixture."""
    if isinstance(given, str):
        return [given]
    if given and all(type(each) is int for each in given):
        return [given]
    for each in given:
        if not isinstance(each, str) and not (
            isinstance(each, list) and all(type(token) is int for token in each)
        ):
            message = "input must be a text, a list of texts, or lists of tokens."
            raise bad_request("invalid_type", message, "input")
    return given


def parse_embeddings(raw: bytes, settings: Settings) -> EmbeddingsRequest:
    """Check a body; raises ApiError 400."""
    body = decode_body(_decode_embeddings, raw)
    check_model(body.model)
    if not body.input:
        message = "input is empty: send at least one text."
        raise bad_request("empty_input", message, "input")
    if isinstance(body.input, list) and not isinstance(body.input[0], int):
        check_range("the number of inputs", len(body.input), settings.embedding_inputs_max)
    if body.encoding_format not in (None, "float", "base64"):
        message = "encoding_format must be float or base64."
        raise bad_request("invalid_value", message, "encoding_format")
    check_range("dimensions", body.dimensions, settings.embedding_dimensions_max)
    return EmbeddingsRequest(raw, body)


class _ImageData(msgspec.Struct):
    width: int | None = None
    height: int | None = None


class _Images(msgspec.Struct):
    data: list[_ImageData]


_decode_data = msgspec.json.Decoder(_Images).decode


class ImagesRequest(MediaRequest):
    """A checked request for images."""

    operation = Operation.IMAGES

    def __init__(self, raw: bytes, body: ImagesBody) -> None:
        """Take over what was checked."""
        super().__init__(raw, body)
        self._prompt = body.prompt
        self._count = body.n or 1
        size = _SIZE.match(body.size or "")
        self._pixels = int(size[1]) * int(size[2]) if size else IMAGE_PIXELS_DEFAULT

    def bound(self, _: Model, __: Settings) -> CallBound:
        """Images, their pixels, and for models that count them their tokens (money rule 2)."""
        return CallBound(
            input_tokens=_tokens_bound(self._prompt),
            output_tokens=self._count * IMAGE_OUTPUT_TOKENS_MAX,
            images=self._count,
            image_pixels=self._count * self._pixels,
        )

    def estimated_input_tokens(self) -> int:
        """Our own count of the prompt."""
        return estimate_tokens(self._prompt)

    def estimated(self, _: int) -> Usage:
        """Our own count: where no tokens are reported, images are what is priced."""
        return Usage(input_tokens=0, output_tokens=0)

    def counted(self, usage: Usage, raw: bytes) -> Usage:
        """The images that came, at the size the provider tells, else the one asked for."""
        data = _decode_data(raw).data
        pixels = sum(
            each.width * each.height if each.width and each.height else self._pixels
            for each in data
        )
        return usage.with_images(len(data), pixels)


def parse_images(raw: bytes, settings: Settings) -> ImagesRequest:
    """Check a body; raises ApiError 400."""
    body = decode_body(_decode_images, raw)
    check_model(body.model)
    if not body.prompt.strip():
        message = "prompt is empty: say what the image shows."
        raise bad_request("empty_prompt", message, "prompt")
    check_range("n", body.n, settings.images_max)
    if body.stream:
        message = "stream is not offered for images: leave it out."
        raise bad_request("invalid_value", message, "stream")
    if body.size and "x" in body.size and not _SIZE.match(body.size):
        message = "size must be WIDTHxHEIGHT, such as 1024x1024."
        raise bad_request("invalid_value", message, "size")
    return ImagesRequest(raw, body)
