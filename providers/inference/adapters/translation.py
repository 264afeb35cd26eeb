"""What the adapters share that translate another API into OpenAI's form.

A translator is pure: it takes the provider's reply, whole or as the events of a stream, and
gives OpenAI's. This module does the reading around it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from providers.inference.adapters.lines import LineTooLongError, WholeLines
from providers.inference.port import (
    UnsupportedError,
    UpstreamBrokenError,
    UpstreamTooLargeError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from providers.inference.port import UpstreamReply

OK = 200
LINE_BYTES_MAX = 16 * 1024 * 1024
ROLE_CHARACTERS_MAX = 40
DONE = b"data: [DONE]\n\n"
JSON_HEADERS = {b"content-type": b"application/json"}
STREAM_HEADERS = {b"content-type": b"text/event-stream"}
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,", re.IGNORECASE)

encode = msgspec.json.encode
decode_object = msgspec.json.Decoder(dict[str, Any]).decode


ODD = (AttributeError, KeyError, TypeError, ValueError)
"""What reading an object of an odd shape raises."""


class Translator(Protocol):
    """Brings one reply into OpenAI's form; raises UpstreamBrokenError for what it cannot read."""

    @property
    def report(self) -> dict[str, Any] | None:
        """The usage so far in OpenAI's form, if the provider tells it as it goes."""
        ...

    def whole(self, body: dict[str, Any]) -> dict[str, Any]:
        """The reply as one object."""
        ...

    def event(self, data: dict[str, Any]) -> Iterable[dict[str, Any]]:
        """The chunks that one event of the stream becomes."""
        ...

    def end(self) -> Iterable[dict[str, Any]]:
        """The last chunks; raises UpstreamBrokenError when the stream was cut short."""
        ...


class TranslatedReply:
    """A provider's reply in OpenAI's form; errors pass as they came."""

    def __init__(self, inner: UpstreamReply, translator: Translator) -> None:
        """Read from `inner` through a translator."""
        self._inner, self._translator = inner, translator
        self._lines = WholeLines(LINE_BYTES_MAX)
        self._ended = False
        self.status = inner.status
        kept = {name: inner.headers[name] for name in (b"retry-after",) if name in inner.headers}
        streams = inner.headers.get(b"content-type", b"").startswith(b"text/event-stream")
        self.headers = {**kept, **(STREAM_HEADERS if streams else JSON_HEADERS)}

    @property
    def report(self) -> dict[str, Any] | None:
        """What the translator knows."""
        return self._translator.report

    async def whole(self) -> bytes:
        """The complete body."""
        raw = await self._inner.whole()
        if self.status != OK:
            return raw
        try:
            return encode(self._translator.whole(_object_of(raw)))
        except ODD as error:
            raise _of_another_shape(error) from None

    async def piece(self) -> bytes:
        """What the events that have arrived become."""
        while not self._ended:
            piece = await self._inner.piece()
            if not piece:
                self._ended = True
                return self._chunks_of(self._lines.rest()) + _written(self._translator.end()) + DONE
            try:
                block = self._lines.add(piece)
            except LineTooLongError as error:
                raise UpstreamTooLargeError(str(error)) from None
            out = self._chunks_of(block)
            if out:
                return out
        return b""

    def interrupt(self) -> None:
        """Give the attempt up."""
        self._inner.interrupt()

    def release(self) -> None:
        """Done with the reply."""
        self._inner.release()

    def _chunks_of(self, block: bytes) -> bytes:
        try:
            return b"".join(
                _written(self._translator.event(_object_of(line[5:])))
                for line in block.split(b"\n")
                if line.startswith(b"data:") and line[5:].strip() != b"[DONE]"
            )
        except ODD as error:
            raise _of_another_shape(error) from None


def _of_another_shape(error: Exception) -> UpstreamBrokenError:
    """A member of a reply is not what the provider's documentation says it is."""
    return UpstreamBrokenError(f"the reply has another shape: {error!r}")


def translated(
    translate: Callable[[dict[str, Any]], dict[str, Any]], body: dict[str, Any]
) -> dict[str, Any]:
    """A caller's body in the provider's form; raises UnsupportedError for one of an odd shape."""
    try:
        return translate(body)
    except ODD as error:
        message = "a member of the body has not the shape that its API gives it"
        if odd := _odd_member(translate, body):
            message = f"{odd}: it has not the shape that its API gives it"
        raise UnsupportedError(message) from error


