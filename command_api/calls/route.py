"""The inference routes: the hot path, plain ASGI in front of the framework's router.

authenticate → read and check → plan → bound → hold, durably → provider → settle, durably → end.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from command_api.calls.attempts import answer_whole
from command_api.calls.beside.cached import answer_cached, look_up
from command_api.calls.beside.caching import caching_of, failed_as, over
from command_api.calls.beside.guarded import answer_guarded, guarding_of
from command_api.calls.beside.keeping import keep_answer, read_request, stored_reply
from command_api.calls.beside.stopping import stopped
from command_api.calls.call import Call
from command_api.calls.failover import Failover
from command_api.calls.judged.answers import look_at_prompt
from command_api.calls.stream import InferenceStream
from command_api.kept_replies.idempotency import KEY_TAKEN, key_taken
from command_api.limits.gate import ended, never_was
from command_api.replies.failures import UpstreamFailure
from command_api.shedding.queue import NO_TURN, Turn
from edge.access import admit_models, admit_request
from edge.asgi import (
    CALL,
    LET_GO,
    ClientGoneError,
    Headers,
    ReplyHeaders,
    app_of,
    request_id_of,
    send_error,
    send_whole,
)
from edge.errors import ApiError, gateway_stopping, internal_error
from event_store.ids import new_uuid7_text
from providers.inference.port import TRACE

if TYPE_CHECKING:
    from command_api.calls.attempts import WholeAttempt
    from command_api.calls.parts import CallParts
    from command_api.kept_replies.idempotency import KnownKey
    from command_api.operations.request import InferenceRequest
    from command_api.operations.table import Route
    from edge.asgi import Receive, Scope, Send
    from edge.caller import Caller

logger = logging.getLogger("gatewayz.inference")

OK = 200


class InferenceRoute:
    """Serves one operation's route; one for each process."""

    def __init__(self, parts: CallParts, route: Route) -> None:
        """Use the process's parts."""
        self._parts, self._route = parts, route
        self._keys, self._scope_name = parts.keys, f"POST {route.path}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens, in the envelope of its API."""
        head = ReplyHeaders(self._route.envelope.id_headers)
        call: Call | None = None
        caller: Caller | None = None
        turn = NO_TURN
        try:
            asked = self._heard(scope, head)
            caller = self._keys.cached(asked.authorization) or await self._keys.authenticate(
                asked.authorization, self._parts.proxies.origin_of(scope)
            )
            head.call_id = new_uuid7_text()
            head.request_id = request_id_of(asked.request_id, head.call_id)
            admit_request(caller, self._route.needs, scope, self._parts.proxies)
            turn = await self._parts.queue.enter(caller.priority)
            length = asked.content_length
            request = await read_request(self._parts, self._route, scope, length, receive, caller)
            call = await self._call(asked, caller, request, head, send)
            if call is None:
                return
            call.queued_ms, call.give_back = turn.waited_ms, scope.get(LET_GO)
            scope[CALL] = call
            if not await self._admit(call, head, receive, send, turn):
                del scope[CALL]  # It was answered as its first one, and is no call.
                return
            if not await self._answered(call, head, receive, send):
                call = None  # It goes on without its caller, and ends by itself.
        except ApiError as error:
            if call is not None:
                head.provider = call.model.provider
                failed_as(call, error)
            await self._tell_limits(caller, head)
            await self._refuse(send, error, head)
        except ClientGoneError:
            return
        except Exception:
            # A defect of ours must not leave a hold that nobody resolves (P2).
            logger.exception("call %s met a defect", head.call_id)
            if call is not None and call.unresolved:
                await self._parts.cashier.void(call, "internal_error")
            charged = call is not None and call.charged is not None
            await self._refuse(send, internal_error(charged=charged), head)
        finally:
            turn.leave()
            if call is not None:
                ended(call, 0)
                over(call)

    async def _admit(
        self, call: Call, head: ReplyHeaders, receive: Receive, send: Send, turn: Turn
    ) -> bool:
        """Look for its answer where it is opted in, and place the hold; see `_placed`."""
        if call.caching is not None:
            await look_up(self._parts, call, head, receive, turn)
        if call.guarding is not None and call.guarding.asked:
            turn.admitted()  # Who waits for a verdict is in nobody's way.
        if placed := await self._placed(call, head, send):
            turn.admitted()
        return placed

    async def _answered(self, call: Call, head: ReplyHeaders, receive: Receive, send: Send) -> bool:
        """Make the call and answer with what it gives; False where it goes on behind its answer."""
        if call.caching is not None and call.caching.answer is not None:
            await answer_cached(self._parts, call, call.caching.answer, head, send)
        elif call.request.stream:
            parts, envelope = self._parts, self._route.envelope
            await InferenceStream(parts, call, head, receive, send, envelope).run()
        else:
            await self._whole(call, head, send)
        self._keep_name(call)
        return True

    def _heard(self, scope: Scope, head: ReplyHeaders) -> Headers:
        """What the request's headers say; raises ApiError 400."""
        asked = Headers(scope)
        TRACE.set(asked.traceparent)
        if self._route.take_headers is not None:
            head.request_id = request_id_of(asked.request_id, new_uuid7_text())
            self._route.take_headers(scope, asked)
        return asked

    async def _refuse(self, send: Send, error: ApiError, head: ReplyHeaders) -> None:
        await send_error(send, error, head.listed(), self._route.envelope, head.request_id)

    async def _tell_limits(self, caller: Caller | None, head: ReplyHeaders) -> None:
        """What is answered without being counted says what the limits leave, too."""
        if caller and not head.limits_told and (self._parts.limits.book.any or caller.planned):
            with suppress(ApiError):
                await self._parts.limits.tell(caller, head)

    async def _call(
        self,
        asked: Headers,
        caller: Caller,
        request: InferenceRequest,
        head: ReplyHeaders,
        send: Send,
    ) -> Call | None:
        """The call to make; None when it was answered without one. Raises ApiError."""
        parts = self._parts
        if caller.limits is not None:
            more = request.routing.models if request.routing else ()
            admit_models(caller.limits, (request.model, *more))
        key = b""
        if asked.idempotency_key is not None:
            key = await parts.idempotency.key_of(
                caller, asked.idempotency_key, request.raw, route=self._scope_name
            )
        raw, guarding = request.raw, None
        try:
            if parts.guardrails is not None:
                guarding = await guarding_of(parts, self._route, caller, request)
                request = guarding.request if guarding is not None else request
            allowed = caller.limits.providers if caller.limits else None
            plan = parts.router.plan(request, caller.account_id, allowed, caller.own_keys)
        except ApiError:
            # What was answered once is answered again, also when its model is gone (P3).
            if key and await self._answered_before(key, caller, head, send):
                return None
            raise
        head.provider = plan.offers[0].provider
        cached = self._route.form is None and (
            asked.cache or asked.cache_control or caller.cache or parts.responses.always
        )
        return Call(
            call_id=head.call_id,
            correlation_id=self._correlation_of(caller, asked, head),
            caller=caller,
            request=request,
            plan=plan,
            holds=parts.settings.holds,
            app=parts.pseudonyms.of_app(app_of(asked.referer, asked.title)),
            idempotency_key=key,
            caching=await caching_of(parts, asked, caller, request, self._route, raw, guarding)
            if cached
            else None,
            guarding=guarding,
        )

    def _keep_name(self, call: Call) -> None:
        """A name is kept of an app whose call was charged: refusals leave nothing."""
        if call.app and call.charged is not None:
            self._parts.pseudonyms.keep(call.caller.account_id, call.app)

    def _correlation_of(self, caller: Caller, asked: Headers, head: ReplyHeaders) -> str:
        """What events say of the request's id: our own as it is, the caller's hashed (P5)."""
        if head.request_id.encode() != asked.request_id:
            return head.request_id
        return self._parts.pseudonyms.of_request(caller.account_id, head.request_id)

    async def _placed(self, call: Call, head: ReplyHeaders, send: Send) -> bool:
        """Place the hold; False when its key's first reply was the answer. Raises ApiError."""
        parts = self._parts
        refusal = parts.cashier.refusal_of(call.caller)
        if (parts.limits.book.any or call.caller.planned) and refusal is None:
            refusal = await self._admitted(call, head)
        if refusal is not None and not (
            call.idempotency_key and await parts.idempotency.find(call.idempotency_key)
        ):
            raise refusal
        if call.idempotency_key:
            parts.idempotency.ask_ahead(call.caller)
        if call.guarding is not None and (known := await look_at_prompt(parts, call)) is not None:
            return await self._replayed(known, call, head, send)
        if (answer := await parts.cashier.place(call)).code not in KEY_TAKEN:
            return True
        return await self._taken(answer.code, call, head, send, refusal)

    async def _taken(
        self, code: int, call: Call, head: ReplyHeaders, send: Send, refusal: ApiError | None
    ) -> bool:
        """What becomes of a call whose key another has, as `_placed` says it."""
        cashier = self._parts.cashier
        if (known := await self._parts.idempotency.admitted(call.idempotency_key)) is None:
            raise key_taken(code, call.id)
        if known.state == "settled":
            return await self._replayed(known, call, head, send)
        head.call_id = str(known.call_id)
        if known.state == "refused":
            raise await cashier.short_of(call, needed=known.needed, available=known.available)
        if refusal is not None:
            raise refusal
        call.continue_as(head.call_id, known.ended_by or "")
        if (answer := await cashier.place(call)).code in KEY_TAKEN:
            # Another request with this key came between our look and the append.
            raise key_taken(answer.code, call.id)
        return True

    async def _replayed(self, known: KnownKey, call: Call, head: ReplyHeaders, send: Send) -> bool:
        """Answer a call with its key's first reply: it is none of its own, which is False."""
        never_was(call)
        head.call_id = str(known.call_id)
        await self._replay(known, call.caller, head, send)
        return False

    async def _admitted(self, call: Call, head: ReplyHeaders) -> ApiError | None:
        """Count the call against its caller's rate limits; the refusal where it is beyond them."""
        tokens = call.bound.input_tokens + call.bound.output_tokens
        try:
            call.admission = await self._parts.limits.admit(call.caller, tokens, head)
        except ApiError as error:
            return error
        return None

    async def _answered_before(
        self, key: bytes, caller: Caller, head: ReplyHeaders, send: Send
    ) -> bool:
        """Answer with the key's first reply, if it has one. Raises ApiError 409, 422 or 503."""
        known = await self._parts.idempotency.admitted(key)
        if known is None or known.state != "settled":
            return False
        head.call_id = str(known.call_id)
        await self._replay(known, caller, head, send)
        return True

    async def _replay(
        self, known: KnownKey, caller: Caller, head: ReplyHeaders, send: Send
    ) -> None:
        """Answer with the first reply of the key."""
        reply = await self._parts.idempotency.replay(known.call_id, caller)
        head.provider = reply.provider
        head.more.append((b"idempotent-replayed", b"true"))
        await self._tell_limits(caller, head)
        await send_whole(send, reply.status, reply.body, head.listed(), reply.content_type.encode())

    async def _whole(self, call: Call, head: ReplyHeaders, send: Send) -> None:
        """A call that is answered whole. A hang-up does not stop it (money rule 5)."""
        parts, deadline_s = self._parts, self._parts.settings.calls.deadline_s
        cashier = parts.cashier
        failover = Failover(parts.router, call, deadline_s=deadline_s, first_output_s=deadline_s)
        made: WholeAttempt | None = None
        try:
            made = await failover.first(lambda each: answer_whole(parts.registry, call, each))
            answer = made.answer
            if call.guarding is not None:
                answer = await answer_guarded(parts, call, made, self._route.envelope, head)
            call.settle_with(made.attempt.offer)
            made.attempt.record(status=OK)
            call.let_go_body()
            if call.idempotency_key:
                stored = stored_reply(call, answer.raw, answer.kind)
                call.kept_reply = await parts.idempotency.sealed(call.caller, stored)
            await cashier.settle(call, made.attempt, answer.usage, request_id=answer.request_id)
            await keep_answer(parts, call, answer.raw)
        except UpstreamFailure as failure:
            await cashier.void(call, failure.code)
            raise failure.error from None
        except asyncio.CancelledError:
            await stopped(cashier, call, made)
            raise gateway_stopping(charged=call.charged is not None) from None
        head.provider = call.model.provider
        raw, kind = [answer.raw], answer.kind.encode()
        del made, answer
        # Popped, so that nobody but its writer keeps a reply that is read slowly.
        await send_whole(send, OK, raw.pop(), head.listed(), kind)
