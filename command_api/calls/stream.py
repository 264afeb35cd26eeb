"""One streamed call: bytes through, the charge durable before the last of them.

Before the first output a failure is still an honest status and a void. After it, an error
becomes a chunk of the stream and the call is settled for what was made (money rules 4, 5).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from command_api.calls.attempt_log import tell_failure
from command_api.calls.attempts import StreamAttempt
from command_api.calls.beside.keeping import KeptStream, keep_streamed
from command_api.calls.failover import Failover
from command_api.calls.judged.answers import held_answer, read_out
from command_api.calls.stream_bound import StreamBound
from command_api.quotas.refusals import stream_uncovered
from command_api.replies.failures import UpstreamFailure
from command_api.replies.scanning import BrokenStreamError, StreamErrorChunk
from edge.envelopes import OPENAI
from edge.errors import gateway_stopping, internal_error
from providers.inference.port import UpstreamError, UpstreamInterruptedError

if TYPE_CHECKING:
    from command_api.calls.call import Attempt, Call
    from command_api.calls.parts import CallParts
    from edge.asgi import Receive, ReplyHeaders, Send
    from edge.envelopes import Envelope
    from edge.errors import ApiError

logger = logging.getLogger("gatewayz.stream")

OK = 200
DEADLINE_MARGIN_S = 5.0
LAST_WORDS_S = 1.0


class InferenceStream:
    """Runs one stream from the hold to its end."""

    def __init__(
        self,
        parts: CallParts,
        call: Call,
        head: ReplyHeaders,
        receive: Receive,
        send: Send,
        envelope: Envelope = OPENAI,
    ) -> None:
        """The hold stands already. `envelope` is what errors come in."""
        settings = parts.settings.calls
        self._limit_s, self._margin_s = settings.deadline_s, DEADLINE_MARGIN_S
        self._stays = settings.on_disconnect == "drain" or bool(call.idempotency_key)
        """Whether it runs to its end when its caller has gone."""
        self._parts, self._call, self._envelope = parts, call, envelope
        self._head, self._receive, self._send = head, receive, send
        self._trying: list[StreamAttempt] = []
        self._won: StreamAttempt | None = None
        self._failover: Failover | None = None
        self._begun = self._ended = self._gone = False
        self._kept, self._held = KeptStream(parts, call), held_answer(call)
        self._broken_off = False
        """Whether what was sent is not all, and cannot say so but by its missing end."""

    async def run(self) -> None:
        """Stream; raises ApiError for a failure before any output."""
        watch = asyncio.ensure_future(self._watch())
        try:
            await self._concluded()
        except asyncio.CancelledError:
            await self._stopped()
        finally:
            watch.cancel()
            for each in (self._won, self._failover):
                if each is not None:
                    each.let_go()

    async def _concluded(self) -> None:
        """Relay, and bring whatever ends it to its outcome."""
        try:
            async with asyncio.timeout(self._limit_s + self._margin_s):
                await self._relay()
        except TimeoutError:
            # The client stopped reading; the provider's own limit is the deadline itself.
            if self._call.unresolved:
                await self._hung_up()
        except UpstreamFailure as failure:
            await self._parts.cashier.void(self._call, failure.code)
            if not self._gone:
                raise failure.error from None
        except Exception:
            if self._won is None:
                raise
            # A defect of ours in the middle of a stream: charge what was made, end it openly.
            logger.exception("call %s met a defect in its stream", self._call.id)
            self._won.interrupt()
            if self._call.unresolved:
                self._won.attempt.record(status=OK, error="internal_error")
                await self._charge("internal_error")
            await self._end(self._last_events(internal_error(charged=True)), "internal_error")

    async def _watch(self) -> None:
        """Wake the relay when the client hangs up; calls with a key run to their end."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not (self._stays or ((caching := self._call.caching) and caching.followed)):
            self._gone = True
            for each in (self._failover, *self._trying):
                if each is not None:
                    each.interrupt()

    @property
    def _left(self) -> str:
        """Why a call ended that neither its provider nor its bound has ended."""
        return "client_disconnected"

    async def _stopped(self) -> None:
        """The process is stopping: charge what was made, void what was not, and say so.

        An outcome that is on its way already is in the ledger or the spool: there is no second.
        """
        call, won = self._call, self._won
        if won is None:
            if call.unresolved:
                await self._parts.cashier.abandon(call, "the gateway stopped before any output")
            raise gateway_stopping(charged=call.charged is not None)
        if call.unresolved:
            won.attempt.record(status=OK, error="gateway_stopped")
            won.interrupt()
            await self._charge("gateway_stopped")
        with suppress(TimeoutError):
            # A caller who does not read cannot hold up the end of the process.
            async with asyncio.timeout(LAST_WORDS_S):
                await self._end(self._last_events(gateway_stopping(charged=True)), "stopped")

    def _last_events(self, error: ApiError) -> bytes:
        """How a stream ends that has begun and cannot go on."""
        assert self._won is not None, "before output it is a status"
        self._broken_off = self._won.breaks_off
        if self._broken_off:
            return b""
        return self._won.last_events(self._envelope, error, self._head.request_id)

    async def _attempt(self, attempt: Attempt) -> StreamAttempt:
        made = StreamAttempt(self._parts.registry, self._call, attempt)
        if self._gone:
            raise UpstreamInterruptedError("interrupted")
        self._trying.append(made)
        try:
            await made.begin()
        except UpstreamFailure:
            self._trying.remove(made)  # Its connection may be another call's by now.
            raise
        return made

    async def _first(self) -> StreamAttempt:
        """The first attempt that gives output; its offer's price counts from here on."""
        call, silent_s = self._call, self._parts.settings.calls.first_output_s
        self._failover = failover = Failover(
            self._parts.router, call, deadline_s=self._limit_s, first_output_s=silent_s
        )
        won = self._won = await failover.first(self._attempt)
        self._trying = [won]
        call.settle_with(won.attempt.offer)
        call.let_go_body()
        return won

    async def _relay(self) -> None:
        try:
            won = await self._first()
            scanner, out = won.scanner, won.out
            default = self._parts.settings.holds.default_output_tokens
            bound = StreamBound(self._call, won, self._parts.cashier, more=default)
            if won.failed is not None:
                await self._failed(won.failed, out)
                return
            while not (scanner.done or won.ended):
                if self._gone:
                    raise UpstreamInterruptedError("interrupted")
                if bound.passed:
                    break
                await self._pass(out)
                if scanner.done or not await bound.covered():
                    await self._uncovered()
                    return
                assert won.reply is not None
                try:
                    piece = await won.reply.piece()
                except Exception as error:  # noqa: BLE001 - `known` logs what no port allows.
                    raise won.known(error) from None
                won.ended = not piece
                out = won.read(piece)
            if bound.passed:
                await self._cut(bound.within(out))
            else:
                await self._complete(out + scanner.ending(won.paid), "completed")
        except UpstreamInterruptedError:
            await self._hung_up()
        except UpstreamError as error:
            await self._broke(error, b"")
        except (BrokenStreamError, StreamErrorChunk) as error:
            await self._broke(error, error.passed)

    async def _charge(self, reason: str) -> None:
        """Settle for what was made, by the provider's count or ours."""
        assert self._won is not None, "only a stream with output is charged"
        usage, request_id = self._won.usage(), self._won.scanner.request_id
        await self._parts.cashier.settle(
            self._call, self._won.attempt, usage, request_id=request_id, reason=reason
        )

    async def _complete(self, last: bytes, reason: str, error: str | None = None) -> None:
        """The end of an answer that is whole, or as long as it may be, if guards let it be told."""
        if self._held is not None:
            last = await self._held.passed(last, last=True)
        if (guarding := self._call.guarding) is not None and guarding.refused is not None:
            await self._refused(guarding.refused, last)
            return
        self._record(error)
        await self._close(last, reason)

    def _record(self, error: str | None, *, status: int | None = OK) -> None:
        assert self._won is not None
        self._won.attempt.record(status=status, error=error)

    async def _broke(
        self, error: UpstreamError | BrokenStreamError | StreamErrorChunk, passed: bytes
    ) -> None:
        assert self._won is not None, "before output a stream fails as an attempt"
        self._won.interrupt()
        await self._failed(self._won.failure_of(error), passed)

    async def _failed(self, failure: UpstreamFailure, passed: bytes) -> None:
        """A failure after output: an error chunk and the charge."""
        self._record(failure.code, status=failure.status)
        tell_failure(self._call, self._call.model, failure)
        last = self._last_events(failure.error_in_stream)
        await self._close(last, failure.code, passed)

    async def _cut(self, out: bytes) -> None:
        """The provider made more than it was told to: end here, charge what was asked for."""
        if self._call.request.max_tokens is None and not self._call.affords_all:
            await self._uncovered(out)
            return
        assert self._won is not None, "only a stream with output is cut"
        self._won.interrupt()
        last = self._won.scanner.cut_short(self._won.paid)
        await self._complete(out + last, "maximum_ignored", "maximum_ignored")

    async def _uncovered(self, out: bytes = b"") -> None:
        """Credits, a quota or a guard have no room for more: end here, charge what was made."""
        guarding = self._call.guarding
        error = guarding.refused if guarding is not None else None
        await self._refused(error or stream_uncovered(by_quota=self._call.out_of_quota), out)

    async def _refused(self, error: ApiError, out: bytes) -> None:
        """A stream that may not go on: end it openly, charge what was made."""
        assert self._won is not None, "only a stream with output is cut"
        if (guarding := self._call.guarding) is not None and guarding.refused is error:
            await read_out(self._won, self._call)
        self._record(error.code)
        self._won.interrupt()
        await self._close(self._last_events(error), error.code, out)

    async def _hung_up(self) -> None:
        """The client is gone: charge what was made, void if there was nothing (rule 5)."""
        call, cashier = self._call, self._parts.cashier
        if self._won is None:
            for each in self._trying:
                each.attempt.record(status=None, error=self._left)
            await cashier.void(call, self._left)
            return
        self._record(self._left)
        await self._charge(self._left)

    async def _begin(self) -> None:
        assert self._won is not None, "there is output"
        self._begun = True
        self._head.provider = self._call.model.provider
        headers = [(b"content-type", self._won.kind), *self._head.listed()]
        await self._send({"type": "http.response.start", "status": OK, "headers": headers})

    async def _pass(self, out: bytes) -> None:
        if self._held is not None:
            out = await self._held.passed(out, last=False)
        if not out:
            return
        if not self._begun:
            await self._begin()
        self._kept.add(out)
        await self._send({"type": "http.response.body", "body": out, "more_body": True})

    async def _close(self, last: bytes, reason: str, seen: bytes = b"") -> None:
        """Settle, durably, and only then send the end, behind what guards saw that ask nobody."""
        assert self._won is not None, "there is output"
        last = last if self._held is not None else seen + last
        self._kept.add(last)
        if self._broken_off:
            self._kept.drop("it broke off")
        await self._kept.seal(self._won.kind)
        await self._charge(reason)
        await keep_streamed(self._parts, self._call, self._won, reason)
        await self._end(last)

    async def _end(self, last: bytes, broken: str = "") -> None:
        if self._ended or self._gone:
            return
        if broken:
            await keep_streamed(self._parts, self._call, self._won, broken)
        if not self._begun:
            await self._begin()
        more = self._broken_off
        await self._send({"type": "http.response.body", "body": last, "more_body": more})
        self._ended = True
