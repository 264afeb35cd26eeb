"""What a form of a transcription or translation asks and bounds, and which answers count.

Its fields are one JSON object here, with the digest of the file in it: so that wishes of routing,
extras and idempotency keys mean what they mean in every body. The provider gets them as a form
again, in their order, with its own id of the model.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.operations.audio.transcripts import (
    TEXT,
    Transcript,
    read_transcript,
    read_used,
)
from command_api.operations.extras import unpriced_extra, unpriced_operation
from command_api.operations.request import Answer, MediaBody, MediaRequest, tokens_bound
from command_api.replies.transcripts.scanner import TranscriptScanner
from command_api.routing.wishes import members_for
from command_api.uploads.multipart import bad_form
from domain.ledger.holds import AUDIO_MINUTE_TOKENS_MAX, CallBound
from domain.pricing.audio import HEAD_BYTES, length_of
from domain.pricing.plausible import UsageMaxima, believed
from domain.pricing.usage import Usage, estimate_tokens, estimated_usage
from edge.body import check_model, decode_body
from edge.errors import bad_request
from providers.inference.port import Form, FormFile, Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.settings.calls import HoldSettings, RequestSettings
    from command_api.uploads.reading import UploadedForm
    from domain.pricing.audio import Length
    from edge.errors import ApiError
    from providers.inference.registry.offers import Model, Provider

TRANSCRIPTION = "transcription"
"""The output modality of models that write down what they hear, as OpenRouter names it."""
JSON_FORMATS = frozenset({"json", "verbose_json", "diarized_json"})
FORMATS = JSON_FORMATS | {"text", "srt", "vtt"}
STREAMED_FORMATS = ("json", "text", "diarized_json")
"""What events can stand for; the others have times of the whole."""
STREAM = {"": False, "false": False, "0": False, "true": True, "1": True}
FIELDS = frozenset(
    (
        *("model", "language", "prompt", "response_format", "temperature", "stream"),
        *("timestamp_granularities[]", "include[]", "chunking_strategy"),
        *("known_speaker_names[]", "known_speaker_references[]"),
    )
)
"""The fields of OpenAI's forms; another is refused, as nobody knows what it would cost."""
OUTPUT_TOKENS_A_MINUTE_MAX = 1_000
"""Nobody speaks half as fast: a record is 650 words a minute."""
AUDIO_TOKENS_A_SECOND = 10
"""Our own count: one token is a tenth of a second (OpenAI, "Managing costs", audio input)."""
SECONDS_PER_MINUTE = 60
_encode = msgspec.json.encode


class _Fields(MediaBody, kw_only=True):
    """The fields that matter here."""

    response_format: str = "json"
    prompt: str = ""
    stream: str = "false"


_decode = msgspec.json.Decoder(_Fields).decode


class _Kind(NamedTuple):
    operation: Operation
    what: str


TRANSCRIPTIONS = _Kind(Operation.TRANSCRIPTIONS, "transcriptions")
TRANSLATIONS = _Kind(Operation.TRANSLATIONS, "translations")


