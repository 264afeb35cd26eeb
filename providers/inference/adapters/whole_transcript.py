"""A whole transcript, where a stream of its events was asked for.

A model that does not stream is told to all the same, and answers whole (OpenAI, "Create
transcription", on `whisper-1`): then the answer is told as its last event.
"""

from __future__ import annotations

from typing import Any

import msgspec

from providers.inference.adapters.whole_reply import JSON, WholeReply
from providers.inference.port import UpstreamBrokenError

SEGMENT, DONE = "transcript.text.segment", "transcript.text.done"


class WholeTranscript(WholeReply):
    """A transcript as events."""

    def _events(self, raw: bytes, kind: bytes) -> list[dict[str, Any]]:
        return _events(raw, kind)


def _events(raw: bytes, kind: bytes) -> list[dict[str, Any]]:
    """The events that a whole transcript stands for; raises UpstreamBrokenError for none."""
    try:
        body = msgspec.json.decode(raw) if kind == JSON else {"text": raw.decode()}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        body = None
    if not isinstance(body, dict):
        message = "what is no transcript"
        raise UpstreamBrokenError(message)
    if body.get("error") is not None:
        return [{"error": body["error"]}]
    if "text" not in body:
        message = "no transcript"
        raise UpstreamBrokenError(message)
    listed = body.get("segments")
    told = [each for each in listed if _is_segment(each)] if isinstance(listed, list) else []
    done = {"type": DONE, "text": body["text"]}
    if body.get("usage") is not None:
        done["usage"] = body["usage"]
    elif body.get("duration") is not None:
        done["usage"] = {"type": "duration", "seconds": body["duration"]}
    return [*told, done]


def _is_segment(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == SEGMENT