PLAIN: dict[str, Any] = {
    "model": "m",
    "max_tokens": 1,
    "messages": [{"role": "user", "content": "x"}],
    "input": "x",
}
"""Members without which nothing can be translated, as anybody may have them."""
TRIED_MAX = 64
"""Members of a body that are tried, each alone, to find the odd one."""


def _odd_member(
    translate: Callable[[dict[str, Any]], dict[str, Any]], body: dict[str, Any]
) -> str | None:
    """The first member that cannot be translated even where all others are plain."""
    plain = {name: value for name, value in PLAIN.items() if name in body}
    for name in list(body)[:TRIED_MAX]:
        try:
            translate({**plain, name: body[name]})
        except ODD:
            return name
        except UnsupportedError:
            continue
    return None


def speaks_for(role: Any) -> bool:
    """Whether the model's own words are in a message of this role, else the caller's.

    Raises UnsupportedError for a role that nobody has: its words would be taken for the caller's.
    """
    if role in ("user", "tool", "function"):
        return False
    if role == "assistant":
        return True
    message = f"messages: a message of the role {str(role)[:ROLE_CHARACTERS_MAX]!r}"
    raise UnsupportedError(message)


def _object_of(raw: bytes) -> dict[str, Any]:
    try:
        return decode_object(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        what = "a body that is not a JSON object" if raw.strip() else "an empty body"
        message = f"the reply is {what}"
        raise UpstreamBrokenError(message) from None


def _written(chunks: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(b"data: %b\n\n" % encode(chunk) for chunk in chunks)


class ChunkMaker:
    """Chunks of one stream: they share id, model and time of creation (Unix, seconds)."""

    def __init__(self, model: str, created: int) -> None:
        """The id becomes known with the first event."""
        self.id, self.model, self._created = "", model, created

    def chunk(
        self, delta: dict[str, Any], finish_reason: str | None = None, *, index: int = 0
    ) -> dict[str, Any]:
        """A chunk with one choice."""
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._members("chat.completion.chunk"), "choices": [choice]}

    def usage_chunk(self, usage: dict[str, Any]) -> dict[str, Any]:
        """The chunk that reports usage, as OpenAI sends it."""
        return {**self._members("chat.completion.chunk"), "choices": [], "usage": usage}

    def completion(
        self, choices: list[dict[str, Any]], usage: dict[str, Any] | None
    ) -> dict[str, Any]:
        """A whole reply."""
        reply = {**self._members("chat.completion"), "choices": choices}
        return reply if usage is None else {**reply, "usage": usage}

    def _members(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id or f"chatcmpl-{self._created}",
            "object": kind,
            "created": self._created,
            "model": self.model,
        }


def split_data_url(url: str) -> tuple[str, str] | None:
    """(media type, base64 data) of a data URL; None for any other URL (RFC 2397)."""
    found = _DATA_URL.match(url)
    return (found.group(1) or "text/plain", url[found.end() :]) if found else None


def text_of(content: Any) -> str:
    """The text of a message's content, a string or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(
        part["text"]
        for part in parts
        if isinstance(part, dict) and isinstance(part.get("text"), str)
    )


def parts_of(content: Any) -> list[dict[str, Any]]:
    """A message's content as parts."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [part for part in content or () if isinstance(part, dict)]


def arguments_of(text: Any) -> dict[str, Any]:
    """A tool call's arguments as an object; models sometimes write other JSON, or none."""
    if isinstance(text, dict):
        return text
    if not isinstance(text, str) or not text.strip():
        return {}
    try:
        return decode_object(text.encode())
    except msgspec.DecodeError:
        return {"arguments": text}


REASONING_TOKENS = {
    "none": 0,
    "minimal": 512,
    "low": 1_024,
    "medium": 4_096,
    "high": 16_384,
    "xhigh": 32_768,
}
"""Budgets of `reasoning_effort` at providers that take tokens instead."""


def reasoning_budget(body: dict[str, Any]) -> int | None:
    """The tokens a caller grants for reasoning; None when he says nothing of it.

    OpenAI's `reasoning_effort`, or OpenRouter's `reasoning` object with `effort` or `max_tokens`.
    """
    asked = body.get("reasoning")
    asked = asked if isinstance(asked, dict) else {}
    most = asked.get("max_tokens")
    if isinstance(most, int):
        return max(most, 0)
    effort = body.get("reasoning_effort") or asked.get("effort")
    return REASONING_TOKENS.get(effort) if isinstance(effort, str) else None
