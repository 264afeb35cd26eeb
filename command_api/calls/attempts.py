"""One try of a call at one offer: answered whole, or streamed.

Before the first output a failure leaves nothing behind, so another offer can be tried.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec

from command_api.replies.failures import (
    UpstreamFailure,
    failure_of_body,
    failure_of_error,
    failure_of_exception,
    failure_of_nothing,
)
from command_api.replies.sse import BrokenStreamError, StreamErrorChunk, StreamScanner
from command_api.replies.usage_report import parse_usage
from providers.inference.port import UpstreamError, UpstreamInterruptedError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from command_api.calls.call import Attempt, Call
    from command_api.operations.request import Answer
    from domain.pricing.usage import Usage
    from providers.inference.port import UpstreamReply
    from providers.inference.registry.offers import Model
    from providers.inference.registry.registry import Registry

OK = 200


def open_upstream(
    registry: Registry, call: Call, offer: Model, *, stream: bool
) -> Awaitable[UpstreamReply]:
    """Ask an offer's provider; raises UpstreamError. Whoever gets the reply releases it."""
    provider = registry.providers[offer.provider]
    body = call.request.upstream_body(offer, provider, max_tokens=call.output_limit(provider))
    return provider.upstream.send(call.request.operation, body, stream=stream)


class WholeAttempt:
    """An attempt that was answered whole."""

    __slots__ = ("answer", "attempt")

    def __init__(self, attempt: Attempt, answer: Answer) -> None:
        """Nothing is charged for it yet."""
        self.attempt, self.answer = attempt, answer

    def drop(self) -> None:
        """It was answered for nothing: its cost is ours, and is recorded."""
        cost = self.attempt.offer.price.cost(self.answer.usage)
        self.attempt.record(status=OK, error="hedge_lost", cost=cost.nano_usd)


async def answer_whole(registry: Registry, call: Call, attempt: Attempt) -> WholeAttempt:
    """Try one offer of a call that is answered whole; raises UpstreamFailure."""
    offer = attempt.offer
    reply: UpstreamReply | None = None
    try:
        reply = await open_upstream(registry, call, offer, stream=False)
        raw = await reply.whole()
    except UpstreamError as error:
        raise failure_of_exception(offer.provider, error) from error
    except asyncio.CancelledError:
        if reply is not None:
            reply.interrupt()
        raise
    reply.release()
    if reply.status != OK:
        raise failure_of_body(offer.provider, reply.status, raw, reply.headers)
    return WholeAttempt(attempt, call.request.judge(raw, offer, call.id))


class StreamAttempt:
    """One try of one offer: read up to its first output, and then on."""

    def __init__(self, registry: Registry, call: Call, attempt: Attempt) -> None:
        """Nothing is sent yet."""
        self._registry, self._call, self.attempt = registry, call, attempt
        self.scanner = StreamScanner(
            keep_usage=call.request.include_usage, call_id=call.id, model=attempt.offer.id
        )
        self.reply: UpstreamReply | None = None
        self._asking: asyncio.Task[Any] | None = None
        """Whoever waits for the provider's head; None before and after."""
        self._interrupted = False
        self.out = b""
        """What may be passed on of what was read up to the first output."""
        self.ended = False
        self.failed: UpstreamFailure | None = None
        """A failure in the very piece that brought the first output."""

    async def begin(self) -> None:
        """Read up to the first output; raises UpstreamFailure, UpstreamInterruptedError."""
        try:
            await self._begin()
        except UpstreamFailure:
            self.let_go()
            raise
        except asyncio.CancelledError:
            self.interrupt()
            self.let_go()
            raise

    async def _begin(self) -> None:
        provider, scanner = self.attempt.offer.provider, self.scanner
        try:
            reply = await self._open()
            while not (scanner.started or scanner.done):
                piece = await reply.piece()
                if not piece:
                    self.ended = True
                    self.out = scanner.end()
                    break
                self.out = scanner.feed(piece)
        except UpstreamInterruptedError:
            raise
        except UpstreamError as error:
            raise failure_of_exception(provider, error) from error
        except (BrokenStreamError, StreamErrorChunk) as error:
            self.interrupt()
            failure = failure_in_stream(provider, error)
            if not scanner.started:
                raise failure from None
            self.failed, self.out = failure, error.passed
        if not scanner.started:
            if not (scanner.finished or scanner.usage):
                raise failure_of_nothing(provider, "a stream without output")
            self.out = scanner.take_pending() + self.out
        self.attempt.first_output_ms = self.attempt.elapsed_ms

    async def _open(self) -> UpstreamReply:
        offer = self.attempt.offer
        reply = self.reply = await self._head()
        if reply.status != OK:
            raw = await reply.whole()
            raise failure_of_body(offer.provider, reply.status, raw, reply.headers)
        content_type = reply.headers.get(b"content-type", b"")
        if content_type.startswith(b"application/json"):
            # An upstream that does not stream, or an error that came with 200.
            raise _not_a_stream(offer.provider, await reply.whole())
        return reply

    async def _head(self) -> UpstreamReply:
        """The reply once its head is there; raises UpstreamInterruptedError for a hang-up before.

        Until then there is no reply to interrupt, so the waiting itself is cancelled, as
        asyncio.timeout does: somebody else's cancellation of the same task stays one.
        """
        task = asyncio.current_task()
        assert task is not None, "a call runs in a task"
        before, self._asking = task.cancelling(), task
        try:
            return await open_upstream(self._registry, self._call, self.attempt.offer, stream=True)
        except asyncio.CancelledError:
            if self._interrupted and task.uncancel() <= before:
                message = "interrupted"
                raise UpstreamInterruptedError(message) from None
            raise
        finally:
            self._asking = None

    def interrupt(self) -> None:
        """Make a pending or later wait end, for the head as for what follows it."""
        if self.reply is not None:
            self.reply.interrupt()
        elif self._asking is not None and not self._interrupted:
            self._interrupted = True
            self._asking.cancel()

    def drop(self) -> None:
        """Another attempt was quicker: what this one made is not the caller's."""
        self.attempt.record(status=OK, error="hedge_lost")
        self.interrupt()
        self.let_go()

    def let_go(self) -> None:
        """Done with the reply, which is not ours from here on."""
        if self.reply is not None:
            self.reply.release()

    def usage(self) -> Usage:
        """The provider's count, of a stream that was cut as far as it came, or ours."""
        request = self._call.request
        usage = self.scanner.usage
        if usage is None and self.reply is not None and self.reply.report is not None:
            usage = parse_usage(self.reply.report)
        usage = usage or request.estimated(self.scanner.count())
        return request.counted(usage, b"")


def failure_in_stream(
    provider: str, error: BrokenStreamError | StreamErrorChunk
) -> UpstreamFailure:
    """The failure for what a stream held instead of a chunk."""
    if isinstance(error, StreamErrorChunk):
        return failure_of_error(provider, error.error)
    return failure_of_nothing(provider, str(error))


def _not_a_stream(provider: str, raw: bytes) -> UpstreamFailure:
    try:
        body: Any = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        body = None
    if isinstance(body, dict) and body.get("error"):
        return failure_of_error(provider, body["error"])
    return failure_of_nothing(provider, "no stream")
