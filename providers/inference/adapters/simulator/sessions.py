"""Realtime sessions of the simulator: it says back what was said last, in text and in tones.

It speaks as much of OpenAI's Realtime API as a client needs for a conversation: sessions, items,
the buffer of audio, responses and their end. It hears no speech: what is committed is answered by
how long it was, and without a wish it detects no turns.
"""

from __future__ import annotations

import asyncio
import binascii
from typing import TYPE_CHECKING, Any

import msgspec

from domain.pricing.usage import estimate_tokens
from providers.inference.adapters.simulator.speaking import WORDS_MAX, tone
from providers.inference.port import UpstreamBrokenError

if TYPE_CHECKING:
    from collections.abc import Iterator

FRAMES_MAX = 4_096
"""Frames that wait for a reader: a response of the longest kind, and then the writer waits."""
BYTES_A_TOKEN = 4_800
"""A token of PCM that was heard (OpenAI, "Managing costs")."""
TOKENS_A_SECOND = 10
SPOKEN_TOKENS_A_WORD = 2
MODALITIES = (["audio"], ["text"])
FORMAT = {"type": "audio/pcm", "rate": 24_000}
_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Conversation:
    """One session; keeps the port's promises."""

    def __init__(self, model: str) -> None:
        """The session is created, and says so."""
        self._frames: asyncio.Queue[str | None] = asyncio.Queue(FRAMES_MAX)
        self._closed = False
        self._number = self._heard = self._before = 0
        self._said: list[tuple[str, str, int, int]] = []
        self._session: dict[str, Any] = {
            "type": "realtime",
            "object": "realtime.session",
            "id": "sess_sim",
            "model": model,
            "output_modalities": ["audio"],
            "instructions": "",
            "tools": [],
            "tool_choice": "auto",
            "max_output_tokens": "inf",
            "audio": {
                "input": {"format": FORMAT, "transcription": None, "turn_detection": None},
                "output": {"format": FORMAT, "voice": "tone", "speed": 1},
            },
        }
        self._frames.put_nowait(self._event("session.created", session=self._session))

    async def send(self, text: str) -> None:
        """Take an event and answer it."""
        if self._closed:
            reason = "the session is over"
            raise UpstreamBrokenError(reason)
        try:
            event = _decode(text)
        except msgspec.DecodeError:
            event = {}
        for frame in self._answers(event):
            await self._frames.put(frame)

    async def receive(self) -> str | None:
        """The next event."""
        if self._closed and self._frames.empty():
            return None
        return await self._frames.get()

    async def close(self) -> None:
        """Nobody reads on."""
        self.abort()

    def abort(self) -> None:
        """The same."""
        self._closed = True
        if self._frames.empty():
            self._frames.put_nowait(None)

    def _event(self, kind: str, **members: Any) -> str:
        self._number += 1
        return _encode({"type": kind, "event_id": f"event_sim_{self._number}", **members}).decode()

    def _answers(self, event: dict[str, Any]) -> Iterator[str]:
        match event.get("type"):
            case "session.update":
                wanted = event.get("session")
                self._session |= wanted if isinstance(wanted, dict) else {}
                yield self._event("session.updated", session=self._session)
            case "conversation.item.create":
                yield from self._item(event)
            case "input_audio_buffer.append":
                self._heard += len(str(event.get("audio") or "")) * 3 // 4
            case "input_audio_buffer.clear":
                self._heard = 0
                yield self._event("input_audio_buffer.cleared")
            case "input_audio_buffer.commit":
                yield from self._commit(event)
            case "response.create":
                yield from self._response(event)
            case "response.cancel":
                yield self._error("response_cancel_not_active", "no response is active", event)
            case "conversation.item.delete":
                item = str(event.get("item_id"))
                self._said = [each for each in self._said if each[0] != item]
                yield self._event("conversation.item.deleted", item_id=item)
            case other:
                yield self._error("invalid_event", f"the simulator knows no {other!r}", event)

    def _error(self, code: str, message: str, event: dict[str, Any]) -> str:
        error = {
            "type": "invalid_request_error",
            "code": code,
            "message": message,
            "param": None,
            "event_id": event.get("event_id"),
        }
        return self._event("error", error=error)

    def _item(self, event: dict[str, Any]) -> Iterator[str]:
        item = event.get("item")
        if not isinstance(item, dict):
            yield self._error("invalid_value", "item is missing", event)
            return
        number = len(self._said) + 1
        item = {
            "id": f"item_sim_{number}",
            "object": "realtime.item",
            "status": "completed",
            **item,
        }
        parts = item.get("content")
        texts = [
            str(each.get("text") or each.get("transcript") or "")
            for each in (parts if isinstance(parts, list) else ())
            if isinstance(each, dict)
        ]
        text = " ".join(texts) or str(item.get("output") or "")
        self._said.append((str(item["id"]), text, estimate_tokens(text), 0))
        yield from self._added(item)

    def _commit(self, event: dict[str, Any]) -> Iterator[str]:
        if not self._heard:
            yield self._error("input_audio_buffer_commit_empty", "the buffer is empty", event)
            return
        tokens, self._heard = -(-self._heard // BYTES_A_TOKEN), 0
        item_id = f"item_sim_{len(self._said) + 1}"
        self._said.append((item_id, f"I heard {tokens} tenths of a second.", 0, tokens))
        yield self._event("input_audio_buffer.committed", item_id=item_id, previous_item_id=None)
        content = [{"type": "input_audio", "transcript": None}]
        yield from self._added(_message(item_id, "user", content))
        if self._transcribes:
            yield from self._transcript(item_id, tokens)

    @property
    def _transcribes(self) -> bool:
        """Whether the session asks for transcripts, as the protocol has it or its beta."""
        about: Any = self._session
        for name in ("audio", "input", "transcription"):
            about = about.get(name) if isinstance(about, dict) else None
        return bool(about or self._session.get("input_audio_transcription"))

    def _transcript(self, item_id: str, tokens: int) -> Iterator[str]:
        text, kind = self._said[-1][1], "conversation.item.input_audio_transcription"
        about = {"item_id": item_id, "content_index": 0}
        yield self._event(f"{kind}.delta", **about, delta=text)
        usage = {"type": "duration", "seconds": tokens / TOKENS_A_SECOND}
        yield self._event(f"{kind}.completed", **about, transcript=text, usage=usage)

    def _added(self, item: dict[str, Any]) -> Iterator[str]:
        yield self._event("conversation.item.added", item=item, previous_item_id=None)
        yield self._event("conversation.item.done", item=item, previous_item_id=None)

    def _response(self, event: dict[str, Any]) -> Iterator[str]:
        wanted = event.get("response")
        asked = self._session | (wanted if isinstance(wanted, dict) else {})
        modalities = asked.get("output_modalities")
        modalities = modalities if modalities in MODALITIES else ["audio"]
        spoken = modalities == ["audio"]
        number = len(self._said) + 1
        response: dict[str, Any] = {
            "object": "realtime.response",
            "id": f"resp_sim_{number}",
            "status": "in_progress",
            "status_details": None,
            "output": [],
            "conversation_id": "conv_sim",
            "output_modalities": modalities,
            "max_output_tokens": "inf",
            "usage": None,
            "metadata": None,
        }
        yield self._event("response.created", response=response)
        words = (self._said[-1][1] if self._said else "").split()[:WORDS_MAX] or ["Hello."]
        item_id, text = f"item_sim_{number}", " ".join(words)
        content: dict[str, Any] = {"type": "output_audio", "transcript": text}
        if not spoken:
            content = {"type": "output_text", "text": text}
        begun = _message(item_id, "assistant", [], status="in_progress")
        ended = _message(item_id, "assistant", [content])
        place = {"response_id": response["id"], "output_index": 0}
        part = {**place, "item_id": item_id, "content_index": 0}
        yield self._event("response.output_item.added", **place, item=begun)
        yield self._event("conversation.item.added", item=begun, previous_item_id=None)
        empty = {"type": content["type"], "transcript" if spoken else "text": ""}
        yield self._event("response.content_part.added", **part, part=empty)
        yield from self._words(words, part, spoken=spoken)
        yield self._event("response.content_part.done", **part, part=content)
        yield self._event("response.output_item.done", **place, item=ended)
        yield self._event("conversation.item.done", item=ended, previous_item_id=None)
        response |= {"status": "completed", "output": [ended]}
        response["usage"] = self._usage(item_id, text, len(words), spoken=spoken)
        yield self._event("response.done", response=response)

    def _words(self, words: list[str], part: dict[str, Any], *, spoken: bool) -> Iterator[str]:
        text = "response.output_audio_transcript" if spoken else "response.output_text"
        for place, word in enumerate(words):
            yield self._event(f"{text}.delta", **part, delta=f" {word}" if place else word)
            if spoken:
                audio = binascii.b2a_base64(tone(len(word)), newline=False).decode()
                yield self._event("response.output_audio.delta", **part, delta=audio)
        name = "transcript" if spoken else "text"
        if spoken:
            yield self._event("response.output_audio.done", **part)
        yield self._event(f"{text}.done", **part, **{name: " ".join(words)})

    def _usage(self, item_id: str, text: str, words: int, *, spoken: bool) -> dict[str, Any]:
        """All that was said is read again, and what an earlier response has read is cached."""
        read = sum(text_tokens for _, _, text_tokens, _ in self._said) or 1
        heard = sum(audio for _, _, _, audio in self._said)
        written = estimate_tokens(text)
        audio = words * SPOKEN_TOKENS_A_WORD if spoken else 0
        self._said.append((item_id, text, written, audio))
        cached, self._before = min(self._before, read), read
        return {
            "total_tokens": read + heard + written + audio,
            "input_tokens": read + heard,
            "output_tokens": written + audio,
            "input_token_details": {
                "text_tokens": read,
                "audio_tokens": heard,
                "image_tokens": 0,
                "cached_tokens": cached,
                "cached_tokens_details": {
                    "text_tokens": cached,
                    "audio_tokens": 0,
                    "image_tokens": 0,
                },
            },
            "output_token_details": {"text_tokens": written, "audio_tokens": audio},
        }


def _message(
    item_id: str, role: str, content: list[dict[str, Any]], status: str = "completed"
) -> dict[str, Any]:
    return {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": role,
        "content": content,
    }
