"""What a caller's events ask for, what of it may pass, and how much it puts into a conversation.

Source: OpenAI's API, "Realtime", client events, and those of its beta where they differ. What has
no price here is refused by name (P10): transcripts by a model without one, tools that the provider
runs, prompts and traces that lie at the provider under this gateway's key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from command_api.replies.shapes import UNREADABLE
from domain.realtime.counting import (
    FORMATS,
    ITEM_TOKENS,
    AudioFormat,
    Sent,
    bytes_of_base64,
    text_sent,
)
from edge.errors import ApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from command_api.realtime.transcripts.wishes import Wish, Wishes
    from providers.inference.registry.offers import Model

APPEND = "input_audio_buffer.append"
ITEM = "conversation.item.create"
UPDATE = "session.update"
CREATE = "response.create"
COMMIT = "input_audio_buffer.commit"
PASSED = frozenset(
    (
        *(COMMIT, "input_audio_buffer.clear"),
        *("conversation.item.retrieve", "conversation.item.delete"),
        *("conversation.item.truncate", "response.cancel"),
    )
)
"""Events that put nothing into the conversation and ask for nothing that costs."""
KNOWN = PASSED | {APPEND, ITEM, UPDATE, CREATE}
EVENT_ID_CHARACTERS_MAX = 512
PARTS_MAX = 4_096
"""Most items of an input, and most parts of an item, that are looked at."""
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_decode_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.encode


class RefusedEventError(Exception):
    """An event that is not passed on; the session goes on."""

    def __init__(self, error: ApiError, event_id: str | None) -> None:
        """`event_id` is the caller's own, if it gave one."""
        super().__init__(error.code)
        self.error, self.event_id = error, event_id


class ClientEvent(NamedTuple):
    """One event as it is passed on, and what it puts into the conversation or the buffer."""

    kind: str
    text: str
    sent: Sent = Sent()
    audio: tuple[tuple[int, AudioFormat], ...] = ()
    """Bytes of audio, and how they are written."""
    hears: AudioFormat | None = None
    speaks: AudioFormat | None = None
    """The formats that a session has from now on, where it says so."""
    wish: Wish | None = None
    """The transcripts that it has from now on, where it asks for some."""


