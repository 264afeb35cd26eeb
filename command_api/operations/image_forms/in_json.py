"""/v1/images/edits with a JSON body: pictures as data URLs, or as addresses.

OpenAI, "Create image edit": `images` and a `mask`, each an `image_url` or a `file_id`. What the
caller sent reaches the provider as it is; only `model` is replaced. An address is fetched by the
provider, so nobody here knows how large its picture is: it is held for at the most, as in a chat.
A file's id is one of this gateway's, which no provider knows, and is refused.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from typing import TYPE_CHECKING, Any

import msgspec

from command_api.operations.image_forms.edited import COMPRESSION_MAX, EditRequest
from command_api.operations.image_forms.pictures import IMAGE, IMAGES, IMAGES_MAX, MASK, picture_of
from command_api.operations.images import ImagesBody, check_size, check_stream
from domain.images.edits import FIDELITIES
from domain.images.sizes import Picture
from edge.body import check_model, check_range, decode_body
from edge.errors import bad_request, file_too_large
from providers.inference.port import Operation

if TYPE_CHECKING:
    from command_api.settings.calls import RequestSettings

ADDRESS_CHARACTERS_MAX = 8_192
"""Longest address of a picture; signed ones have a thousand or two."""
_DATA_URL = re.compile(r"data:image/[a-z0-9.+-]{1,32};base64,", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[!-~]+\Z", re.IGNORECASE)


class _Reference(msgspec.Struct, forbid_unknown_fields=True):
    """Where a picture is."""

    image_url: str | None = None
    file_id: str | None = None


class _EditBody(ImagesBody, kw_only=True):
    """The members that matter here; those of a form that are none are known by name."""

    images: list[_Reference]
    mask: _Reference | None = None
    input_fidelity: str | None = None
    output_compression: int | None = None
    image: Any = None
    image_list: Any = msgspec.field(name=IMAGES, default=None)


_decode = msgspec.json.Decoder(_EditBody).decode


class JsonEditRequest(EditRequest):
    """A checked body."""

    operation = Operation.IMAGE_EDITS


def parse_edit(raw: bytes, limits: RequestSettings) -> JsonEditRequest:
    """Check a body; raises ApiError 400 or 413."""
    body = decode_body(_decode, raw)
    check_model(body.model)
    if not body.prompt.strip():
        message = "prompt is empty: say what the image shows."
        raise bad_request("empty_prompt", message, "prompt")
    for name, value in ((IMAGE, body.image), (IMAGES, body.image_list)):
        if value is not None:
            message = f"`{name}` is a field of a form: in JSON send `images`, a list of objects."
            raise bad_request("invalid_value", message, name)
    check_range("n", body.n, limits.images_max)
    check_size(body.size)
    check_stream(body)
    fidelity = body.input_fidelity or ""
    if fidelity not in FIDELITIES:
        message = f"input_fidelity must be one of {', '.join(filter(None, FIDELITIES))}."
        raise bad_request("invalid_value", message, "input_fidelity")
    compression = body.output_compression
    if compression is not None and not 0 <= compression <= COMPRESSION_MAX:
        message = f"output_compression must be between 0 and {COMPRESSION_MAX}."
        raise bad_request("invalid_value", message, "output_compression")
    if not 1 <= len(body.images) <= IMAGES_MAX:
        message = f"images must hold 1 to {IMAGES_MAX} pictures."
        raise bad_request("invalid_value", message, "images")
    most = limits.image_file_bytes_max
    images = tuple(
        _picture_of(each, f"images[{place}]", fidelity, most)
        for place, each in enumerate(body.images)
    )
    masks = () if body.mask is None else (_picture_of(body.mask, MASK, fidelity, most),)
    return JsonEditRequest(raw, body, images, masks, limits)


def _picture_of(given: _Reference, where: str, fidelity: str, bytes_max: int) -> Picture:
    """The picture that is referred to; raises ApiError 400 or 413 that names it."""
    if given.file_id is not None:
        where = f"{where}.file_id"
        message = f"{where}: ids of files are not taken here. Send the picture as a data URL."
        raise bad_request("invalid_value", message, where)
    where = f"{where}.image_url"
    url = given.image_url
    if url is None:
        message = f"{where} is missing: send a data URL, or an address."
        raise bad_request("missing_required_parameter", message, where)
    if known := _DATA_URL.match(url):
        try:
            data = b64decode(url[known.end() :], validate=True)
        except (Error, ValueError):
            message = f"{where} is no base64 behind its comma. Nothing was charged."
            raise bad_request("invalid_image", message, where) from None
        if len(data) > bytes_max:
            raise file_too_large(bytes_max, where)
        return picture_of(len(data), lambda at, size: data[at : at + size], where, fidelity)[1]
    if len(url) > ADDRESS_CHARACTERS_MAX or not _ADDRESS.match(url):
        message = (
            f"{where} must be a data URL of an image in base64, or an http address of at most "
            f"{ADDRESS_CHARACTERS_MAX} characters. Nothing was charged."
        )
        raise bad_request("invalid_value", message, where)
    return Picture(detail=fidelity)
