"""The events of a streamed answer as they may be told, in each of the three forms of streams.

Texts that come in pieces go through channels, one for each place; what a channel still holds when
its text ends is told before the event that ends it, or in it. Every other text of an event is
whole.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from domain.guardrails.walking import JSON_TEXT, NO_TEXT, UNSEEN
from providers.inference.port import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from command_api.guardrails.guarding import GuardedChannel, Guarding

Event = dict[str, Any]
CHANNELS_MAX = 1_000
"""Most texts of one answer that come in pieces at the same time."""
PIECES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
"""Anthropic's pieces, and where their text is."""


class TooManyTextsError(Exception):
    """A stream has more texts at a time than anybody asks for."""


class Frames(ABC):
    """One streamed answer, event by event."""

    def __init__(self, guarding: Guarding) -> None:
        """Nothing came yet."""
        self._guarding = guarding
        self._channels: dict[Any, GuardedChannel] = {}

    @abstractmethod
    def told(self, event: Event, /) -> Iterator[Event]:
        """What is told in the place of an event; may raise what a shape that cannot be raises."""

    @abstractmethod
    def rest(self) -> Iterator[Event]:
        """What is held of texts that did not end, for a stream that ends."""

    def _channel(self, key: Any, *, inside_json: bool) -> GuardedChannel:
        known = self._channels.get(key)
        if known is None:
            if len(self._channels) >= CHANNELS_MAX:
                raise TooManyTextsError
            known = self._channels[key] = self._guarding.channel(inside_json=inside_json)
        return known


class ChoiceFrames(Frames):
    """Chunks of Chat Completions and of completions."""

    def __init__(self, guarding: Guarding) -> None:
        """Nothing came yet."""
        super().__init__(guarding)
        self._last: Event = {}

    def told(self, event: Event) -> Iterator[Event]:
        """The chunk; one before it for each choice that ends in it with a text still held."""
        choices = event.get("choices")
        if not isinstance(choices, list):
            yield event
            return
        self._last = {name: value for name, value in event.items() if name != "usage"}
        made: list[Event] = []
        for choice in choices:
            ends = bool(choice.get("finish_reason"))
            place = choice.get("index", 0)
            told = {}
            for name, value in choice.items():
                if name == "delta":
                    told[name] = self._pieces(value, (place, name), ends=ends)
                elif name == "text" and isinstance(value, str):
                    told[name] = self._piece(value, (place, name), ends=ends)
                else:
                    told[name] = None if name in UNSEEN else value
            if ends:
                yield from self._rest_of(place)
            made.append(told)
        yield {**event, "choices": made}

    def _pieces(self, value: Any, path: tuple[Any, ...], *, ends: bool) -> Any:
        if isinstance(value, str):
            return self._piece(value, path, ends=ends)
        if isinstance(value, dict):
            return {
                name: each
                if isinstance(each, str) and name in NO_TEXT
                else self._pieces(each, (*path, name), ends=ends)
                for name, each in value.items()
            }
        if isinstance(value, list):
            return [
                self._pieces(each, (*path, _place_of(each, at)), ends=ends)
                for at, each in enumerate(value)
            ]
        return value

    def _piece(self, text: str, path: tuple[Any, ...], *, ends: bool) -> str:
        shaped = self._guarding.shaped or path[-1] in JSON_TEXT
        channel = self._channel(path, inside_json=shaped)
        if ends:
            del self._channels[path]
        return channel.add(text, end=ends)

    def _rest_of(self, place: Any) -> Iterator[Event]:
        """Chunks with what the other texts of a choice still hold."""
        for path in [each for each in self._channels if each[0] == place]:
            text = self._channels.pop(path).end()
            if text:
                yield self._chunk(path, text)

    def _chunk(self, path: tuple[Any, ...], text: str) -> Event:
        value: Any = text
        for name in reversed(path[1:]):
            value = [{"index": name, **value}] if isinstance(name, int) else {name: value}
        choice = {"index": path[0], **value, "logprobs": None, "finish_reason": None}
        return {**self._last, "choices": [choice]}

    def rest(self) -> Iterator[Event]:
        """Of all choices."""
        for place in dict.fromkeys(path[0] for path in self._channels):
            yield from self._rest_of(place)


