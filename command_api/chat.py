"""POST /v1/chat/completions: the hot path, plain ASGI in front of the framework's router.

authenticate → read and check → bound → hold, durably → provider → settle, durably → end.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from uuid import UUID

from command_api.calls import Call, insufficient_credits
from command_api.chat_request import parse_chat
from command_api.chat_stream import ChatStream
from command_api.errors import ApiError, internal_error
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
from command_api.outcomes import (
    UpstreamFailure,
    failure_of_body,
    failure_of_exception,
    read_completion,
)
from command_api.response_cache import CachedReply
from command_api.sse import count_message
from event_store.ids import new_uuid7_text
from providers.inference.port import UpstreamError

if TYPE_CHECKING:
    from command_api.auth import Caller
    from command_api.gateway import Gateway
    from command_api.http import Header, Receive, Scope, Send
    from providers.inference.port import UpstreamReply

logger = logging.getLogger("gatewayz.chat")

OK = 200


class ChatRoute:
    """Serves the route; one for each process."""

    def __init__(self, gateway: Gateway) -> None:
        """Use the process's parts."""
        self._gateway = gateway
        self._settings = gateway.settings

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
                asked.content_length,
                receive,
                bytes_max=self._settings.body_bytes_max,
                timeout_s=self._settings.body_timeout_s,
            )
            request = parse_chat(raw, self._settings)
            model = self._gateway.model(request.model)
            headers.append((b"x-gatewayz-provider", model.provider.encode()))
            call = Call(
                call_id=call_id,
                correlation_id=correlation_id,
                caller=caller,
                request=request,
                model=model,
                settings=self._settings,
            )
            call.app = app_of(asked.referer, asked.title)
            if asked.idempotency_key:
                call.idempotency_key = self._gateway.idempotency.key_of(
                    caller, asked.idempotency_key, raw
                )
                if await self._replayed(call, caller, headers, send):
                    return
            elif await self._cached(call, scope, raw, headers, send):
                return
            await self._place(call)
            if request.stream:
                await ChatStream(self._gateway, call, headers, receive, send).run()
            else:
                await self._json(call, headers, send)
        except ApiError as error:
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
        headers[2] = (b"x-gatewayz-provider", reply.provider.encode())
        headers.append((b"idempotent-replayed", b"true"))
        await send_whole(send, reply.status, reply.body, headers, reply.content_type.encode())
        return True

    async def _cached(
        self, call: Call, scope: Scope, raw: bytes, headers: list[Header], send: Send
    ) -> bool:
        """Answer as the same request was answered before; False when it was not."""
        responses = self._gateway.responses
        if call.request.stream or not responses.enabled:
            return False
        wanted = header_of(scope, b"cache-control")
        call.cache_name = responses.name_of(call.caller, raw, wanted)
        found = await responses.find(call.caller, call.cache_name) if call.cache_name else None
        headers.append((b"x-gatewayz-cache", b"hit" if found else b"miss"))
        if found is None:
            return False
        headers[0] = (b"x-gatewayz-call-id", found.call_id.encode())
        headers[2] = (b"x-gatewayz-provider", found.provider.encode())
        await send_whole(send, OK, found.body, headers)
        return True

    async def _json(self, call: Call, headers: list[Header], send: Send) -> None:
        """A call that is answered whole. A hang-up does not stop it (money rule 5)."""
        cashier = self._gateway.cashier
        try:
            body = await self._attempt(call)
        except UpstreamFailure as failure:
            call.record_attempt(status=failure.status, error=failure.code)
            await cashier.void(call, failure.code)
            raise failure.error from None
        except asyncio.CancelledError:
            if call.unresolved:
                cashier.abandon(call, "the gateway stopped before the provider answered")
            raise
        await send_whole(send, OK, body, headers)

    async def _attempt(self, call: Call) -> bytes:
        provider = call.model.provider
        body = call.request.upstream_body(
            call.model.id, max_tokens=self._gateway.strict_bound(call)
        )
        upstream = self._gateway.upstream(call.model)
        reply: UpstreamReply | None = None
        try:
            reply = await upstream.chat(body, stream=False)
            raw = await reply.whole()
        except UpstreamError as error:
            raise failure_of_exception(provider, error) from error
        except asyncio.CancelledError:
            if reply is not None:
                reply.interrupt()
            raise
        reply.release()
        if reply.status != OK:
            raise failure_of_body(provider, reply.status, raw, reply.headers)
        completion = read_completion(provider, raw)
        call.record_attempt(status=reply.status)
        usage = completion.usage or call.estimated(count_message(completion.choices))
        if call.idempotency_key:
            await self._gateway.idempotency.keep(
                call.caller, StoredReply(UUID(call.id), OK, "application/json", provider, raw)
            )
        await self._gateway.cashier.settle(call, usage, request_id=completion.request_id)
        if call.cache_name:
            await self._gateway.responses.keep(
                call.caller, call.cache_name, CachedReply(call.id, provider, raw)
            )
        return raw
