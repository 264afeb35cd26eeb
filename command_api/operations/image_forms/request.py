"""/v1/images/edits and /v1/images/variations: what a form asks and bounds, which answers count.

A form's fields are one JSON object here, with the digest of all its files in it, as forms of audio
are (ADR 0040). The answer, its images and their price are those of `/v1/images/generations`.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.operations.audio.request import STREAM
from command_api.operations.image_forms.edited import COMPRESSION_MAX, EditRequest
from command_api.operations.image_forms.pictures import IMAGE, IMAGES, IMAGES_MAX, MASK, pictures_of
from command_api.operations.images import ImagesBody, check_size, check_stream
from command_api.routing.wishes import members_for
from command_api.uploads.multipart import bad_form
from command_api.uploads.reading import FormFiles
from domain.images.edits import FIDELITIES
from edge.body import check_model, check_range, decode_body
from edge.errors import bad_request
from providers.inference.port import Form, FormFile, Operation

if TYPE_CHECKING:
    from command_api.operations.image_forms.pictures import GivenPicture
    from command_api.settings.calls import RequestSettings
    from command_api.uploads.reading import UploadedForm
    from providers.inference.registry.offers import Model, Provider

EDITED = FormFiles((IMAGE, IMAGES, MASK), IMAGES_MAX, 4)
"""So many pictures and one mask; all together are at most four of the largest."""
VARIED = FormFiles((IMAGE,), 1, 1)
VARIES = "dall-e-2"
"""The model of a variation that names none, and OpenAI's only one ("Create image variation")."""
RESPONSE_FORMATS = ("url", "b64_json")
_NUMBER = re.compile(r"\d{1,6}", re.ASCII)
_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class _Kind(NamedTuple):
    operation: Operation
    fields: frozenset[str]
    prompted: bool


EDITS = _Kind(
    Operation.IMAGE_EDITS,
    frozenset(
        (
            *("model", "prompt", "n", "size", "quality", "background", "output_format", "user"),
            *("output_compression", "input_fidelity", "response_format", "moderation"),
            *("stream", "partial_images"),
        )
    ),
    prompted=True,
)
VARIATIONS = _Kind(
    Operation.IMAGE_VARIATIONS,
    frozenset(("model", "n", "size", "response_format", "user")),
    prompted=False,
)


class PicturesRequest(EditRequest):
    """A checked form."""

    def __init__(
        self,
        kind: _Kind,
        raw: bytes,
        body: ImagesBody,
        given: tuple[GivenPicture, ...],
        form: UploadedForm,
        limits: RequestSettings,
    ) -> None:
        """Take over what was checked; the pictures' details are the fidelity that is asked for."""
        images = tuple(each.picture for each in given if each.file.field != MASK)
        masks = tuple(each.picture for each in given if each.file.field == MASK)
        super().__init__(raw, body, images, masks, limits)
        self.operation = kind.operation
        self._form: UploadedForm | None = form
        self._given, self._order = given, tuple(name for name, _ in form.fields)

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> Form:
        """The form for the provider: the caller's fields, and the files from the disk.

        A picture is called what it is: clients send a file without a name as no picture at all,
        which OpenAI refuses.
        """
        del max_tokens
        form = self._form
        assert form is not None, "nobody asks once an offer has answered"
        members = members_for(self, model, provider)
        order = ("model", *(name for name in self._order if name != "model"))
        fields = tuple((name, str(_value(members[name]))) for name in order if name in members)
        images = IMAGE if self._images_given == 1 else IMAGES
        files = tuple(
            FormFile(
                MASK if file.field == MASK else images,
                file.name,
                kind,
                file.size,
                partial(form.read, file),
            )
            for file, kind, _ in self._given
        )
        return Form(fields, files)

    def let_go(self) -> None:
        """Keep nothing of the form; its files are closed by who closes a body."""
        super().let_go()
        self._form = None


def _value(raw: msgspec.Raw) -> Any:
    return msgspec.json.decode(raw)


def take_edit(form: UploadedForm, limits: RequestSettings) -> PicturesRequest:
    """Check a form; raises ApiError 400."""
    return _take(EDITS, form, limits)


def take_variation(form: UploadedForm, limits: RequestSettings) -> PicturesRequest:
    """Check a form; raises ApiError 400."""
    return _take(VARIATIONS, form, limits)


def _take(kind: _Kind, form: UploadedForm, limits: RequestSettings) -> PicturesRequest:
    members: dict[str, str] = {} if kind.prompted else {"model": VARIES}
    for name, value in form.fields:
        if name not in kind.fields:
            message = f"The form has a field {name!r}, which is none of this route's."
            raise bad_form(message, name)
        if sum(name == other for other, _ in form.fields) > 1:
            message = f"The field {name!r} comes more than once."
            raise bad_form(message, name)
        members[name] = value
    for name in ("model", *(("prompt",) if kind.prompted else ())):
        if name not in members:
            message = f"The field `{name}` is missing."
            raise bad_form(message, name)
    files = [[each.field, each.name, each.size] for each in form.files]
    raw = _encode(members | {"files": [form.file.digest, *files]})
    decode_body(_decode, raw)
    body = ImagesBody(
        model=members["model"],
        prompt=members.get("prompt", ""),
        n=_number(members, "n"),
        size=members.get("size"),
        quality=members.get("quality"),
        stream=_asks_stream(members),
        partial_images=_number(members, "partial_images"),
    )
    check_model(body.model)
    if kind.prompted and not body.prompt.strip():
        message = "prompt is empty: say what the image shows."
        raise bad_request("empty_prompt", message, "prompt")
    check_range("n", body.n, limits.images_max)
    check_size(body.size)
    check_stream(body)
    _check_others(members)
    given = pictures_of(form, members.get("input_fidelity", ""))
    return PicturesRequest(kind, raw, body, given, form, limits)


def _check_others(members: dict[str, str]) -> None:
    """What is chosen from a few values; raises ApiError 400."""
    for name, known in (
        ("response_format", ("", *RESPONSE_FORMATS)),
        ("input_fidelity", FIDELITIES),
    ):
        if members.get(name, "") not in known:
            names = ", ".join(each for each in known if each)
            message = f"{name} must be one of {names}, or left out."
            raise bad_request("invalid_value", message, name)
    compression = _number(members, "output_compression")
    if compression is not None and compression > COMPRESSION_MAX:
        message = f"output_compression must be between 0 and {COMPRESSION_MAX}."
        raise bad_request("invalid_value", message, "output_compression")


def _asks_stream(members: dict[str, str]) -> bool:
    """Whether events are asked for; raises ApiError 400."""
    asked = STREAM.get(members.get("stream", "").lower())
    if asked is None:
        message = "stream must be true or false."
        raise bad_request("invalid_value", message, "stream")
    return asked


def _number(members: dict[str, str], name: str) -> int | None:
    """A field that is a whole number; None where it is empty or not there. Raises ApiError 400."""
    value = members.get(name, "")
    if not value:
        return None
    if not _NUMBER.fullmatch(value):
        message = f"{name} must be a whole number."
        raise bad_request("invalid_value", message, name)
    return int(value)