class AudioRequest(MediaRequest):
    """A checked form."""

    max_tokens: int | None = 0
    cheaper = "a shorter file"

    def __init__(
        self,
        kind: _Kind,
        raw: bytes,
        body: _Fields,
        form: UploadedForm,
        length: Length,
        limits: RequestSettings,
    ) -> None:
        """Take over what was checked."""
        super().__init__(raw, body, limits)
        self.operation, self._what = kind
        self._form: UploadedForm | None = form
        self._order = tuple(dict.fromkeys(name for name, _ in form.fields))
        self._length, self._prompt = length, body.prompt
        self._is_json = body.response_format in JSON_FORMATS
        self.stream = self.include_usage = STREAM[body.stream.lower()]

    def unpriced(self, model: Model, provider: Provider) -> ApiError | None:
        """Audio has a price by the minute, or is tokens of a model that is known to hear."""
        by_tokens = TRANSCRIPTION in model.facts.output_modalities and model.price.counts_tokens
        if not (model.price.counts_seconds or by_tokens):
            return unpriced_operation(self._what, model)
        return unpriced_extra(self._extras, model, provider) if self._extras else None

    def bound(self, model: Model, _: HoldSettings) -> CallBound:
        """The longest that the file can be, in the units of the price (money rule 2)."""
        if model.price.counts_seconds:
            return CallBound(input_tokens=0, audio_seconds=self._length.most)
        minutes = -(-self._length.most // SECONDS_PER_MINUTE)
        most = model.max_output_tokens
        spoken = minutes * OUTPUT_TOKENS_A_MINUTE_MAX
        heard = minutes * AUDIO_MINUTE_TOKENS_MAX + tokens_bound(self._prompt)
        return CallBound(
            input_tokens=heard, output_tokens=spoken if most is None else min(most, spoken)
        )

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> Form:
        """The form for the provider: the caller's fields, and the file from the disk."""
        del max_tokens
        assert self._form is not None, "nobody asks once an offer has answered"
        members = members_for(self, model, provider)
        fields: list[tuple[str, str]] = []
        for name in self._order:
            if name in members:
                value: Any = msgspec.json.decode(members[name])
                fields += [(name, each) for each in (value if isinstance(value, list) else [value])]
        (one,) = self._form.files
        sent = FormFile(one.field, one.name, one.kind, one.size, partial(self._form.read, one))
        return Form(tuple(fields), (sent,))

    def judge(
        self, raw: bytes, offer: Model, call_id: str, charged: Callable[[Usage], Usage]
    ) -> Answer:
        """Judge the body of a 200; raises UpstreamFailure when it is no answer."""
        del call_id
        said = read_transcript(offer.provider, raw, is_json=self._is_json)
        usage = self.heard(said, offer)
        cost = offer.price.cost(charged(usage)).nano_usd
        told = said.told(raw, usage, cost)
        return Answer(told, None, usage) if self._is_json else Answer(told, None, usage, TEXT)

    def heard(self, said: Transcript, offer: Model) -> Usage:
        """What the provider tells where it can be, else our own count (money rule 6)."""
        if not offer.price.counts_seconds:
            return self.used(said.report, offer, lambda: estimate_tokens(said.text))
        return self._by_length(said.seconds)

    def _by_length(self, seconds: int | None) -> Usage:
        """Seconds as the provider tells them, where that can be."""
        length = self._length
        if seconds is not None and 0 <= seconds <= length.most:
            return Usage(0, 0, audio_seconds=seconds)
        counted = Usage(0, 0, source="estimated", audio_seconds=length.counted)
        return counted if seconds is None else counted._replace(implausible=True)

    def scanner(
        self, offer: Model, call_id: str, charge: Callable[[Usage], tuple[Usage, int]]
    ) -> TranscriptScanner:
        """What reads an offer's events; its report has seconds alone where those are the price."""
        del call_id, charge
        by_length = offer.price.counts_seconds

        def read(raw: msgspec.Raw) -> Usage | None:
            seconds, report = read_used(raw)
            if not by_length:
                return report
            return None if seconds is None else Usage(0, 0, audio_seconds=seconds)

        minutes = -(-self._length.most // SECONDS_PER_MINUTE)
        return TranscriptScanner(minutes * OUTPUT_TOKENS_A_MINUTE_MAX, read)

    def used(self, report: Usage | None, offer: Model, made: Callable[[], int]) -> Usage:
        """The provider's report where it can be, else our own count."""
        if offer.price.counts_seconds:
            return self._by_length(None if report is None else report.audio_seconds)
        seconds = self._length.most
        maxima = UsageMaxima.of(
            context_length=seconds * AUDIO_MINUTE_TOKENS_MAX // SECONDS_PER_MINUTE
            + tokens_bound(self._prompt),
            max_output_tokens=-(-seconds * OUTPUT_TOKENS_A_MINUTE_MAX // SECONDS_PER_MINUTE),
            requested=None,
            unknown_tokens=self._usage_tokens_max,
        )
        return believed(
            report, maxima, offer.price, made=made, estimate=self.estimated, least=(1, 0)
        )

    def estimated(self, output_tokens: int) -> Usage:
        """Our own count: the length that we take the file for, and what was written of it."""
        heard = self._length.counted * AUDIO_TOKENS_A_SECOND
        usage = estimated_usage(
            input_tokens=heard + estimate_tokens(self._prompt), output_tokens=output_tokens
        )
        return usage._replace(audio_input_tokens=heard)

    def estimated_input_tokens(self) -> int:
        """Our own count of what is heard."""
        return self._length.counted * AUDIO_TOKENS_A_SECOND

    def let_go(self) -> None:
        """Keep nothing of the form; its file is closed by who closes a body."""
        super().let_go()
        self._form, self._prompt = None, ""

    def counted(self, usage: Usage, _: bytes) -> Usage:
        """`heard` counted it."""
        return usage

    def mended(self, raw: bytes, _: Model, __: str, ___: Usage) -> bytes:
        """A transcript is passed as it is."""
        return raw


def take_transcription(form: UploadedForm, limits: RequestSettings) -> AudioRequest:
    """Check a form; raises ApiError 400."""
    return _take(TRANSCRIPTIONS, form, limits)


def take_translation(form: UploadedForm, limits: RequestSettings) -> AudioRequest:
    """Check a form; raises ApiError 400."""
    return _take(TRANSLATIONS, form, limits)


def refuse_plain(raw: bytes, limits: RequestSettings) -> AudioRequest:
    """A body that is no form; raises ApiError 400."""
    del raw, limits
    message = "Send the file as multipart/form-data."
    raise bad_form(message)


def _take(kind: _Kind, form: UploadedForm, limits: RequestSettings) -> AudioRequest:
    members: dict[str, Any] = {}
    for name, value in form.fields:
        if name not in FIELDS:
            message = f"The form has a field {name!r}, which is none of this route's."
            raise bad_form(message, name)
        if name.endswith("[]"):
            members.setdefault(name, []).append(value)
        elif name in members:
            message = f"The field {name!r} comes more than once."
            raise bad_form(message, name)
        else:
            members[name] = value
    if "model" not in members:
        message = "The field `model` is missing."
        raise bad_form(message, "model")
    raw = _encode(members | {"file": [form.file.digest, form.file_name]})
    body = decode_body(_decode, raw)
    check_model(body.model)
    if body.response_format not in FORMATS:
        message = f"response_format must be one of {', '.join(sorted(FORMATS))}."
        raise bad_request("invalid_value", message, "response_format")
    _check_stream(kind, body)
    length = length_of(form.file.read(0, HEAD_BYTES), form.file.size)
    seconds_max = limits.audio_minutes_max * SECONDS_PER_MINUTE
    if length.exact and length.most > seconds_max:
        message = (
            f"The audio is {length.most} s long, and at most {seconds_max} s are taken. Nothing "
            "was charged: send it in parts."
        )
        raise bad_request("audio_too_long", message, "file")
    return AudioRequest(kind, raw, body, form, length.at_most(seconds_max), limits)


def _check_stream(kind: _Kind, body: _Fields) -> None:
    """Whether events can be asked for; raises ApiError 400."""
    asked = STREAM.get(body.stream.lower())
    if asked is None:
        message = "stream must be true or false."
        raise bad_request("invalid_value", message, "stream")
    if asked and kind is TRANSLATIONS:
        message = "stream is not offered for translations: leave it out."
        raise bad_request("invalid_value", message, "stream")
    if asked and body.response_format not in STREAMED_FORMATS:
        message = f"With stream, response_format must be one of {', '.join(STREAMED_FORMATS)}."
        raise bad_request("invalid_value", message, "response_format")
