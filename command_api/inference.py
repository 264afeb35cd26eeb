"""The inference routes: the hot path, plain ASGI in front of the framework's router.

authenticate → read and check → plan → bound → hold, durably → provider → settle, durably → end.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from uuid import UUID

from command_api.call import Attempt, Call, insufficient_credits
from command_api.errors import ApiError, internal_error
from command_api.failover import Failover
from command_api.http import (
    ClientGoneError,
    Headers,
    app_of,
    header_of,
    read_body,
    request_id_of,
    send_error,
    send_whole,
)
from command_api.idempotency import KEY_TAKEN, StoredReply, key_taken
from command_api.inference_stream import InferenceStream
from command_api.outcomes import UpstreamFailure, failure_of_body, failure_of_exception
from command_api.requests import Answer, read_answer
from command_api.response_cache import CachedReply
from event_store.ids import new_uuid7_text
from providers.inference.port import UpstreamError

if TYPE_CHECKING:
    from command_api.auth import Caller
    from command_api.gateway import Gateway
    from command_api.http import Header, Receive, Scope, Send
    from command_api.requests import Route
    from providers.inference.port import UpstreamReply

logger = logging.getLogger("gatewayz.inference")

OK = 200


class InferenceRoute:
    """Serves one operation's route; one for each process."""

    def __init__(self, gateway: Gateway, route: Route) -> None:
        """Use the process's parts."""
        self._gateway, self._route = gateway, route
        self._settings = gateway.settings
        self._scope_name = f"POST {route.path}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens, in OpenAI's envelope."""
        call_id = new_uuid7_text()
        headers: list[Header] = []
        call: Call | None = None
        try:
            asked = Headers(scope)
            keys = self._gateway.keys
            caller = keys.cached(asked.authorization)
            if caller is None:
                caller = await keys.authenticate(asked.authorization)
            headers.append((b"x-gatewayz-call-id", call_id.encode()))
            correlation_id = request_id_of(asked.request_id, call_id)
            headers.append((b"x-request-id", correlation_id.encode()))
            raw = await read_body(
                scope,
                asked.content_length,
                receive,
                bytes_max=self._settings.body_bytes_max,
                timeout_s=self._settings.body_timeout_s,
            )
            request = self._route.parse(raw, self._settings)
            call = Call(
                call_id=call_id,
                correlation_id=correlation_id,
                caller=caller,
                request=request,
                plan=self._gateway.router.plan(request, caller.account_id),
                settings=self._settings,
            )
            call.app = app_of(asked.referer, asked.title)
            if asked.idempotency_key:
                call.idempotency_key = self._gateway.idempotency.key_of(
                    caller, asked.idempotency_key, raw, route=self._scope_name
                )
            if await self._known(call, scope, headers, send):
                return
            await self._place(call)
            if request.stream:
                await InferenceStream(self._gateway, call, headers, receive, send).run()
            else:
                await self._whole(call, headers, send)
        except ApiError as error:
            if call is not None:
                headers.append((b"x-gatewayz-provider", call.model.provider.encode()))
            await send_error(send, error, headers)
        except ClientGoneError:
            return
        except Exception:
            # A defect of ours must not leave a hold that nobody resolves (P2).
            logger.exception("call %s met a defect", call_id)
            if call is not None and call.unresolved:
                await self._gateway.cashier.void(call, "internal_error")
            await send_error(send, internal_error(), headers)

    async def _place(self, call: Call) -> None:
        answer = await self._gateway.cashier.place(call)
        if answer.code in KEY_TAKEN:
            # Another request with this key came between our look and the append.
            known = await self._gateway.idempotency.find(call.idempotency_key)
            raise key_taken(answer.code, known.call_id if known else call.id)

    async def _known(self, call: Call, scope: Scope, headers: list[Header], send: Send) -> bool:
        """Answer without a new call where that is possible; False where it is not."""
        if call.idempotency_key:
            return await self._replayed(call, call.caller, headers, send)
        if call.request.stream or not self._gateway.responses.enabled:
            return False
        return await self._cached(call, scope, call.request.raw, headers, send)

    async def _replayed(
        self, call: Call, caller: Caller, headers: list[Header], send: Send
    ) -> bool:
        """Answer from what the key is known for; False when the call must be made."""
        idempotency = self._gateway.idempotency
        known = await idempotency.find(call.idempotency_key)
        if known is None:
            return False
        error = idempotency.refuse(known, call.idempotency_key)
        if error is not None:
            raise error
        call.adopt(str(known.call_id))
        headers[0] = (b"x-gatewayz-call-id", str(known.call_id).encode())
        if known.state == "refused":
            call.held = known.needed
            raise insufficient_credits(call, known.available)
        if known.state != "settled":
            return False  # Voided or expired: a new attempt of the same call.
        reply = await idempotency.replay(known.call_id, caller)
        headers.append((b"x-gatewayz-provider", reply.provider.encode()))
        headers.append((b"idempotent-replayed", b"true"))
        await send_whole(send, reply.status, reply.body, headers, reply.content_type.encode())
        return True

    async def _cached(
        self, call: Call, scope: Scope, raw: bytes, headers: list[Header], send: Send
    ) -> bool:
        """Answer as the same request was answered before; False when it was not."""
        responses = self._gateway.responses
        wanted = header_of(scope, b"cache-control")
        call.cache_name = responses.name_of(call.caller, raw, wanted, route=self._scope_name)
        found = await responses.find(call.caller, call.cache_name) if call.cache_name else None
        headers.append((b"x-gatewayz-cache", b"hit" if found else b"miss"))
        if found is None:
            return False
        headers[0] = (b"x-gatewayz-call-id", found.call_id.encode())
        headers.append((b"x-gatewayz-provider", found.provider.encode()))
        await send_whole(send, OK, found.body, headers)
        return True

    async def _whole(self, call: Call, headers: list[Header], send: Send) -> None:
        """A call that is answered whole. A hang-up does not stop it (money rule 5)."""
        cashier = self._gateway.cashier
        try:
            made = await self._failover(call).first(lambda each: self._attempt(call, each))
            answer = made.answer
            call.settle_with(made.attempt.offer)
            if call.idempotency_key:
                await self._gateway.idempotency.keep(call.caller, _stored(call, answer))
            made.attempt.record(status=OK)
            await cashier.settle(call, answer.usage, request_id=answer.request_id)
            if call.cache_name:
                reply = CachedReply(call.id, call.model.provider, answer.raw)
                await self._gateway.responses.keep(call.caller, call.cache_name, reply)
        except UpstreamFailure as failure:
            await cashier.void(call, failure.code)
            raise failure.error from None
        except asyncio.CancelledError:
            if call.unresolved:
                cashier.abandon(call, "the gateway stopped before the provider answered")
            raise
        headers.append((b"x-gatewayz-provider", call.model.provider.encode()))
        await send_whole(send, OK, answer.raw, headers)

    def _failover(self, call: Call) -> Failover:
        settings = self._settings
        return Failover(
            self._gateway.router,
            call,
            deadline_s=settings.call_deadline_s,
            first_output_s=settings.call_deadline_s,
        )

    async def _attempt(self, call: Call, attempt: Attempt) -> WholeAttempt:
        offer = attempt.offer
        provider = self._gateway.registry.providers[offer.provider]
        body = call.request.upstream_body(
            offer, provider, max_tokens=self._gateway.output_limit(call, provider)
        )
        reply: UpstreamReply | None = None
        try:
            reply = await provider.upstream.send(call.request.operation, body)
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
        return WholeAttempt(attempt, read_answer(call, offer, raw))


class WholeAttempt:
    """An attempt that was answered."""

    __slots__ = ("answer", "attempt")

    def __init__(self, attempt: Attempt, answer: Answer) -> None:
        """Nothing is charged for it yet."""
        self.attempt, self.answer = attempt, answer

    def drop(self) -> None:
        """It was answered for nothing: its cost is ours, and is recorded."""
        cost = self.attempt.offer.price.cost(self.answer.usage)
        self.attempt.record(status=OK, error="hedge_lost", cost=cost.nano_usd)


def _stored(call: Call, answer: Answer) -> StoredReply:
    return StoredReply(UUID(call.id), OK, "application/json", call.model.provider, answer.raw)
