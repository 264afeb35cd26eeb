"""`POST /v1/messages/count_tokens`: asked of a provider that counts, else our own estimate."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from command_api.calls.beside.own_keys import accuse, own_key_of, upstream_of
from command_api.operations.messages.request import forward, parse_count
from command_api.replies.failures import KEPT, failure_of_body
from command_api.replies.shapes import UNREADABLE
from domain.identity.permissions import Permission
from domain.pricing.usage import REPORTED_TOKENS_MAX
from edge.access import admit_models, admit_request
from edge.asgi import (
    ClientGoneError,
    Headers,
    ReplyHeaders,
    read_body,
    request_id_of,
    send_error,
    send_whole,
)
from edge.envelopes import ANTHROPIC
from edge.errors import ApiError, internal_error
from event_store.ids import new_uuid7_text
from providers.inference.port import TRACE, Operation, UpstreamError

if TYPE_CHECKING:
    from command_api.calls.parts import CallParts
    from command_api.guardrails.running import Guardrails
    from command_api.operations.messages.request import MessagesRequest
    from command_api.settings.calls import RequestSettings
    from domain.provider_keys.secrets import OwnKey
    from edge.asgi import Receive, Scope, Send
    from edge.caller import Caller
    from providers.inference.port import Upstream, UpstreamReply
    from providers.inference.registry.offers import Model, Provider

logger = logging.getLogger("gatewayz.inference")

PATH = "/v1/messages/count_tokens"
NEEDS = Permission.WRITE_CHAT
ESTIMATED = (b"x-gatewayz-estimated", b"true")
"""On a count that is ours (docs/concepts/calls.md says how we count)."""
OK = 200


class _Counted(msgspec.Struct):
    input_tokens: int


_decode = msgspec.json.Decoder(_Counted).decode


class CountTokensRoute:
    """Serves the route; one for each process."""

    def __init__(self, parts: CallParts) -> None:
        """Use the process's parts."""
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens, in Anthropic's envelope."""
        head = ReplyHeaders(ANTHROPIC.id_headers)
        asked = Headers(scope)
        head.request_id = request_id_of(asked.request_id, new_uuid7_text())
        try:
            TRACE.set(asked.traceparent)
            forward(scope, asked)
            body = await self._counted(scope, receive, asked, head)
            await send_whole(send, OK, body, head.listed())
        except ApiError as error:
            await send_error(send, error, head.listed(), ANTHROPIC, head.request_id)
        except ClientGoneError:
            return
        except Exception:
            logger.exception("a count of tokens met a defect")
            await send_error(send, internal_error(), head.listed(), ANTHROPIC, head.request_id)

    async def _counted(
        self, scope: Scope, receive: Receive, asked: Headers, head: ReplyHeaders
    ) -> bytes:
        """The body of the answer; raises ApiError."""
        parts = self._parts
        caller = await parts.keys.authenticate(asked.authorization, parts.proxies.origin_of(scope))
        admit_request(caller, NEEDS, scope, parts.proxies)
        limits = parts.settings.requests
        raw = await read_body(
            scope,
            asked.content_length,
            receive,
            bytes_max=limits.body_bytes_max,
            timeout_s=limits.body_timeout_s,
        )
        request = parse_count(raw, limits)
        if caller.limits is not None:
            admit_models(caller.limits, (request.model,))
        limited = parts.limits.book.any or caller.planned
        admission = await parts.limits.admit(caller, 0, head) if limited else None
        try:
            if parts.guardrails is not None:
                request = await _guarded(parts.guardrails, caller, request, limits)
            return await self._asked(caller, request, head)
        finally:
            if admission is not None:
                admission.done(0)

    async def _asked(self, caller: Caller, request: MessagesRequest, head: ReplyHeaders) -> bytes:
        """The provider's count; ours where it has none, or gives none that can be believed."""
        allowed = caller.limits.providers if caller.limits else None
        plan = self._parts.router.plan(request, caller.account_id, allowed, caller.own_keys)
        offer = plan.offers[0]
        provider = self._parts.registry.providers[offer.provider]
        if provider.takes_messages:
            upstream = upstream_of(self._parts.registry, caller, offer)
            counted = await _count_of(provider, upstream, own_key_of(caller, offer), offer, request)
            if counted is not None:
                head.provider = provider.name
                return counted
        head.more.append(ESTIMATED)
        return msgspec.json.encode(_Counted(request.estimated_input_tokens()))


async def _guarded(
    guardrails: Guardrails, caller: Caller, request: MessagesRequest, limits: RequestSettings
) -> MessagesRequest:
    """The prompt as guards let it be sent; raises ApiError 400 or 503."""
    made = request

    def read(raw: bytes) -> MessagesRequest:
        nonlocal made
        made = parse_count(raw, limits)
        return made

    await guardrails.admit(caller, request, Operation.MESSAGES, read)
    return made


async def _count_of(
    provider: Provider,
    upstream: Upstream,
    own: OwnKey | None,
    offer: Model,
    request: MessagesRequest,
) -> bytes | None:
    """What a provider counts, as it says it; None where it gives no count.

    Raises ApiError for what the caller can mend or wait for.
    """
    reply: UpstreamReply | None = None
    body = request.upstream_body(offer, provider)
    try:
        reply = await upstream.send(Operation.COUNT_TOKENS, body)
        raw = await reply.whole()
    except UpstreamError as error:
        logger.info("%s gave no count of tokens: %s", provider.name, error.code)
        return None
    finally:
        if reply is not None:
            reply.release()
    if reply.status in KEPT:
        failure = failure_of_body(provider.name, reply.status, raw, reply.headers)
        if failure.told.status in KEPT:
            failure.hide(provider.secrets)
            if own is not None:
                accuse(own, failure)
            raise failure.error
    if reply.status != OK or not _is_count(raw):
        logger.info("%s gave no count of tokens: status %d", provider.name, reply.status)
        return None
    return raw


def _is_count(raw: bytes) -> bool:
    try:
        return 0 <= _decode(raw).input_tokens <= REPORTED_TOKENS_MAX
    except UNREADABLE:
        return False
