"""The built-in simulator: an upstream without a network, so that all can be tried without a key.

It echoes the last message's text, word by word, as a real Chat Completions reply, answers in the
shape that `response_format` asks for, and calls the tools that the last message names, or that
`tool_choice` requires, with arguments that fit their schemas. `embed` makes vectors, `paint`
pictures of one pixel, of a text or of other pictures, `listen` tells how large a file of audio is,
`speak` and `recite` make a tone for each word, `moderate` flags the categories that a text names,
and `rank` ranks documents by the words they share with the query. The request's
own `simulator` object changes what it does (the OpenAI SDK sends it with `extra_body`):

  latency_ms            before the reply begins (default 0)
  chunk_ms              between chunks of a stream (default 0)
  status                answer with this HTTP status and an error object
  retry_after           seconds, sent as Retry-After with an error status
  fail_after_chunks     break a stream off after so many chunks
  error_after_chunks    send an error chunk after so many chunks; where there is none, break off
  usage                 "provider" (default) or "none": whether usage is reported
  output_tokens         length of the reply in tokens, one word each

A reply has at most 100,000 tokens and a mebibyte of text, all choices together.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from providers.inference.adapters.simulator.answers import (
    AskedMedia,
    Echo,
    decode_chat,
    decode_media,
    error_body,
    invalid,
)
from providers.inference.adapters.simulator.keywords import SchemaError
from providers.inference.adapters.simulator.listening import heard, transcript
from providers.inference.adapters.simulator.painting import Painted, asked_in_form, asked_in_json
from providers.inference.adapters.simulator.sessions import Conversation
from providers.inference.adapters.simulator.speaking import Spoken
from providers.inference.port import (
    Operation,
    UpstreamBrokenError,
    UpstreamInterruptedError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from providers.inference.port import Form, RealtimeLimits

LATENCY_MS_MAX = 600_000
EVENTS = {b"content-type": b"text/event-stream"}


class SimulatorReply:
    """A reply made here; keeps the port's promises."""

    def __init__(
        self, status: int, pieces: AsyncIterator[bytes], headers: dict[bytes, bytes] | None = None
    ) -> None:
        """`pieces` makes the body; it may raise UpstreamError."""
        self.status = status
        self.headers = {b"content-type": b"application/json", **(headers or {})}
        self._pieces = pieces
        self._interrupted = asyncio.Event()

    @property
    def report(self) -> None:
        """The body says it all."""

    async def piece(self) -> bytes:
        """The next piece, or an interruption, whichever comes first."""
        following = asyncio.ensure_future(anext(self._pieces, b""))
        stopped = asyncio.ensure_future(self._interrupted.wait())
        try:
            await asyncio.wait({following, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if self._interrupted.is_set():
                message = "interrupted"
                raise UpstreamInterruptedError(message)
            return following.result()
        finally:
            following.cancel()
            stopped.cancel()

    async def whole(self) -> bytes:
        """All pieces."""
        parts: list[bytes] = []
        while piece := await self.piece():
            parts.append(piece)
        return b"".join(parts)

    def interrupt(self) -> None:
        """Make the pending wait raise."""
        self._interrupted.set()

    def release(self) -> None:
        """Nothing to keep."""


class Simulator:
    """The upstream itself."""

    async def send(
        self, operation: Operation, body: bytes, *, stream: bool = False
    ) -> SimulatorReply:
        """Answer a body that the gateway has checked already."""
        chat = operation is Operation.CHAT
        try:
            request = decode_chat(body) if chat else decode_media(body)
        except msgspec.DecodeError as error:
            return SimulatorReply(400, _once(invalid(str(error)), 0))
        behaviour = request.simulator
        wait_s = min(max(behaviour.latency_ms, 0), LATENCY_MS_MAX) / 1_000
        if behaviour.status != 200:
            after = behaviour.retry_after
            headers = {} if after is None else {b"retry-after": str(after).encode()}
            return SimulatorReply(
                behaviour.status, _once(error_body(behaviour.status), wait_s), headers
            )
        try:
            if isinstance(request, AskedMedia):
                return _media(request, operation, wait_s, stream=stream)
            answer = Echo(request, body)
        except SchemaError as error:
            return SimulatorReply(400, _once(invalid(str(error)), wait_s))
        if not stream:
            return SimulatorReply(200, _once(answer.whole(), wait_s))
        return SimulatorReply(200, _stream(answer, wait_s), EVENTS)

    async def send_form(
        self, operation: Operation, form: Form, *, stream: bool = False
    ) -> SimulatorReply:
        """Answer a form: audio in the words of its language, or in English all the same."""
        if operation in (Operation.IMAGE_EDITS, Operation.IMAGE_VARIATIONS):
            asked = await asyncio.to_thread(asked_in_form, form)
            if not stream:
                return SimulatorReply(200, _once(asked.whole(), 0))
            return SimulatorReply(200, _each(asked.events("image_edit")), EVENTS)
        if stream:
            return SimulatorReply(200, _each(heard(form)), EVENTS)
        body, kind = transcript(form)
        return SimulatorReply(200, _once(body, 0), {b"content-type": kind})

    async def open_session(self, model: str, limits: RealtimeLimits) -> Conversation:
        """A realtime session (see `sessions`)."""
        del limits
        return Conversation(model)

    async def close(self) -> None:
        """Nothing to close."""


def _media(
    request: AskedMedia, operation: Operation, wait_s: float, *, stream: bool
) -> SimulatorReply:
    if stream and operation in (Operation.IMAGES, Operation.IMAGE_EDITS):
        return SimulatorReply(200, _stream(Painted(request, operation), wait_s), EVENTS)
    if operation is Operation.IMAGE_EDITS:
        return SimulatorReply(200, _once(asked_in_json(request).whole(), wait_s))
    if operation is not Operation.SPEECH:
        return SimulatorReply(200, _once(request.answer(operation), wait_s))
    spoken = Spoken(request)
    return SimulatorReply(200, _stream(spoken, wait_s), {b"content-type": spoken.kind})


async def _once(body: bytes, wait_s: float) -> AsyncIterator[bytes]:
    if wait_s:
        await asyncio.sleep(wait_s)
    yield body


async def _each(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _stream(answer: Echo | Spoken | Painted, wait_s: float) -> AsyncIterator[bytes]:
    behaviour = answer.request.simulator
    if wait_s:
        await asyncio.sleep(wait_s)
    for index, chunk in enumerate(answer.chunks()):
        told = index == behaviour.error_after_chunks
        if index == behaviour.fail_after_chunks or (told and not answer.tells_errors):
            message = "the simulator was asked to break off"
            raise UpstreamBrokenError(message)
        if told:
            yield b"data: %b\n\n" % error_body(500)
            return
        yield chunk
        if behaviour.chunk_ms:
            await asyncio.sleep(min(behaviour.chunk_ms, LATENCY_MS_MAX) / 1_000)
