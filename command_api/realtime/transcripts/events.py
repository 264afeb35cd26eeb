"""What a provider's events say of transcripts (OpenAI's API, "Realtime", server events).

`conversation.item.input_audio_transcription.completed` reports tokens, or a length in seconds.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.replies.shapes import UNREADABLE
from domain.realtime.transcripts import Heard

if TYPE_CHECKING:
    from domain.realtime.transcripts import TranscriptCount

PREFIX = "conversation.item.input_audio_transcription."
COMPLETED = f"{PREFIX}completed"
PIECES = frozenset({f"{PREFIX}delta", f"{PREFIX}segment"})
COMMITTED = "input_audio_buffer.committed"
NAME_CHARACTERS_MAX = 256
COUNT_MAX = 2**62
SECONDS_DIGITS_MAX = 9
MS_PER_SECOND = 1_000
NO_REPORT = Heard(-1, -1, -1, -1)
"""A report that cannot be read: it cannot be."""
_ROUNDED = Context(prec=32, rounding=ROUND_HALF_UP)


class _Event(msgspec.Struct):
    type: str = ""
    item_id: Any = None
    content_index: Any = None
    delta: Any = None
    text: Any = None
    transcript: Any = None
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _Used(msgspec.Struct):
    seconds: msgspec.Raw = msgspec.Raw(b"null")
    input_tokens: Any = None
    output_tokens: Any = None
    input_token_details: Any = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_used = msgspec.json.Decoder(_Used).decode


class TranscriptEvent(NamedTuple):
    """One event: of which item, the text that it brings, and what it reports, as raw JSON."""

    kind: str
    item: str
    text: str
    used: bytes

    def report(self, *, by_length: bool) -> Heard | None:
        """What was used, in the units of the price; None where those are not told."""
        try:
            told = _decode_used(self.used)
        except UNREADABLE:
            return None
        return _length(bytes(told.seconds)) if by_length else _tokens(told)


def tells(kind: str) -> bool:
    """Whether events of this type say something of transcripts."""
    return kind in PIECES or kind in (COMPLETED, COMMITTED)


def note(text: str, count: TranscriptCount, heard_ms: int) -> None:
    """Count what such an event says; raises TooManyTranscriptsError."""
    event = read_transcript_event(text)
    if event is None:
        return
    if event.kind == COMMITTED:
        count.committed(event.item, heard_ms)
    elif event.kind == COMPLETED:
        report = event.report(by_length=count.by_length)
        count.done(event.item, report, event.text, heard_ms)
    elif event.text:
        count.made(event.item, event.text)


def read_transcript_event(text: str) -> TranscriptEvent | None:
    """An event of transcripts, or of the item that one is made of; None for what is none."""
    try:
        found = _decode(text)
    except UNREADABLE:
        return None
    item = found.item_id[:NAME_CHARACTERS_MAX] if isinstance(found.item_id, str) else ""
    if type(found.content_index) is int and 0 < found.content_index <= COUNT_MAX:
        item = f"{item}/{found.content_index}"
    texts = (found.transcript,) if found.type == COMPLETED else (found.delta, found.text)
    said = "".join(each for each in texts if isinstance(each, str))
    return TranscriptEvent(found.type, item, said, bytes(found.usage))


def _length(raw: bytes) -> Heard | None:
    """Seconds as a decimal number, to the nearest millisecond."""
    if raw == b"null":
        return None
    try:
        seconds = Decimal(raw.decode("ascii"))
    except (InvalidOperation, UnicodeDecodeError):
        return NO_REPORT
    if not seconds.is_finite() or seconds < 0 or seconds.adjusted() >= SECONDS_DIGITS_MAX:
        return NO_REPORT
    whole = (_ROUNDED.multiply(seconds, Decimal(MS_PER_SECOND))).to_integral_value(ROUND_HALF_UP)
    return Heard(milliseconds=int(whole))


def _tokens(told: _Used) -> Heard | None:
    """Tokens by their kind; without details all of the input is what was heard."""
    given, made = told.input_tokens, told.output_tokens
    if given is None and made is None:
        return None
    details = told.input_token_details
    details = details if isinstance(details, dict) else {}
    audio = details.get("audio_tokens")
    if audio is None:
        text = details.get("text_tokens")
        text = 0 if text is None else text
        counts = (given, made, text)
    else:
        counts = (given, made, audio)
    if any(type(each) is not int or abs(each) > COUNT_MAX for each in counts):
        return NO_REPORT
    heard = given - counts[2] if audio is None else audio
    return Heard(text=given - heard, audio=heard, output=made)
