"""/v1/images/edits and /v1/images/variations: what a form asks and bounds, which answers count.

A form's fields are one JSON object here, with the digest of all its files in it, as forms of audio
are (ADR 0040). The answer, its images and their price are those of `/v1/images/generations`.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.operations.image_forms.pictures import IMAGE, IMAGES, IMAGES_MAX, MASK, pictures_of
from command_api.operations.images import ImagesBody, ImagesRequest, check_size
from command_api.routing.wishes import members_for
from command_api.uploads.multipart import bad_form
from command_api.uploads.reading import FormFiles
from domain.images.edits import FIDELITIES, OVERHEAD_TOKENS, EditTiles, edit_tokens
from domain.pricing.extras import image_extra
from domain.pricing.usage import UNREADABLE
from edge.body import check_model, check_range, decode_body
from edge.errors import bad_request
from providers.inference.port import Form, FormFile, Operation

if TYPE_CHECKING:
    from command_api.operations.image_forms.pictures import GivenPicture
    from command_api.replies.completions import Reply
    from command_api.settings.calls import HoldSettings, RequestSettings
    from command_api.uploads.reading import UploadedForm
    from domain.ledger.holds import CallBound
    from domain.pricing.extras import Extra
    from domain.pricing.usage import Usage
    from providers.inference.registry.offers import Model, Provider

EDITED = FormFiles((IMAGE, IMAGES, MASK), IMAGES_MAX + 1, 4)
"""All pictures of an edit together are at most so many of the largest."""
VARIED = FormFiles((IMAGE,), 1, 1)
VARIES = "dall-e-2"
"""The model of a variation that names none, and OpenAI's only one ("Create image variation")."""
RESPONSE_FORMATS = ("url", "b64_json")
COMPRESSION_MAX = 100
_NUMBER = re.compile(r"\d{1,6}", re.ASCII)
_USUAL = EditTiles(high=False)
"""Our own count of a picture, where nobody tells another."""
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


class PicturesRequest(ImagesRequest):
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
        super().__init__(raw, body, limits)
        self.operation = kind.operation
        self._form: UploadedForm | None = form
        self._given, self._order = given, tuple(name for name, _ in form.fields)
        self._pictures = tuple(each.picture for each in given)
        images = [each.picture for each in given if each.file.field != MASK]
        self._images_given = len(images)
        self._counted = sum(map(_USUAL.tokens, images))
        self._fidelity = image_extra("input_fidelity", images[0].detail)

    def extras_at(self, offer: Model) -> tuple[Extra, ...]:
        """Where images have a price, a high fidelity costs beside it; else it is in the tokens."""
        more = self._fidelity if offer.price.counts_images else ()
        return super().extras_at(offer) + more

    def bound(self, model: Model, holds: HoldSettings) -> CallBound:
        """What the images that are made can cost, and the pictures by their pixels (rule 2)."""
        bound = super().bound(model, holds)._replace(input_images=self._images_given)
        if not model.price.counts_tokens:
            return bound
        media = model.media.image
        if model.facts.image_tokens_max is None:
            name = model.facts.images_as or model.canonical or model.id
            seen = edit_tokens(name, media, self._pictures)
        else:
            seen = sum(map(media.tokens, self._pictures))  # The operator says so.
        most = bound.input_tokens + OVERHEAD_TOKENS + seen
        known = model.context_length
        return bound._replace(input_tokens=most if known is None else min(most, known))

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

    def report_of(self, reply: Reply) -> Usage | None:
        """The provider's report, and how much of its input were pictures.

        Where it does not tell, they are our own count; what cannot be is a report that cannot be.
        """
        report = super().report_of(reply)
        if report is None or report is UNREADABLE:
            return report
        told = reply.usage.get("input_tokens_details") if isinstance(reply.usage, dict) else None
        images = told.get("image_tokens") if isinstance(told, dict) else None
        if images is None:
            return report._replace(image_input_tokens=min(self._counted, report.input_tokens))
        if type(images) is not int or not 0 <= images <= report.input_tokens:
            return UNREADABLE
        return report._replace(image_input_tokens=images)

    def estimated_input_tokens(self) -> int:
        """Our own count of the prompt and of the pictures."""
        return super().estimated_input_tokens() + self._counted

    def estimated(self, images: int) -> Usage:
        """Our own count of so many images, made of these pictures."""
        return super().estimated(images)._replace(image_input_tokens=self._counted)

    def counted(self, usage: Usage, raw: bytes) -> Usage:
        """The images that came, and those that were given."""
        return super().counted(usage, raw).with_input_images(self._images_given)

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
    )
    check_model(body.model)
    if kind.prompted and not body.prompt.strip():
        message = "prompt is empty: say what the image shows."
        raise bad_request("empty_prompt", message, "prompt")
    check_range("n", body.n, limits.images_max)
    check_size(body.size)
    _check_others(members)
    given = pictures_of(form, members.get("input_fidelity", ""))
    return PicturesRequest(kind, raw, body, given, form, limits)


def _check_others(members: dict[str, str]) -> None:
    """What is chosen from a few values, or not offered; raises ApiError 400."""
    for name, known in (
        ("response_format", ("", *RESPONSE_FORMATS)),
        ("input_fidelity", FIDELITIES),
        # Their events, and what partial images cost, are not offered.
        ("stream", ("", "false", "False", "0")),
        ("partial_images", ("", "0")),
    ):
        if members.get(name, "") not in known:
            names = ", ".join(each for each in known if each)
            message = f"{name} must be one of {names}, or left out."
            if name in ("stream", "partial_images"):
                message = f"{name} is not offered for edits of images: leave it out."
            raise bad_request("invalid_value", message, name)
    compression = _number(members, "output_compression")
    if compression is not None and compression > COMPRESSION_MAX:
        message = f"output_compression must be between 0 and {COMPRESSION_MAX}."
        raise bad_request("invalid_value", message, "output_compression")


def _number(members: dict[str, str], name: str) -> int | None:
    """A field that is a whole number; None where it is empty or not there. Raises ApiError 400."""
    value = members.get(name, "")
    if not value:
        return None
    if not _NUMBER.fullmatch(value):
        message = f"{name} must be a whole number."
        raise bad_request("invalid_value", message, name)
    return int(value)
