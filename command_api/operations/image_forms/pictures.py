"""Whether the files of a form are pictures, and of how many pixels: by their own first bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from command_api.operations.images import IMAGE_PIXELS_MAX
from domain.images.sizes import HEAD_BYTES, SHORT_HEAD_BYTES, Picture, size_of
from edge.errors import bad_request

if TYPE_CHECKING:
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
    counts = {name: sum(each.field == name for each in form.files) for name in (IMAGE, MASK)}
    images = len(form.files) - counts[MASK]
    if images > IMAGES_MAX:
        message = f"{images} pictures came, and at most {IMAGES_MAX} are edited at once."
        raise bad_request("invalid_value", message, IMAGE)
    if counts[MASK] > 1:
        message = "The field `mask` comes more than once: send one mask, for the first picture."
        raise bad_request("invalid_value", message, MASK)
    return tuple(_picture_of(form, each, fidelity) for each in form.files)


def _picture_of(form: UploadedForm, file: UploadedFile, fidelity: str) -> GivenPicture:
    size: tuple[int, int] | None = None
    head = b""
    for most in (SHORT_HEAD_BYTES, HEAD_BYTES):
        if size is None and len(head) < file.size:
            head = form.read(file, 0, most)
            size = size_of(head, file.size)
    if size is None:
        message = (
            f"The field `{file.field}` is no picture that can be read: send a PNG, JPEG, WebP or "
            "GIF, whole. Nothing was charged."
        )
        raise bad_request("invalid_image", message, file.field)
    width, height = size
    if width * height > IMAGE_PIXELS_MAX:
        message = (
            f"The picture in `{file.field}` has {width} x {height} pixels, and at most "
            f"{IMAGE_PIXELS_MAX} are taken. Nothing was charged: send a smaller one."
        )
        raise bad_request("invalid_image", message, file.field)
    kind = next(kind for start, kind in KINDS if head.startswith(start))
    return GivenPicture(file, kind, Picture(width, height, fidelity))
