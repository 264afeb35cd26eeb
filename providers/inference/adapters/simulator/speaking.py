"""What the simulator says: a tone for each word, in samples that depend on nothing but the request.

It has two formats: plain samples of 24 kHz, 16 bits and one channel for `pcm`, and for every other
the same as a WAV, which its content type says.
"""

from __future__ import annotations

import binascii
import struct
from typing import TYPE_CHECKING

import msgspec

from domain.pricing.usage import estimate_tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.inference.adapters.simulator.answers import AskedMedia

SAMPLE_RATE = 24_000
SAMPLE_BYTES = 2
TONE_SAMPLES, PAUSE_SAMPLES = 2_000, 400
"""A word is a tenth of a second."""
PERIOD_MIN, PERIODS = 60, 60
"""Tones lie between 200 and 400 Hz; the longer a word, the deeper."""
LOUDNESS = 8_000
WORDS_MAX = 200
"""A longer text is not read to its end."""
TOKENS_PER_WORD = 2
_encode = msgspec.json.encode


class Spoken:
    """An answer in bytes, or in OpenAI's events."""

    def __init__(self, request: AskedMedia) -> None:
        """Nothing is made yet."""
        self.request = request
        self._words = str(request.input).split()[:WORDS_MAX] or [""]
        self._plain = request.response_format == "pcm"
        self.tells_errors = request.stream_format == "sse"
        self.kind = b"audio/pcm" if self._plain else b"audio/wav"
        if self.tells_errors:
            self.kind = b"text/event-stream"

    def chunks(self) -> Iterator[bytes]:
        """Word by word, so that it can be heard as it is made."""
        for piece in self._audio():
            yield self._told(piece)
        if self.tells_errors:
            yield self._done()

    def _audio(self) -> Iterator[bytes]:
        if not self._plain:
            yield _head(len(self._words) * (TONE_SAMPLES + PAUSE_SAMPLES) * SAMPLE_BYTES)
        for word in self._words:
            yield tone(len(word))

    def _told(self, piece: bytes) -> bytes:
        if not self.tells_errors:
            return piece
        audio = binascii.b2a_base64(piece, newline=False).decode()
        return b"data: %b\n\n" % _encode({"type": "speech.audio.delta", "audio": audio})

    def _done(self) -> bytes:
        event: dict[str, object] = {"type": "speech.audio.done"}
        if self.request.simulator.usage == "provider":
            heard = max(1, estimate_tokens(str(self.request.input)))
            made = len(self._words) * TOKENS_PER_WORD
            event["usage"] = {
                "input_tokens": heard,
                "output_tokens": made,
                "total_tokens": heard + made,
            }
        return b"data: %b\n\n" % _encode(event)


def _head(size: int) -> bytes:
    """The header of a WAV with so many bytes of samples."""
    rate = SAMPLE_RATE * SAMPLE_BYTES
    form = struct.pack("<HHIIHH", 1, 1, SAMPLE_RATE, rate, SAMPLE_BYTES, 8 * SAMPLE_BYTES)
    riff = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt " + struct.pack("<I", len(form))
    return riff + form + b"data" + struct.pack("<I", size)


def tone(letters: int) -> bytes:
    """A word: one wave again and again, and silence behind it."""
    period = PERIOD_MIN + letters % PERIODS
    wave = b"".join(
        struct.pack("<h", LOUDNESS * (4 * abs(place - period // 2) - period) // period)
        for place in range(period)
    )
    samples = TONE_SAMPLES * SAMPLE_BYTES
    return (wave * (samples // len(wave) + 1))[:samples] + bytes(PAUSE_SAMPLES * SAMPLE_BYTES)
