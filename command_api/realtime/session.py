"""One session from its opening to its end: two directions that live and die together.

What the caller says goes on once the hold has room for the response that it may lead to. What the
provider says is counted before it goes on. Whichever direction ends first ends the other; then the
call is settled once, by what its responses reported, or were counted (money rules 4 and 6).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from command_api.calls.beside.own_keys import own_key_of
from command_api.realtime import server_events
from command_api.realtime.client_events import (
    COMMIT,
    CREATE,
    UPDATE,
    ClientEvents,
    RefusedEventError,
)
from command_api.realtime.cover import Cover, NoRoomError
from command_api.realtime.refusals import (
    crowded,
    expired,
    idle,
    no_text,
    provider_broke,
    provider_flooded,
)
from command_api.realtime.request import count_of
from command_api.realtime.transcripts import events as transcript_events
from command_api.realtime.transcripts.wishes import Wishes
from command_api.realtime.wire import BinaryFrameError, ClientGoneError, SlowReaderError
from domain.realtime.counting import INSTRUCTIONS_TOKENS, Sent, text_sent
from domain.realtime.session import TooManyResponsesError
from domain.realtime.transcripts import TooManyTranscriptsError
from edge.errors import gateway_stopping, internal_error
from providers.inference.port import UpstreamError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from command_api.calls.call import Attempt, Call
    from command_api.calls.parts import CallParts
    from command_api.realtime.client_events import ClientEvent
    from command_api.realtime.wire import ClientSocket
    from edge.errors import ApiError
    from providers.inference.port import RealtimeChannel
    from providers.inference.registry.offers import Model

logger = logging.getLogger("gatewayz.realtime")

OK = 200
NORMAL, GOING_AWAY, UNSUPPORTED, POLICY, INTERNAL, LATER = 1000, 1001, 1003, 1008, 1011, 1013
"""Codes of a close (RFC 6455, 7.4.1)."""
CANCEL = '{"type":"response.cancel"}'
LOOK_S = 5.0
"""Longest time between looks at a session's age and silence, seconds."""
LOOKS = 8
"""A short limit is looked at so many times."""
LAST_WORDS_S = 2.0


class Ending(NamedTuple):
    """Why a session ended, and how its caller is told."""

    reason: str
    code: int = NORMAL
    error: ApiError | None = None
    cut: bool = False
    """Whether a response that is under way is cancelled."""


class _EndedError(Exception):
    def __init__(self, ending: Ending) -> None:
        super().__init__(ending.reason)
        self.ending = ending


