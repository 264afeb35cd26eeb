"""What a provider's events say of its responses (OpenAI's API, "Realtime", server events)."""

from __future__ import annotations

from typing import Any

import msgspec

from command_api.replies.shapes import UNREADABLE
from domain.pricing.usage import UNREADABLE as NO_REPORT
from domain.pricing.usage import Usage
from domain.realtime.counting import bytes_of_base64
from domain.realtime.reports import ResponseReport

SESSION = frozenset({"session.created", "session.updated"})
CREATED, DONE, ERROR = "response.created", "response.done", "error"
PARTS_MAX = 4_096
"""Most items of a response, and most parts of an item, that are looked at."""
AUDIO = frozenset({"response.output_audio.delta", "response.audio.delta"})
TEXTS = frozenset(
    (
        *("response.output_text.delta", "response.text.delta"),
        *("response.output_audio_transcript.delta", "response.audio_transcript.delta"),
        "response.function_call_arguments.delta",
    )
)
"""Events with output, by the names of the protocol and of its beta."""
ID_CHARACTERS_MAX = 256
COUNT_MAX = 2**62
"""A larger count is none, and no count is so large."""


class ServerEvent(msgspec.Struct):
    """One event, as far as it matters here."""

    type: str = ""
    response_id: Any = None
    delta: Any = None
    response: Any = None

    @property
    def response_name(self) -> str:
        """The response that it is of; empty where it says none."""
        told = self.response_id
        if isinstance(self.response, dict):
            told = self.response.get("id", told)
        return told[:ID_CHARACTERS_MAX] if isinstance(told, str) else ""

    @property
    def text(self) -> str:
        """The text of a piece of output."""
        return self.delta if self.type in TEXTS and isinstance(self.delta, str) else ""

    @property
    def audio_bytes(self) -> int:
        """The bytes of a piece of audio."""
        if self.type not in AUDIO or not isinstance(self.delta, str):
            return 0
        return bytes_of_base64(len(self.delta))

    @property
    def whole_text(self) -> str:
        """All that a response says, where it is told as a whole."""
        told = self.response.get("output") if isinstance(self.response, dict) else None
        said: list[Any] = []
        for item in _dicts(told):
            said.append(item.get("arguments"))
            for part in _dicts(item.get("content")):
                said += (part.get("text"), part.get("transcript"))
        return "".join(each for each in said if isinstance(each, str))

    @property
    def usage(self) -> Usage | None:
        """What a response reports; None where it reports nothing."""
        told = self.response.get("usage") if isinstance(self.response, dict) else None
        return _usage(told) if isinstance(told, dict) else None


_decode = msgspec.json.Decoder(ServerEvent).decode


def read_server_event(text: str) -> ServerEvent | None:
    """One event; None for what is none."""
    try:
        return _decode(text)
    except UNREADABLE:
        return None


def _dicts(value: Any) -> list[dict[str, Any]]:
    listed = value[:PARTS_MAX] if isinstance(value, list) else []
    return [each for each in listed if isinstance(each, dict)]


def _usage(told: dict[str, Any]) -> Usage:
    given, made = told.get("input_token_details"), told.get("output_token_details")
    given = given if isinstance(given, dict) else {}
    made = made if isinstance(made, dict) else {}
    again = given.get("cached_tokens_details")
    again = again if isinstance(again, dict) else {}
    counts = (
        *(told.get("input_tokens"), told.get("output_tokens")),
        *(given.get("audio_tokens", 0), given.get("image_tokens", 0)),
        *(given.get("cached_tokens", 0), again.get("audio_tokens", 0)),
        *(again.get("image_tokens", 0), made.get("audio_tokens", 0)),
    )
    known = [0 if each is None and place > 1 else each for place, each in enumerate(counts)]
    if any(type(each) is not int or abs(each) > COUNT_MAX for each in known):
        return NO_REPORT
    return ResponseReport(*known).usage()
