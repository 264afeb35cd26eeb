"""What a provider's answer with a transcript says: its text, its length, its report of usage.

`json`, `verbose_json` and `diarized_json` have a `text`; `text`, `srt` and `vtt` are the transcript
itself. Lengths are `usage.seconds` of a usage of `type` duration, else `duration` (OpenAI's API,
"Create transcription"; Groq tells `x_groq` and `duration`).
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.replies.failures import failure_of_error, failure_of_nothing
from command_api.replies.shapes import UNREADABLE
from command_api.replies.told import tell_cost
from command_api.replies.usage_report import parse_usage
from domain.pricing.money import usd_number
from edge.body import decode_members

if TYPE_CHECKING:
    from domain.pricing.usage import Usage

SECONDS_DIGITS_MAX = 9
TEXT_KINDS = (b"text/plain", b"text/vtt", b"application/x-subrip", b"text/srt")
"""What a browser does not run, whatever a provider puts in it."""
TEXT = "text"
"""The kind of an answer that is text, until its provider's own is looked at."""
PLAIN = "text/plain; charset=utf-8"
KIND_CHARACTERS_MAX = 100
_ROUNDED = Context(prec=64, rounding=ROUND_HALF_UP)
_encode = msgspec.json.encode


class _Body(msgspec.Struct):
    text: Any = None
    duration: msgspec.Raw = msgspec.Raw(b"null")
    usage: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None


class _Duration(msgspec.Struct):
    seconds: msgspec.Raw = msgspec.Raw(b"null")
    input_tokens: Any = None
    prompt_tokens: Any = None
    input_token_details: Any = None


_decode = msgspec.json.Decoder(_Body).decode
_decode_usage = msgspec.json.Decoder(_Duration).decode
_decode_any = msgspec.json.Decoder().decode


class Transcript(NamedTuple):
    """What was said; `seconds` as the provider tells them, to the nearest."""

    text: str
    seconds: int | None = None
    report: Usage | None = None
    is_json: bool = False

    def told(self, raw: bytes, usage: Usage, nano_usd: int) -> bytes:
        """The answer as it came, but for the cost in a report of usage that it has."""
        if not self.is_json:
            return raw
        if self.report is not None and usage.source == "provider":
            return tell_cost(raw, usage, nano_usd)
        members = decode_members(raw)
        report = bytes(members.get("usage", b"null"))
        if not report.startswith(b"{"):
            return raw
        found = decode_members(report)
        found["cost"] = msgspec.Raw(usd_number(nano_usd).encode())
        members["usage"] = msgspec.Raw(_encode(found))
        return _encode(members)


def read_transcript(provider: str, raw: bytes, *, is_json: bool) -> Transcript:
    """The body of a 200; raises UpstreamFailure when it is no transcript."""
    try:
        body = _decode(raw.strip())
    except UNREADABLE:
        body = None
    if body is not None and body.error is not None:
        raise failure_of_error(provider, body.error)
    if not is_json:
        try:
            return Transcript(raw.decode())
        except UnicodeDecodeError:
            raise failure_of_nothing(provider, "a transcript that is no text") from None
    if body is None or not isinstance(body.text, str):
        raise failure_of_nothing(provider, "no transcript")
    seconds, report = read_used(body.usage)
    if seconds is None:
        seconds = _seconds(body.duration)
    return Transcript(body.text, seconds, report, is_json=True)


def read_used(raw: msgspec.Raw) -> tuple[int | None, Usage | None]:
    """The seconds and the tokens that a report has."""
    try:
        told = _decode_usage(raw)
    except UNREADABLE:
        return None, None
    seconds = _seconds(told.seconds)
    if told.input_tokens is None and told.prompt_tokens is None:
        return seconds, None
    report = _decode_any(raw)
    if isinstance(told.input_token_details, dict):
        report["prompt_tokens_details"] = told.input_token_details
    return seconds, parse_usage(report)


def _seconds(raw: msgspec.Raw) -> int | None:
    """Seconds as a number or a text tells them, half a one up; None where it tells none."""
    text = bytes(raw).decode("utf-8", "replace").strip().strip('"')
    if text == "null":
        return None
    try:
        value = Decimal(text)
    except InvalidOperation:
        return -1
    if not value.is_finite() or value < 0 or value.adjusted() >= SECONDS_DIGITS_MAX:
        return -1  # It cannot be: our own count stands in.
    return int(value.to_integral_value(context=_ROUNDED))


def text_kind(given: bytes) -> str:
    """The content type of a transcript that is no JSON: the provider's where it is one of text."""
    if len(given) > KIND_CHARACTERS_MAX or not given.isascii():
        return PLAIN
    text = given.decode()
    return text if text.isprintable() and given.lower().startswith(TEXT_KINDS) else PLAIN
