"""Whether what is given is a picture, whole, and of how many pixels: by its own bytes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from command_api.operations.images import IMAGE_PIXELS_MAX
from domain.images.endings import is_whole
from domain.images.sizes import HEAD_BYTES, SHORT_HEAD_BYTES, Picture, size_of
from edge.errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.uploads.reading import UploadedFile, UploadedForm

IMAGE, IMAGES, MASK = "image", "image[]", "mask"
IMAGES_MAX = 16
"""Most pictures of an edit (OpenAI, "Create image edit")."""
KINDS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
)


class GivenPicture(NamedTuple):
    """One file of a form, what it is, and its pixels."""

    file: UploadedFile
    kind: str
    picture: Picture


def pictures_of(form: UploadedForm, fidelity: str) -> tuple[GivenPicture, ...]:
    """All files of a form, each a picture; raises ApiError 400 that names the field."""
    return tuple(_given(form, each, fidelity) for each in form.files)


def _given(form: UploadedForm, file: UploadedFile, fidelity: str) -> GivenPicture:
    kind, picture = picture_of(file.size, partial(form.read, file), file.field, fidelity)
    return GivenPicture(file, kind, picture)


def picture_of(
    size: int, read: Callable[[int, int], bytes], where: str, fidelity: str
) -> tuple[str, Picture]:
    """The type of a picture of `size` bytes, and its pixels; `read` reads a piece of it.

    Raises ApiError 400 that names where it came.
    """
    found: tuple[int, int] | None = None
    head = b""
    for most in (SHORT_HEAD_BYTES, HEAD_BYTES):
        if found is None and len(head) < size:
            head = read(0, most)
            found = size_of(head, size)
    if found is None:
        message = (
            f"`{where}` is no picture that can be read: send a PNG, JPEG, WebP or "
            "GIF, whole. Nothing was charged."
        )
        raise bad_request("invalid_image", message, where)
    width, height = found
    if width * height > IMAGE_PIXELS_MAX:
        message = (
            f"The picture in `{where}` has {width} x {height} pixels, and at most "
            f"{IMAGE_PIXELS_MAX} are taken. Nothing was charged: send a smaller one."
        )
        raise bad_request("invalid_image", message, where)
    if not is_whole(head, size, read):
        message = (
            f"The picture in `{where}` is cut off: its end is missing. Nothing was charged: send "
            "all of it."
        )
        raise bad_request("invalid_image", message, where)
    kind = next(kind for start, kind in KINDS if head.startswith(start))
    return kind, Picture(width, height, fidelity)
