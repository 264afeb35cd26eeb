"""What the simulator hears: a transcript that depends on nothing but the form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from providers.inference.port import Form

BYTES_PER_SECOND = 32_000
"""It takes every file for plain samples: 16 kHz, 16 bits, one channel."""
_encode = msgspec.json.encode


def heard(form: Form) -> Iterator[bytes]:
    """The same transcript in OpenAI's events, word by word."""
    size = form.files[0].size
    words = f"The simulator heard {size} bytes.".split(" ")
    for place, word in enumerate(words):
        yield _event({"type": "transcript.text.delta", "delta": f" {word}" if place else word})
    seconds = max(1, -(-size // BYTES_PER_SECOND))
    text = " ".join(words)
    if dict(form.fields).get("response_format") == "diarized_json":
        segment = {"id": "seg_0", "start": 0.0, "end": float(seconds), "speaker": "A"}
        yield _event({"type": "transcript.text.segment", **segment, "text": text})
    usage = {"type": "duration", "seconds": seconds}
    yield _event({"type": "transcript.text.done", "text": text, "usage": usage})


def _event(said: dict[str, object]) -> bytes:
    return b"data: %b\n\n" % _encode(said)


def transcript(form: Form) -> tuple[bytes, bytes]:
    """The body of the answer, and its content type."""
    asked = dict(form.fields)
    size = form.files[0].size
    seconds = max(1, -(-size // BYTES_PER_SECOND))
    text = f"The simulator heard {size} bytes."
    end = f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    kind = asked.get("response_format", "json")
    if kind == "text":
        return f"{text}\n".encode(), b"text/plain; charset=utf-8"
    if kind == "srt":
        return f"1\n00:00:00,000 --> {end},000\n{text}\n\n".encode(), b"application/x-subrip"
    if kind == "vtt":
        return f"WEBVTT\n\n00:00:00.000 --> {end}.000\n{text}\n\n".encode(), b"text/vtt"
    made: dict[str, object] = {"text": text}
    piece = {"start": 0.0, "end": float(seconds), "text": text}
    if kind == "verbose_json":
        made |= {"task": "transcribe", "language": asked.get("language", "english")}
        made |= {"duration": float(seconds), "segments": [{"id": 0, **piece}]}
    if kind == "diarized_json":
        made |= {"task": "transcribe", "duration": float(seconds)}
        segment = {"id": "seg_0", "type": "transcript.text.segment", "speaker": "A", **piece}
        made["segments"] = [segment]
    made["usage"] = {"type": "duration", "seconds": seconds}
    return _encode(made), b"application/json"
