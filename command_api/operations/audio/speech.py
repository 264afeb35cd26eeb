"""/v1/audio/speech: what a body asks and bounds, and how the audio is asked for.

The answer is always a stream. Bytes of audio do not tell what they cost, so a provider that has
events is asked for those where its price is by tokens, for their last one tells the usage; the
caller gets the bytes out of them, or events made of bytes, as he asked (ADR 0044).
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Self

import msgspec

from command_api.operations.extras import priced_extras, unpriced_extra, unpriced_operation
from command_api.operations.request import MediaBody, tokens_bound
from command_api.replies.speech.scanner import KINDS, SpeechScanner
from command_api.routing.wishes import Routing, members_for, read_routing
from domain.ledger.holds import CallBound
from domain.pricing.audio import NORMAL_SPEED, speech_bound
from domain.pricing.plausible import UsageMaxima, believed
from domain.pricing.usage import Usage, estimate_tokens, estimated_usage
from edge.body import RAW_NULL, check_model, decode_body
from edge.errors import bad_request
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.settings.calls import HoldSettings, RequestSettings
    from domain.pricing.extras import Extra
    from edge.errors import ApiError
    from providers.inference.registry.offers import Model, Provider

SPEECH = "speech"
"""The output modality of models that read aloud, as OpenRouter names it."""
EVENTS = "sse"
STREAM_FORMATS = ("audio", EVENTS)
SPEED_MIN, SPEED_MAX = Decimal("0.25"), Decimal(4)
SPEED_CHARACTERS_MAX = 32
VOICE_CHARACTERS_MAX = 256
_ASK_FOR_EVENTS = msgspec.Raw(b'"sse"')
_encode = msgspec.json.encode


class _Voice(msgspec.Struct):
    """A voice of the caller's own."""

    id: str


class SpeechBody(MediaBody, kw_only=True):
    """The members that matter here."""

    input: str = ""
    voice: str | _Voice = ""
    instructions: str | None = None
    response_format: str = "mp3"
    stream_format: str = "audio"

    def extras(self, tools: msgspec.Raw = RAW_NULL) -> tuple[Extra, ...]:
        """What costs extra; `speed` is that of the voice, and costs by what is made."""
        return tuple(each for each in super().extras(tools) if each.member != "speed")


_decode = msgspec.json.Decoder(SpeechBody).decode