class ClientEvents:
    """Reads the events of one session at one offer."""

    def __init__(self, offer: Model, wishes: Wishes) -> None:
        """The session hears PCM until it says otherwise."""
        self._offer, self._wishes = offer, wishes
        self._images = offer.price.terms.image_input_per_million is not None
        self._image_tokens = offer.media.images((), 1)
        self._form = AudioFormat.PCM

    def read(self, text: str) -> ClientEvent:
        """Check one event; raises RefusedEventError.

        What is passed on is written anew from what was read, so that a member that stands twice
        means the same to the provider.
        """
        event_id: str | None = None
        try:
            members = _decode(text)
            kind = _text(members.get("type"))
            event_id = _text(members.get("event_id"))[:EVENT_ID_CHARACTERS_MAX] or None
            event = self._event(kind, members)
        except UNREADABLE:
            message = "An event must be a JSON object with a `type`."
            raise RefusedEventError(
                bad_request("realtime_invalid_event", message), event_id
            ) from None
        except _RefusedError as refused:
            raise RefusedEventError(refused.error, event_id) from None
        if event.hears is not None:
            self._form = event.hears
        if event.wish is not None:
            self._wishes.chose(event.wish)
        return event

    def _event(self, kind: str, members: dict[str, msgspec.Raw]) -> ClientEvent:
        if kind not in KNOWN:
            message = (
                f"{kind[:100]!r} is no event of a session over WebSockets here. It takes "
                f"{', '.join(sorted(KNOWN))}."
            )
            raise _RefusedError(bad_request("realtime_invalid_event", message, "type"))
        if kind == APPEND:
            size = bytes_of_base64(max(len(members.get("audio", b"")) - 2, 0))
            return ClientEvent(kind, _written(members), audio=((size, self._form),))
        if kind in PASSED:
            return ClientEvent(kind, _written(members))
        whole = {name: _decode_any(raw) for name, raw in members.items()}
        passed = _encode(whole).decode()
        if kind == ITEM:
            sent, audio = self._items([whole.get("item")])
            return ClientEvent(kind, passed, sent, audio)
        about = whole.get("session" if kind == UPDATE else "response")
        asked = about if isinstance(about, dict) else {}
        hears, speaks = self._checked(asked, "session" if kind == UPDATE else "response")
        if kind == UPDATE:
            wish = self._wish(asked)
            return ClientEvent(kind, passed, text_sent(len(passed)), (), hears, speaks, wish)
        given = asked.get("input")
        items = given[:PARTS_MAX] if isinstance(given, list) else []
        sent, audio = self._items(items)
        rest = {name: value for name, value in asked.items() if name != "input"}
        return ClientEvent(kind, passed, sent.and_also(text_sent(len(_encode(rest)))), audio)

    def _checked(
        self, asked: dict[str, Any], where: str
    ) -> tuple[AudioFormat | None, AudioFormat | None]:
        """The formats of what is heard and said, where they are named; raises _RefusedError."""
        if asked.get("type") not in (None, "realtime"):
            message = "Only sessions of type realtime are served: transcriptions have their route."
            raise _invalid(message, f"{where}.type")
        if asked.get("model") not in (None, self._offer.id, self._offer.public_id):
            message = "The model of a session is that of its address: open another session."
            raise _invalid(message, f"{where}.model")
        for name, about in (
            ("prompt", "a prompt that is stored at the provider"),
            ("tracing", "a trace at the provider"),
        ):
            if asked.get(name):
                raise _unpriced(about, f"{where}.{name}")
        for place, tool in enumerate(_dicts(asked.get("tools"))):
            if tool.get("type") not in (None, "function"):
                about = f"a tool of type {str(tool.get('type'))[:100]!r}, which the provider runs,"
                raise _unpriced(about, f"{where}.tools[{place}].type")
        audio = _dict(asked.get("audio"))
        heard, said = _dict(audio.get("input")), _dict(audio.get("output"))
        if where == "response":
            for name, told in _transcriptions(asked):
                if told:
                    raise _unpriced("a transcript of what is heard", f"{where}.{name}")
        return (
            _format(heard.get("format") or asked.get("input_audio_format"), f"{where}.audio.input"),
            _format(
                said.get("format") or asked.get("output_audio_format"), f"{where}.audio.output"
            ),
        )

    def _wish(self, asked: dict[str, Any]) -> Wish | None:
        """The transcripts that an update asks for; raises _RefusedError."""
        try:
            found = [
                self._wishes.read(told, f"session.{name}") for name, told in _transcriptions(asked)
            ]
        except ApiError as error:
            raise _RefusedError(error) from None
        wishes = [each for each in found if each is not None]
        if len({each.model for each in wishes}) > 1:
            message = "The transcripts of a session are by one model."
            raise _invalid(message, "session.audio.input.transcription.model")
        return max(wishes, key=lambda each: each.size, default=None)

    def _items(self, items: list[Any]) -> tuple[Sent, tuple[tuple[int, AudioFormat], ...]]:
        """What items put into a conversation; raises _RefusedError."""
        sent, audio = Sent(), list[tuple[int, AudioFormat]]()
        for item in _dicts(items):
            if item.get("type") not in (None, *("message", "item_reference"), *FUNCTIONS):
                about = f"an item of type {str(item.get('type'))[:100]!r}"
                raise _unpriced(about, "item.type")
            rest = {name: value for name, value in item.items() if name != "content"}
            sent = sent.and_also(text_sent(len(_encode(rest)))).and_also(AROUND)
            content = item.get("content")
            if content is not None and not isinstance(content, list):
                sent = sent.and_also(text_sent(len(_encode(content))))
            for part in _dicts(content):
                text = part
                match part.get("type"):
                    case "input_audio" | "audio":
                        told = part.get("audio")
                        size = bytes_of_base64(len(told)) if isinstance(told, str) else 0
                        audio.append((size, self._form))
                        text = {name: each for name, each in part.items() if name != "audio"}
                    case "input_image":
                        if not self._images:
                            raise _unpriced("an image", "item.content")
                        tokens = self._image_tokens
                        sent = sent.and_also(Sent(tokens, tokens))
                        text = {}
                    case _:
                        pass
                sent = sent.and_also(text_sent(len(_encode(text))))
        return sent, tuple(audio)


FUNCTIONS = ("function_call", "function_call_output")
AROUND = Sent(ITEM_TOKENS, 0)


class _RefusedError(Exception):
    def __init__(self, error: ApiError) -> None:
        super().__init__(error.code)
        self.error = error


def _invalid(message: str, param: str) -> _RefusedError:
    return _RefusedError(bad_request("invalid_value", message, param))


def _unpriced(about: str, param: str) -> _RefusedError:
    message = f"Nobody here has a price for {about} in a session: leave it out."
    return _RefusedError(bad_request("realtime_unpriced", message, param))


def _format(told: Any, where: str) -> AudioFormat | None:
    name = told.get("type") if isinstance(told, dict) else told
    if name is None:
        return None
    found = FORMATS.get(name) if isinstance(name, str) else None
    if found is None:
        message = f"format must be one of {', '.join(FORMATS)}."
        raise _invalid(message, f"{where}.format")
    return found


def _written(members: dict[str, msgspec.Raw]) -> str:
    return _encode(members).decode()


def _text(raw: msgspec.Raw | None) -> str:
    if raw is None or not bytes(raw).startswith(b'"'):
        return ""
    return _decode_text(raw)


def _transcriptions(asked: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    """Where transcripts are asked for, by the names of the protocol and of its beta."""
    beta, named = "input_audio_transcription", "audio.input.transcription"
    heard = _dict(_dict(asked.get("audio")).get("input"))
    return (beta, asked.get(beta)), (named, heard.get("transcription"))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list; what else stands there is the provider's to refuse."""
    listed = value[:PARTS_MAX] if isinstance(value, list) else []
    return (each for each in listed if isinstance(each, dict))
