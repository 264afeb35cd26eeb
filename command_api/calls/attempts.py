"""One try of a call at one offer: answered whole, or streamed.

Before the first output a failure leaves nothing behind, so another offer can be tried.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from command_api.calls.beside.asking import asked_streamed, asked_whole, open_upstream
from command_api.calls.beside.own_keys import blame
from command_api.calls.defects import UNFORESEEN, give_up, known
from command_api.guardrails.scanner import GuardedScanner, guarded
from command_api.operations.audio.transcripts import TEXT, text_kind
from command_api.replies.failures import (
    UpstreamFailure,
    failure_of_body,
    failure_of_error,
    failure_of_exception,
    failure_of_no_stream,
    failure_of_nothing,
)
from command_api.replies.scanning import (
    BrokenStreamError,
    StreamErrorChunk,
    has_kind,
    tells_failure,
)
from command_api.replies.usage_report import parse_usage
from edge.asgi import EVENT_STREAM
from edge.errors import ApiError
from providers.inference.port import UpstreamError, UpstreamInterruptedError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from command_api.calls.call import Attempt, Call
    from command_api.operations.request import Answer
    from domain.pricing.usage import Usage
    from edge.envelopes import Envelope
    from providers.inference.port import UpstreamReply
    from providers.inference.registry.registry import Registry

logger = logging.getLogger("gatewayz.calls")

OK = 200


class WholeAttempt:
    """An attempt that was answered whole."""

    __slots__ = ("answer", "attempt")
    reads_on = False

    def __init__(self, attempt: Attempt, answer: Answer) -> None:
        """Nothing is charged for it yet."""
        self.attempt, self.answer = attempt, answer

    def drop(self) -> None:
        """It was answered for nothing: its cost is ours, and is recorded."""
        asked = self.attempt.asked(self.answer.usage)
        self.attempt.record(status=OK, error="hedge_lost", cost=asked)


async def answer_whole(registry: Registry, call: Call, attempt: Attempt) -> WholeAttempt:
    """Try one offer of a call that is answered whole; raises UpstreamFailure."""
    try:
        return await _answer_whole(registry, call, attempt)
    except UpstreamFailure as failure:
        blame(registry, call, attempt, failure)
        raise


async def _answer_whole(registry: Registry, call: Call, attempt: Attempt) -> WholeAttempt:
    offer = attempt.offer
    reply: UpstreamReply | None = None
    try:
        reply = await open_upstream(registry, call, attempt, stream=False)
        raw = await reply.whole()
        reply.release()
    except UpstreamError as error:
        raise failure_of_exception(offer.provider, error) from error
    except asyncio.CancelledError:
        if reply is not None:
            reply.interrupt()
        raise
    except Exception as error:
        told = known(error, call, attempt)
        give_up(reply)
        if isinstance(told, ApiError):
            raise
        raise failure_of_exception(offer.provider, told) from None
    if reply.status != OK:
        raise failure_of_body(offer.provider, reply.status, raw, reply.headers)
    try:
        asked = asked_whole(registry, call, offer)
        answer = asked.judge(raw, offer, call.id, attempt.charged)
        if answer.kind == TEXT:
            answer = answer._replace(kind=text_kind(reply.headers.get(b"content-type", b"")))
        return WholeAttempt(attempt, answer)
    except UpstreamFailure:
        raise
    except Exception:
        logger.exception("the reply of %s to %s could not be read", offer.provider, call.id)
        raise failure_of_nothing(offer.provider, UNFORESEEN) from None


class StreamAttempt:
    """One try of one offer: read up to its first output, and then on."""

    reads_on = True

    def __init__(self, registry: Registry, call: Call, attempt: Attempt) -> None:
        """Nothing is sent yet."""
        self._registry, self._call, self.attempt = registry, call, attempt
        offer = attempt.offer
        asked = asked_streamed(registry, call, offer)
        self.scanner = guarded(asked.scanner(offer, call.id, self._charge), call.guarding)
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
        except UpstreamFailure as failure:
            self._hide(failure)
            self.let_go()
            raise
        except UpstreamInterruptedError:
            self.let_go()
            raise
        except asyncio.CancelledError:
            self.interrupt()
            self.let_go()
            raise
        except Exception as error:
            told = self.known(error)
            reply, self.reply = self.reply, None
            give_up(reply)
            if isinstance(told, ApiError):
                raise
            raise failure_of_exception(self.attempt.offer.provider, told) from None

    async def _begin(self) -> None:
        provider, scanner = self.attempt.offer.provider, self.scanner
        try:
            asking = open_upstream(self._registry, self._call, self.attempt, stream=True)
            reply = await self._open(asking)
            while not (scanner.started or scanner.done):
                piece = await reply.piece()
                if not piece:
                    self.ended = True
                    self.out = self.read(b"")
                    break
                self.out = self.read(piece)
        except UpstreamInterruptedError:
            raise
        except UpstreamError as error:
            raise failure_of_exception(provider, error) from error
        except (BrokenStreamError, StreamErrorChunk) as error:
            self.interrupt()
            failure = self.failure_of(error)
            if not scanner.started:
                raise failure from None
            self.failed, self.out = failure, error.passed
        if not scanner.started:
            if not (scanner.finished or scanner.usage):
                raise failure_of_nothing(provider, "a stream without output")
            self.out = scanner.take_pending() + self.out
        self.attempt.first_output_ms = self.attempt.elapsed_ms

    def read(self, piece: bytes) -> bytes:
        """What of a piece may be passed on, or at the end, for b"", of what is left.

        Raises StreamErrorChunk or BrokenStreamError.
        """
        try:
            return self.scanner.feed(piece) if piece else self.scanner.end()
        except (BrokenStreamError, StreamErrorChunk):
            raise
        except Exception:
            provider = self.attempt.offer.provider
            logger.exception("the stream of %s to %s could not be read", provider, self._call.id)
            raise BrokenStreamError(UNFORESEEN) from None

    def known(self, error: Exception) -> UpstreamError | ApiError:
        """What an adapter raised, as the attempt knows it."""
        return known(error, self._call, self.attempt)

    def failure_of(
        self, error: UpstreamError | BrokenStreamError | StreamErrorChunk
    ) -> UpstreamFailure:
        """What ended the stream, without any key of ours."""
        provider = self.attempt.offer.provider
        if isinstance(error, UpstreamError):
            return failure_of_exception(provider, error)
        if isinstance(error, BrokenStreamError):
            return failure_of_nothing(provider, str(error))
        return self._hide(failure_of_error(provider, error.error))

    def _hide(self, failure: UpstreamFailure) -> UpstreamFailure:
        return blame(self._registry, self._call, self.attempt, failure)

    async def _open(self, asking: Awaitable[UpstreamReply]) -> UpstreamReply:
        offer = self.attempt.offer
        reply = self.reply = await self._head(asking)
        if reply.status != OK:
            raw = await reply.whole()
            raise failure_of_body(offer.provider, reply.status, raw, reply.headers)
        content_type = reply.headers.get(b"content-type", b"")
        if content_type.startswith(b"application/json"):
            # An upstream that does not stream, or an error that came with 200.
            raise failure_of_no_stream(offer.provider, await reply.whole())
        if has_kind(self.scanner):
            self.scanner.begins(content_type)
        return reply

    async def _head(self, asking: Awaitable[UpstreamReply]) -> UpstreamReply:
        """The reply once its head is there; raises UpstreamInterruptedError for a hang-up before.

        Until then there is no reply to interrupt, so the waiting itself is cancelled, as
        asyncio.timeout does: somebody else's cancellation of the same task stays one.
        """
        task = asyncio.current_task()
        assert task is not None, "a call runs in a task"
        before, self._asking = task.cancelling(), task
        try:
            return await asking
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
        reply, self.reply = self.reply, None
        if reply is not None:
            try:
                reply.release()
            except Exception as error:  # noqa: BLE001 - `known` logs it.
                self.known(error)

    def usage(self) -> Usage:
        """The provider's count, of a stream that was cut as far as it came, or ours."""
        request = self._call.request
        usage = self.scanner.usage
        if usage is None and self.reply is not None and self.reply.report is not None:
            usage = parse_usage(self.reply.report)
        usage = request.used(usage, self.attempt.offer, self._made)
        if usage.source == "estimated":
            reasoning = usage.output_tokens - self.scanner.answer_tokens
            usage = usage._replace(reasoning_tokens=max(reasoning, 0))
        return usage

    def paid(self) -> tuple[Usage, int]:
        """What is charged for the stream as far as it came, and how much, nano-USD."""
        usage = self.attempt.charged(self.usage())
        return usage, self.attempt.offer.price.cost(usage).nano_usd

    @property
    def kind(self) -> bytes:
        """The content type of what its caller gets."""
        return self.scanner.kind if has_kind(self.scanner) else EVENT_STREAM

    @property
    def breaks_off(self) -> bool:
        """Whether the stream can say that it failed in no other way than to end without its end."""
        return has_kind(self.scanner) and self.scanner.breaks_off

    def last_events(self, envelope: Envelope, error: ApiError, request_id: str) -> bytes:
        """How the stream ends, which has begun and cannot go on."""
        if tells_failure(self.scanner):
            return self.scanner.broken(error)
        held = self.scanner.flushed() if isinstance(self.scanner, GuardedScanner) else b""
        return held + envelope.last_events(error, request_id)

    def _charge(self, report: Usage) -> tuple[Usage, int]:
        """What is charged for a report, and how much, nano-USD."""
        offer = self.attempt.offer
        usage = self.attempt.charged(self._call.request.used(report, offer, self._made))
        return usage, offer.price.cost(usage).nano_usd

    def _made(self) -> int:
        """Our own count of what came; a picture is output too, and has no text to count."""
        return self.scanner.count() or int(self.scanner.started)