class Session:
    """Runs one session whose hold stands and whose channel is open."""

    def __init__(
        self,
        parts: CallParts,
        call: Call,
        attempt: Attempt,
        channel: RealtimeChannel,
        socket: ClientSocket,
        writers: dict[str, Model],
    ) -> None:
        """At the offer of the attempt; `writers` are its prices with transcripts, by model."""
        self._parts, self._call, self._attempt = parts, call, attempt
        self._channel, self._socket = channel, socket
        self._settings = parts.settings.realtime
        self._writers, self._priced = writers, attempt.offer
        self._events = ClientEvents(attempt.offer, Wishes(writers, call.caller.limits))
        self._count = count_of(attempt.offer)
        self._cover = Cover(parts.cashier, call, self._count)
        own = own_key_of(call.caller, attempt.offer)
        house = parts.registry.providers[attempt.offer.provider].secrets
        self._secrets = house if own is None else {*house, own.secret}
        self._heard_at = asyncio.get_running_loop().time()

    async def run(self) -> str:
        """The session, and its settlement; returns the reason of its end."""
        try:
            ending = await self._both()
        except asyncio.CancelledError:
            ending = Ending("gateway_stopped", GOING_AWAY, gateway_stopping(charged=True), cut=True)
        except Exception:
            logger.exception("call %s met a defect in its session", self._call.id)
            ending = Ending("internal_error", INTERNAL, internal_error(charged=True), cut=True)
        try:
            await self._say_goodbye(ending)
        finally:
            self._channel.abort()
            await self._settle(ending.reason)
        return ending.reason

    async def _both(self) -> Ending:
        """Both directions and the clock, until the first of them ends."""
        tasks = [
            asyncio.ensure_future(each)
            for each in (self._from_caller(), self._from_provider(), self._watch())
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        # What went wrong here is not hidden by a caller who left meanwhile.
        endings = [_ending_of(task) for task in tasks if task in done]
        return max(endings, key=lambda each: each.error is not None)

    async def _from_caller(self) -> None:
        socket = self._socket
        while True:
            try:
                text = await socket.receive()
            except BinaryFrameError:
                raise _EndedError(Ending("binary_frame", UNSUPPORTED, no_text())) from None
            self._alive()
            try:
                event = self._events.read(text)
                self._take(event)
            except RefusedEventError as refused:
                await socket.tell(refused.error, refused.event_id)
                continue
            await self._cover.hold()
            await self._up(self._channel.send(event.text))

    def _take(self, event: ClientEvent) -> None:
        """Count what the caller's event brings; raises RefusedEventError."""
        count = self._count
        if event.kind == CREATE and count.crowded:
            raise RefusedEventError(crowded(), None)
        if event.speaks is not None:
            count.form = event.speaks
        for size, form in event.audio:
            count.hears(size, form)
        if event.wish is not None:
            self._priced = self._writers[event.wish.model]
            count.transcribes(self._priced.price, event.wish.size)
        if event.kind == COMMIT and count.transcripts is not None:
            count.transcripts.commits()
        if event.kind == UPDATE:
            # What is told now may stand beside what the session has already.
            count.configured(event.sent.and_also(Sent(INSTRUCTIONS_TOKENS, 0)))
        elif event.kind == CREATE:
            count.asks(event.sent)
        else:
            count.said(event.sent)

    async def _up(self, sending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(self._settings.reader_s):
                await sending
        except TimeoutError:
            raise _EndedError(_broken("provider_not_reading")) from None

    async def _from_provider(self) -> None:
        while True:
            text = await self._channel.receive()
            if text is None:
                raise _EndedError(Ending("provider_closed"))
            self._alive()
            event = server_events.read_server_event(text)
            if event is None:
                raise _EndedError(_broken("unusable_reply"))
            if event.type.startswith(transcript_events.PREFIX) and self._count.transcripts is None:
                continue  # Nobody asked for it, so it has no price.
            self._note(event, text)
            if event.type == server_events.ERROR:
                for secret in self._secrets:
                    text = text.replace(secret, "[hidden]")
            await self._socket.send(text)
            if self._count.flooded:
                error = provider_flooded()
                raise _EndedError(Ending("maximum_ignored", INTERNAL, error, cut=True))
            await self._cover.hold()

    def _note(self, event: server_events.ServerEvent, text: str) -> None:
        """Count what the provider's event says."""
        count, response = self._count, event.response_name
        if event.type in server_events.SESSION:
            count.configured(text_sent(len(text)))
        elif count.transcripts is not None and transcript_events.tells(event.type):
            transcript_events.note(text, count.transcripts, count.heard_ms)
        elif event.type == server_events.CREATED and response:
            count.began(response)
        elif event.type == server_events.DONE:
            count.done(response, event.usage, event.whole_text)
        elif event.type == server_events.ERROR:
            count.declined()
        elif event.text or event.audio_bytes:
            if self._attempt.first_output_ms is None:
                self._attempt.first_output_ms = self._attempt.elapsed_ms
            count.made(response, event.text, event.audio_bytes)

    def _alive(self) -> None:
        self._heard_at = asyncio.get_running_loop().time()

    async def _watch(self) -> None:
        """The session's age and its silence; its hold lives as long as it does."""
        settings, loop = self._settings, asyncio.get_running_loop()
        until = loop.time() + settings.session_s
        life_s = self._parts.settings.hold_ttl_s
        look_s = min(LOOK_S, settings.session_s / LOOKS, settings.idle_s / LOOKS, life_s / LOOKS)
        while True:
            await asyncio.sleep(look_s)
            self._parts.cashier.goes_on(self._call)
            now = loop.time()
            if now >= until:
                error = expired(settings.session_s)
                raise _EndedError(Ending("session_expired", GOING_AWAY, error, cut=True))
            if now - self._heard_at >= settings.idle_s:
                raise _EndedError(Ending("session_idle", GOING_AWAY, idle(settings.idle_s)))

    async def _say_goodbye(self, ending: Ending) -> None:
        """Cancel what is under way, and tell both sides, each within a time."""
        with suppress(TimeoutError, UpstreamError, ClientGoneError, SlowReaderError):
            async with asyncio.timeout(LAST_WORDS_S):
                if ending.error is not None:
                    await self._socket.tell(ending.error)
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self._socket.close(ending.code, ending.reason)
        with suppress(TimeoutError, UpstreamError):
            async with asyncio.timeout(LAST_WORDS_S):
                if ending.cut and self._count.open:
                    await self._channel.send(CANCEL)
                await self._channel.close()

    async def _settle(self, reason: str) -> None:
        """One charge for all responses; where nothing was made, none (money rule 4)."""
        call, attempt, cashier = self._call, self._attempt, self._parts.cashier
        interrupted = self._count.open > 0
        usage = self._count.end()
        if usage is not None and usage.uses:
            attempt.offer = self._priced
        if reason == "completed" and interrupted:
            reason = "client_disconnected"
        attempt.record(status=OK, error=None if reason in CLEAN else reason)
        if usage is None:
            await cashier.void(call, "no response was made")
        else:
            await cashier.settle(call, attempt, usage, request_id=None, reason=reason)


CLEAN = frozenset({"completed", "provider_closed", "session_expired", "session_idle"})
"""Ends that are nobody's failure."""


def _broken(reason: str) -> Ending:
    return Ending(reason, INTERNAL, provider_broke(), cut=True)


def _ending_of(task: asyncio.Future[None]) -> Ending:
    """What an end of a direction means; raises what no direction should raise."""
    error = task.exception()
    if isinstance(error, _EndedError):
        return error.ending
    if isinstance(error, NoRoomError):
        code = LATER if error.away else POLICY
        return Ending(error.error.code, code, error.error, cut=True)
    if isinstance(error, UpstreamError):
        return _broken(error.code)
    known = next((each for kind, each in ENDINGS.items() if isinstance(error, kind)), None)
    if known is None:
        raise error or AssertionError("a direction ends by what it raises")
    return known


ENDINGS: dict[type[Exception], Ending] = {
    ClientGoneError: Ending("completed", cut=True),
    SlowReaderError: Ending("slow_reader", POLICY, cut=True),
    TooManyResponsesError: _broken("too_many_responses"),
    TooManyTranscriptsError: _broken("too_many_transcripts"),
}
