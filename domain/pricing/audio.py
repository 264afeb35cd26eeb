"""How long audio can be, and is taken to be, before anybody has heard it, and its second's price.

Pure. A transcription is paid by its length, and the hold must bound that beforehand (money rule 2).
A WAV of plain samples says its length itself, exactly (Microsoft, "Multiple Channel Audio Data and
WAVE Files"; RFC 2361). Of all else the size bounds the length: no codec in use goes below a least
bit rate. Where the provider tells no length, our own count is the size at a usual bit rate (money
rule 6). Of audio that is made of a text, the text's length bounds the length.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple

HEAD_BYTES = 4_096
"""So much of a file's beginning is looked at."""
PCM, FLOAT = 1, 3
"""Formats of WAV whose samples have one size."""
CHANNELS_MAX = 8
SAMPLE_RATE_MAX = 384_000
CHUNKS_MAX = 16
FRAME_SYNC = 0xFFE0
"""The eleven bits with which a frame of MPEG audio begins."""
FORMAT_BYTES_MIN = 16
SECONDS_PER_MINUTE = 60
NANO_PER_USD = 1_000_000_000
ROUNDED = Context(prec=64, rounding=ROUND_HALF_EVEN)
SECOND_PLACES = Decimal("1e-6")
"""A second costs a sixtieth of a minute, in nano-USD of six decimals, half to even: so that every
exact cost is a decimal, and no hour is off by more than four millionths of a nano-USD.
"""
CHARACTERS_A_SECOND_MIN = 2
"""Speech has about fifteen letters a second, or four ideographs; digits and signs are read by their
names, two a second."""
PAUSES_SECONDS_MAX = 10
"""Silence before and behind what is said."""
NORMAL_SPEED = 100
"""The speed of a voice is told in hundredths."""
SPOKEN_TOKENS_A_SECOND = 20
"""One token of audio that is made is a twentieth of a second (OpenAI, "Managing costs")."""
SPEECH_BYTES_A_SECOND_MAX = 192_000
"""Two channels of 48 kHz and 16 bits: speech is never more."""
SPEECH_HEAD_BYTES_MAX = 64 * 1024
"""Headers and tags of a container."""
SPEECH_PACES = {
    "mp3": 16_000,
    "opus": 4_000,
    "aac": 8_000,
    "flac": 24_000,
    "wav": 48_000,
    "pcm": 48_000,
}
"""Bytes of a second of speech as is usual, by format: samples have 24 kHz, 16 bits and one channel
(OpenAI, "Text to speech"), which FLAC halves; the others at 128, 32 and 64 kbit/s.
"""


class Pace(NamedTuple):
    """Bytes of one second: the fewest that can be, and as many as is usual."""

    least: int
    usual: int


PACES = {
    "mp3": Pace(1_000, 16_000),
    "mp4": Pace(750, 8_000),
    "ogg": Pace(750, 4_000),
    "webm": Pace(750, 4_000),
    "flac": Pace(1_000, 50_000),
    "wav": Pace(750, 32_000),
}
"""By container. MP3 begins at 8 kbit/s (ISO/IEC 13818-3), Opus at 6 (RFC 6716, 2.1.1), which MP4,
Ogg and WebM may hold, and a WAV may hold compressed audio. FLAC has no least: of speech it makes
far more than 8 kbit/s.
"""
UNKNOWN = Pace(750, 16_000)
"""A container that nobody here knows."""


class Length(NamedTuple):
    """Seconds of audio: the most there can be, and our own count. `exact` if the file tells."""

    most: int
    counted: int
    exact: bool = False

    def at_most(self, seconds: int) -> Length:
        """The same, where no more than so many seconds are ever sold."""
        return self._replace(most=min(self.most, seconds), counted=min(self.counted, seconds))


def container_of(head: bytes) -> str:
    """The container by its first bytes, which the file's name has no say in; "" for another."""
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"OggS":
        return "ogg"
    if head[:4] == b"fLaC":
        return "flac"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "webm"
    if head[4:8] == b"ftyp":
        return "mp4"
    sync = int.from_bytes(head[:2], "big") & FRAME_SYNC == FRAME_SYNC
    return "mp3" if head[:3] == b"ID3" or sync else ""


def length_of(head: bytes, size: int) -> Length:
    """The length of a file of `size` bytes that begins with `head`; at least a second."""
    container = container_of(head)
    if container == "wav":
        samples = _wav_rate(head, size)
        if samples is not None:
            start, rate = samples
            seconds = max(1, -(-(size - start) // rate))
            return Length(seconds, seconds, exact=True)
    pace = PACES.get(container, UNKNOWN)
    return Length(max(1, -(-size // pace.least)), max(1, -(-size // pace.usual)))


def _wav_rate(head: bytes, size: int) -> tuple[int, int] | None:
    """Where the samples begin, and the bytes of a second; None where the header cannot be so.

    All that follows the header counts as samples: a header that tells fewer hides nothing.
    """
    at, rate = 12, None
    for _ in range(CHUNKS_MAX):
        name, told = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        at += 8
        if at > len(head):
            return None
        if name == b"data":
            return None if rate is None or at > size else (at, rate)
        if name == b"fmt ":
            rate = _byte_rate(head[at : at + FORMAT_BYTES_MIN])
            if rate is None:
                return None
        at += told + told % 2
    return None


def _byte_rate(form: bytes) -> int | None:
    """Bytes of a second by a WAV's format; None where its figures do not agree."""
    if len(form) < FORMAT_BYTES_MIN:
        return None
    kind, channels = int.from_bytes(form[:2], "little"), int.from_bytes(form[2:4], "little")
    sample_rate, rate = int.from_bytes(form[4:8], "little"), int.from_bytes(form[8:12], "little")
    block, bits = int.from_bytes(form[12:14], "little"), int.from_bytes(form[14:16], "little")
    can_be = (
        kind in (PCM, FLOAT)
        and 0 < channels <= CHANNELS_MAX
        and 0 < sample_rate <= SAMPLE_RATE_MAX
        and bits in (8, 16, 24, 32, 64)
        and block * 8 == channels * bits
        and rate == sample_rate * block
    )
    return rate if can_be else None


def second_rate(per_minute: Decimal) -> Decimal:
    """Nano-USD of one second of audio."""
    exact = ROUNDED.divide(per_minute * NANO_PER_USD, Decimal(SECONDS_PER_MINUTE))
    return exact.quantize(SECOND_PLACES, context=ROUNDED)


class SpeechBound(NamedTuple):
    """The most audio that can be made of a text: its seconds, its tokens, its bytes."""

    seconds: int
    tokens: int
    bytes: int


def speech_bound(characters: int, speed: int) -> SpeechBound:
    """What a text of so many characters can become, read at `speed` hundredths of the normal.

    Not every voice can be hurried, so only a slower one counts.
    """
    read = CHARACTERS_A_SECOND_MIN * min(speed, NORMAL_SPEED)
    seconds = -(-characters * NORMAL_SPEED // read) + PAUSES_SECONDS_MAX
    return SpeechBound(
        seconds,
        seconds * SPOKEN_TOKENS_A_SECOND,
        seconds * SPEECH_BYTES_A_SECOND_MAX + SPEECH_HEAD_BYTES_MAX,
    )


def spoken_tokens(form: str, size: int, bound: SpeechBound) -> int:
    """Our own count of what `size` bytes of a format are: at least one, at most the bound.

    Half of what was made is never charged as more than the whole can be (money rules 2 and 6).
    """
    return min(max(1, -(-size * SPOKEN_TOKENS_A_SECOND // SPEECH_PACES[form])), bound.tokens)
