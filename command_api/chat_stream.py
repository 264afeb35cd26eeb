"""One streamed call: bytes through, the charge durable before the last of them.

Before the first output a failure is still an honest status and a void. After it, an error
becomes a chunk of the stream and the call is settled for what was made (money rules 4, 5).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from command_api.errors import INSUFFICIENT_QUOTA, UPSTREAM, ApiError, internal_error
from command_api.http import EVENT_STREAM
from command_api.idempotency import StoredReply
from command_api.outcomes import (
    UpstreamFailure,
    failure_of_body,
    failure_of_error,
    failure_of_exception,
    failure_of_nothing,
)
from command_api.sse import DONE, BrokenStreamError, StreamErrorChunk, StreamScanner
from providers.inference.port import UpstreamError, UpstreamInterruptedError

if TYPE_CHECKING:
    from command_api.calls import Call
    from command_api.gateway import Gateway
    from command_api.http import Header, Receive, Send
    from domain.usage import Usage
    from providers.inference.port import UpstreamReply

logger = logging.getLogger("gatewayz.stream")

OK = 200
EXTEND_AT_REMAINING_SHARE = 4
"""A stream extends its hold when less than a quarter of its default bound is left."""
RAW_BYTES_PER_TOKEN_MIN = 2
COUNT_BYTES_MIN = 1_024
DEADLINE_MARGIN_S = 5.0


def error_chunk(error: ApiError) -> bytes:
    """An error inside a stream that has begun."""
    return b"data: %b\n\n" % error.openai()


class ChatStream:
    """Runs one stream from the hold to [DONE]."""

    def __init__(
        self,
        gateway: Gateway,
        call: Call,
        headers: list[Header],
        receive: Receive,
        send: Send,
    ) -> None:
        """The hold stands already."""
        self._gateway, self._call = gateway, call
        self._headers, self._receive, self._send = headers, receive, send
        self._scanner = StreamScanner(keep_usage=call.request.include_usage)
        self._reply: UpstreamReply | None = None
        self._begun = False
        self._closing = False
        self._gone = False
        self._kept: list[bytes] | None = [] if call.idempotency_key else None
        self._kept_bytes = 0
        self._extend_at = call.bound_tokens - call.bound_tokens // EXTEND_AT_REMAINING_SHARE

    async def run(self) -> None:
        """Stream; raises ApiError for a failure before any output."""
        watch = asyncio.ensure_future(self._watch())
        limit_s = self._gateway.settings.call_deadline_s + DEADLINE_MARGIN_S
        try:
            async with asyncio.timeout(limit_s):
                await self._relay()
        except TimeoutError:
            # The client stopped reading; the provider's own limit is the deadline itself.
            if not self._closing:
                await self._hung_up()
        except UpstreamFailure as failure:
            self._call.record_attempt(status=failure.status, error=failure.code)
            await self._gateway.cashier.void(self._call, failure.code)
            if not self._gone:
                raise failure.error from None
        except asyncio.CancelledError:
            await self._stopped()
            raise
        except Exception:
            if self._closing or not self._scanner.started:
                raise
            # A defect of ours in the middle of a stream: charge what was made, end it openly.
            logger.exception("call %s met a defect in its stream", self._call.id)
            self._call.record_attempt(status=OK, error="internal_error")
            self._reply_interrupt()
            await self._close(error_chunk(internal_error()) + DONE, "internal_error")
        finally:
            watch.cancel()
            if self._reply is not None:
                self._reply.release()

    async def _watch(self) -> None:
        """Wake the relay when the client hangs up; calls with a key run to their end."""
        message = await self._receive()
        while message["type"] != "http.disconnect":
            message = await self._receive()
        drain = self._gateway.settings.on_disconnect == "drain"
        if not drain and not self._call.idempotency_key:
            self._gone = True
            if self._reply is not None:
                self._reply.interrupt()

    async def _stopped(self) -> None:
        """The process is stopping: charge what was made, void what was not."""
        cashier = self._gateway.cashier
        if self._closing:
            return  # The settlement is on its way, or spooled already.
        if self._scanner.started:
            self._call.record_attempt(status=OK, error="gateway_stopped")
            await self._charge("gateway_stopped")
        else:
            cashier.abandon(self._call, "the gateway stopped before any output")

    async def _relay(self) -> None:
        provider = self._call.model.provider
        scanner = self._scanner
        try:
            reply = await self._open()
            while not scanner.done:
                piece = await reply.piece()
                if not piece:
                    break
                out = scanner.feed(piece)
                if self._gone:
                    raise UpstreamInterruptedError("interrupted")
                if scanner.done:
                    await self._finish(out)
                    return
                if out:
                    await self._pass(out)
                if self._call.extendable and not await self._covered():
                    await self._uncovered()
                    return
            await self._finish(scanner.end())
        except UpstreamInterruptedError:
            await self._hung_up()
        except UpstreamError as error:
            await self._failed(failure_of_exception(provider, error), b"")
        except BrokenStreamError as error:
            self._reply_interrupt()
            await self._failed(failure_of_nothing(provider, str(error)), error.passed)
        except StreamErrorChunk as chunk:
            self._reply_interrupt()
            await self._failed(failure_of_error(provider, chunk.error), chunk.passed)

    async def _open(self) -> UpstreamReply:
        call = self._call
        body = call.request.upstream_body(
            call.model.id, max_tokens=self._gateway.strict_bound(call)
        )
        reply = await self._gateway.upstream(call.model).chat(body, stream=True)
        self._reply = reply
        if self._gone:
            reply.interrupt()
        if reply.status != OK:
            raw = await reply.whole()
            raise failure_of_body(call.model.provider, reply.status, raw, reply.headers)
        content_type = reply.headers.get(b"content-type", b"")
        if content_type.startswith(b"application/json"):
            # An upstream that does not stream, or an error that came with 200.
            raise self._not_a_stream(await reply.whole())
        return reply

    def _not_a_stream(self, raw: bytes) -> UpstreamFailure:
        try:
            body: Any = msgspec.json.decode(raw)
        except msgspec.DecodeError:
            body = None
        if isinstance(body, dict) and body.get("error"):
            return failure_of_error(self._call.model.provider, body["error"])
        return failure_of_nothing(self._call.model.provider, "no stream")

    def _usage(self) -> Usage:
        return self._scanner.usage or self._call.estimated(self._scanner.count())

    async def _charge(self, reason: str) -> None:
        """Settle for what was made, by the provider's count or ours."""
        await self._gateway.cashier.settle(
            self._call, self._usage(), request_id=self._scanner.request_id, reason=reason
        )

    async def _finish(self, out: bytes) -> None:
        """A clean end: charge, then send the last bytes and [DONE] together."""
        scanner, call = self._scanner, self._call
        if not scanner.started:
            if not (scanner.finished or scanner.usage):
                what = "a stream without output"
                raise failure_of_nothing(call.model.provider, what)
            out = scanner.take_pending() + out
        elif call.first_output_ms is None:
            call.first_output_ms = call.elapsed_ms  # All of it came at once.
        call.record_attempt(status=OK)
        await self._close(out + DONE, "completed")

    async def _failed(self, failure: UpstreamFailure, passed: bytes) -> None:
        """A failure: a status when nothing was made yet, else an error chunk and the charge."""
        if not self._scanner.started:
            raise failure
        self._call.record_attempt(status=failure.status, error=failure.code)
        error = failure.error
        told = ApiError(
            error.status,
            error.code,
            error.message.replace("Nothing was charged", "What was made is charged"),
            kind=UPSTREAM,
        )
        await self._close(passed + error_chunk(told) + DONE, failure.code)

    async def _uncovered(self) -> None:
        """The credits for more output are not there: end here, charge what was made."""
        self._call.record_attempt(status=OK, error="insufficient_credits")
        self._reply_interrupt()
        error = ApiError(
            402,
            "insufficient_credits",
            "The credits for a longer answer are not there: the stream ends here. Add credits.",
            kind=INSUFFICIENT_QUOTA,
        )
        await self._close(error_chunk(error) + DONE, "insufficient_credits")

    async def _hung_up(self) -> None:
        """The client is gone: charge what was made, void if there was nothing (rule 5)."""
        call, cashier = self._call, self._gateway.cashier
        if not self._scanner.started:
            call.record_attempt(status=None, error="client_disconnected")
            await cashier.void(call, "client_disconnected")
            return
        call.record_attempt(status=OK, error="client_disconnected")
        await self._charge("client_disconnected")

    async def _covered(self) -> bool:
        """Whether the hold still covers what comes; extends it when the bound is near."""
        scanner, call = self._scanner, self._call
        left = call.bound_tokens - scanner.output_tokens
        if scanner.uncounted_bytes < max(COUNT_BYTES_MIN, left * RAW_BYTES_PER_TOKEN_MIN):
            return True
        if scanner.count() < self._extend_at:
            return True
        limit = call.model.max_output_tokens
        more = self._gateway.settings.hold_default_output_tokens * call.request.choices
        if limit is not None:
            more = min(more, limit * call.request.choices - call.bound_tokens)
        if more <= 0:
            call.extendable = False
            return True
        self._extend_at += more
        return await self._gateway.cashier.extend(call, more)

    def _reply_interrupt(self) -> None:
        if self._reply is not None:
            self._reply.interrupt()

    async def _begin(self) -> None:
        self._begun = True
        await self._send(
            {
                "type": "http.response.start",
                "status": OK,
                "headers": [
                    (b"content-type", EVENT_STREAM),
                    (b"cache-control", b"no-cache"),
                    *self._headers,
                ],
            }
        )

    async def _pass(self, out: bytes) -> None:
        if not self._begun:
            self._call.first_output_ms = self._call.elapsed_ms
            await self._begin()
        self._keep(out)
        await self._send({"type": "http.response.body", "body": out, "more_body": True})

    def _keep(self, out: bytes) -> None:
        if self._kept is None:
            return
        self._kept.append(out)
        self._kept_bytes += len(out)
        if self._kept_bytes > self._gateway.settings.idempotency_body_bytes_max:
            self._kept = None

    async def _close(self, last: bytes, reason: str) -> None:
        """Settle, durably, and only then send the end."""
        call = self._call
        self._keep(last)
        if self._kept is not None:
            await self._gateway.idempotency.keep(
                call.caller,
                StoredReply(
                    UUID(call.id),
                    OK,
                    EVENT_STREAM.decode(),
                    call.model.provider,
                    b"".join(self._kept),
                ),
            )
        self._closing = True  # From here on the settlement is appended, or spooled.
        await self._charge(reason)
        if not self._begun:
            await self._begin()
        await self._send({"type": "http.response.body", "body": last})