def _place_of(value: Any, at: int) -> int:
    index = value.get("index") if isinstance(value, dict) else None
    return index if isinstance(index, int) else at


class MessageFrames(Frames):
    """Events of Anthropic's Messages."""

    def told(self, event: Event) -> Iterator[Event]:
        """The event; before the end of a block what is held of it."""
        kind, place = event.get("type"), event.get("index")
        delta = event.get("delta")
        if kind == "content_block_delta" and isinstance(delta, dict):
            piece = delta.get("type")
            member = PIECES.get(piece) if isinstance(piece, str) else None
            if member is not None and isinstance(delta.get(member), str):
                shaped = self._guarding.shaped and piece == "text_delta"
                channel = self._channel((place, piece), inside_json=shaped or member in JSON_TEXT)
                yield {**event, "delta": {**delta, member: channel.add(delta[member])}}
                return
        if kind == "content_block_stop":
            yield from self._rest_of(place)
        block = event.get("content_block")
        if isinstance(block, dict):
            yield {**event, "content_block": self._guarding.whole({"content": block})["content"]}
        else:
            yield self._guarding.whole(event)

    def _rest_of(self, place: Any) -> Iterator[Event]:
        for key in [each for each in self._channels if each[0] == place]:
            text = self._channels.pop(key).end()
            if text:
                delta = {"type": key[1], PIECES[key[1]]: text}
                yield {"type": "content_block_delta", "index": place, "delta": delta}

    def rest(self) -> Iterator[Event]:
        """Of all blocks."""
        for place in dict.fromkeys(key[0] for key in self._channels):
            yield from self._rest_of(place)


class ResponseFrames(Frames):
    """Events of OpenAI's Responses, which are numbered."""

    def __init__(self, guarding: Guarding) -> None:
        """Nothing came yet."""
        super().__init__(guarding)
        self._deltas: dict[Any, Event] = {}
        self._last = self._more = 0

    def told(self, event: Event) -> Iterator[Event]:
        """The event; before the end of a text what is held of it."""
        name, _, last = str(event.get("type")).rpartition(".")
        key = (name, event.get("item_id"), *(event.get(each) for each in PLACES))
        if last == "delta" and isinstance(event.get("delta"), str):
            shaped = self._guarding.shaped and name == "response.output_text"
            channel = self._channel(key, inside_json=shaped or name.endswith("arguments"))
            told = {**event, "delta": channel.add(event["delta"])}
            if told.get("logprobs"):
                told["logprobs"] = []
            self._deltas[key] = told
            yield self._numbered(told)
            return
        if last == "done":
            yield from self._rest_of(key)
        elif name == "response" and last in ENDS:
            yield from self.rest()
        yield self._numbered(self._guarding.whole(event))

    def _rest_of(self, key: Any) -> Iterator[Event]:
        if key not in self._channels:
            return
        text = self._channels.pop(key).end()
        delta = self._deltas.pop(key)
        if text:
            self._more += 1
            yield {**delta, "delta": text, "sequence_number": self._last + self._more}

    def _numbered(self, event: Event) -> Event:
        number = event.get("sequence_number")
        if not isinstance(number, int):
            return event
        self._last = number
        return {**event, "sequence_number": number + self._more}

    def rest(self) -> Iterator[Event]:
        """Of all texts."""
        for key in list(self._channels):
            yield from self._rest_of(key)


PLACES = ("output_index", "content_index", "summary_index")
ENDS = frozenset({"completed", "incomplete", "failed", "cancelled"})

FRAMES: dict[Operation, Callable[[Guarding], Frames]] = {
    Operation.CHAT: ChoiceFrames,
    Operation.COMPLETIONS: ChoiceFrames,
    Operation.MESSAGES: MessageFrames,
    Operation.RESPONSES: ResponseFrames,
}