class SpeechRequest:
    """A checked request to read a text aloud."""

    operation = Operation.SPEECH
    stream = include_usage = True
    choices = 1
    maximum_named = ""
    cheaper = "a shorter input"
    max_tokens: int | None = 0
    """Nobody says how much: the text does."""

    def __init__(self, raw: bytes, body: SpeechBody, speed: int, limits: RequestSettings) -> None:
        """Take over what was checked; `speed` in hundredths of the normal."""
        self.raw, self.model = raw, body.model
        self.routing: Routing | None = read_routing(body) if body.routes else None
        self._extras = tuple(each._replace(term="") for each in body.extras())
        self._usage_tokens_max = limits.usage_tokens_max
        texts = [each for each in (body.input, body.instructions) if each]
        self._input_most = sum(map(tokens_bound, texts))
        self._input_counted = sum(map(estimate_tokens, texts))
        self._characters = len(body.input)
        self._audio = speech_bound(self._characters, speed)
        self._form, self._tells_events = body.response_format, body.stream_format == EVENTS

    def at(self, provider: Provider, offer: Model) -> Self:
        """Every provider is asked in OpenAI's form."""
        del provider, offer
        return self

    def unpriced(self, model: Model, provider: Provider) -> ApiError | None:
        """Characters have a price, or tokens of a model that is known to speak, or of audio."""
        price = model.price
        speaks = (
            SPEECH in model.facts.output_modalities
            or price.terms.audio_output_per_million is not None
        )
        if not (price.counts_characters or (price.counts_tokens and speaks)):
            return unpriced_operation("speech", model)
        return unpriced_extra(self._extras, model, provider) if self._extras else None

    def bound(self, model: Model, _: HoldSettings) -> CallBound:
        """The text, and the longest audio that it can become (money rule 2)."""
        price, most = model.price, model.max_output_tokens
        extras = priced_extras(self._extras, model)
        characters = self._characters if price.counts_characters else 0
        if not price.counts_tokens:
            return CallBound(input_tokens=0, characters=characters, extras=extras)
        spoken = self._audio.tokens
        return CallBound(
            input_tokens=self._input_most,
            output_tokens=spoken if most is None else min(spoken, most),
            characters=characters,
            extras=extras,
        )

    def upstream_body(
        self, model: Model, provider: Provider, *, max_tokens: int | None = None
    ) -> bytes:
        """The body for the provider, in the form of stream that tells what is charged."""
        del max_tokens
        members = members_for(self, model, provider)
        members.pop("stream_format", None)
        if provider.speech_events and model.price.counts_tokens:
            members["stream_format"] = _ASK_FOR_EVENTS
        return _encode(members)

    def scanner(
        self, offer: Model, call_id: str, charge: Callable[[Usage], tuple[Usage, int]]
    ) -> SpeechScanner:
        """What reads an offer's audio, plain or in events."""
        del call_id, charge
        events = offer.price.counts_tokens
        return SpeechScanner(
            self._form, self._audio, tells_events=self._tells_events, events=events
        )

    def estimated_input_tokens(self) -> int:
        """Our own count of the text."""
        return self._input_counted

    def used(self, report: Usage | None, offer: Model, made: Callable[[], int]) -> Usage:
        """The characters that were sent, and the tokens as reported where they can be.

        Characters are counted here, exactly; a text is read from its beginning, and is paid for
        whole once any of it was heard. Tokens that nobody reported are our own count.
        """
        price, usage = offer.price, Usage(0, 0)
        if price.counts_tokens:
            maxima = UsageMaxima.of(
                context_length=self._input_most,
                max_output_tokens=self._audio.tokens,
                requested=None,
                unknown_tokens=self._usage_tokens_max,
            )
            found = believed(report, maxima, price, made=made, estimate=self.estimated)
            tokens = found.output_tokens
            usage = Usage(
                input_tokens=found.input_tokens,
                output_tokens=tokens,
                source=found.source,
                implausible=found.implausible,
                audio_output_tokens=tokens,
            )
        if price.counts_characters:
            usage = usage._replace(characters=self._characters)
        return usage._replace(extras=priced_extras(self._extras, offer))

    def estimated(self, output_tokens: int) -> Usage:
        """Our own count (money rule 6)."""
        return estimated_usage(input_tokens=self._input_counted, output_tokens=output_tokens)

    def let_go(self) -> None:
        """Keep nothing of the body's bytes."""
        self.raw = b""


def parse_speech(raw: bytes, limits: RequestSettings) -> SpeechRequest:
    """Check a body; raises ApiError 400."""
    body = decode_body(_decode, raw)
    check_model(body.model)
    if not body.input.strip():
        message = "input is empty: send the text that is to be read aloud."
        raise bad_request("empty_input", message, "input")
    most = limits.speech_characters_max
    for name, text in (("input", body.input), ("instructions", body.instructions or "")):
        if len(text) > most:
            message = f"{name} has {len(text)} characters, and at most {most} are read: split it."
            raise bad_request("invalid_value", message, name)
    voice = body.voice if isinstance(body.voice, str) else body.voice.id
    if not 0 < len(voice.strip()) <= VOICE_CHARACTERS_MAX:
        message = "voice must name a voice, such as alloy, or be an object with the id of your own."
        raise bad_request("invalid_value", message, "voice")
    for name, value, known in (
        ("response_format", body.response_format, tuple(KINDS)),
        ("stream_format", body.stream_format, STREAM_FORMATS),
    ):
        if value not in known:
            message = f"{name} must be one of {', '.join(known)}."
            raise bad_request("invalid_value", message, name)
    return SpeechRequest(raw, body, _speed(bytes(body.speed)), limits)


def _speed(raw: bytes) -> int:
    """The speed in hundredths, exactly as far as that goes; raises ApiError 400."""
    if raw == bytes(RAW_NULL):
        return NORMAL_SPEED
    try:
        if len(raw) > SPEED_CHARACTERS_MAX:
            raise InvalidOperation
        value = Decimal(raw.decode())
    except (InvalidOperation, UnicodeDecodeError):
        value = Decimal(0)
    if not SPEED_MIN <= value <= SPEED_MAX:
        message = f"speed must be a number between {SPEED_MIN} and {SPEED_MAX}."
        raise bad_request("invalid_value", message, "speed")
    return int(value * NORMAL_SPEED)
