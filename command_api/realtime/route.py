"""The upgrade of /v1/realtime: the checks of every call, and then a session.

authenticate → read → plan → bound → hold, durably → open the provider's session → answer the
upgrade → the session → settle, durably. Until the upgrade is answered a refusal is an HTTP answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING

from command_api.calls.call import Call
from command_api.limits.gate import ended
from command_api.realtime.metrics import RealtimeMetrics
from command_api.realtime.opening import Opened, Opening
from command_api.realtime.refusals import guarded, too_many_sessions
from command_api.realtime.request import read_upgrade
from command_api.realtime.session import Session
from command_api.realtime.transcripts.offers import Writers
from command_api.realtime.wire import ClientGoneError, ClientSocket, authorization_of
from command_api.replies.failures import UpstreamFailure
from command_api.shedding.queue import NO_TURN
from domain.identity.permissions import Permission
from edge.access import admit_models, admit_request
from edge.asgi import Headers, ReplyHeaders, app_of, request_id_of
from edge.clients import key_in_url
from edge.errors import ApiError, bad_request, gateway_stopping, internal_error
from event_store.ids import new_uuid7_text

if TYPE_CHECKING:
    from command_api.calls.parts import CallParts
    from edge.asgi import Receive, Scope, Send
    from edge.caller import Caller

logger = logging.getLogger("gatewayz.realtime")

PATH = "/v1/realtime"


class RealtimeRoute:
    """Serves the upgrades of one process."""

    def __init__(self, parts: CallParts) -> None:
        """Use the process's parts."""
        self._parts = parts
        self._writers = Writers(parts.registry, parts.router)
        self.opened = 0
        """Sessions from their hold to their settlement."""
        self.ended: Counter[str] = Counter()

    def metrics(self) -> RealtimeMetrics:
        """What Prometheus is told."""
        return RealtimeMetrics(lambda: self.opened, self.ended)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one upgrade, whatever happens."""
        socket = ClientSocket(scope, receive, send, self._parts.settings.realtime.reader_s)
        head, turn = ReplyHeaders(), NO_TURN
        call: Call | None = None
        try:
            await socket.asked()
            caller = await self._caller(scope, head)
            turn = await self._parts.queue.enter(caller.priority)
            call = self._call(scope, caller, head)
            await self._hold(call, head)
            turn.admitted()
            call.queued_ms = turn.waited_ms
            await self._session(call, socket, head)
        except ApiError as error:
            await socket.refuse(error, head.listed())
        except ClientGoneError:
            pass
        except asyncio.CancelledError:
            await self._resolved(call, "the gateway stopped before the session began")
            await socket.refuse(gateway_stopping(), head.listed())
        except Exception:
            logger.exception("call %s met a defect", head.call_id)
            await self._resolved(call, "internal_error")
            await socket.refuse(internal_error(), head.listed())
        finally:
            turn.leave()
            if call is not None:
                ended(call, 0)

    async def _caller(self, scope: Scope, head: ReplyHeaders) -> Caller:
        """Whose key it is, and whether it may; raises ApiError."""
        if scope["path"] != PATH:
            raise ApiError(404, "not_found", f"{scope['path'][:100]} is no WebSocket here.")
        if (refusal := key_in_url(scope)) is not None:
            raise refusal
        proxies, authorization = self._parts.proxies, authorization_of(scope)
        keys = self._parts.keys
        caller = keys.cached(authorization) or await keys.authenticate(
            authorization, proxies.origin_of(scope)
        )
        head.call_id = new_uuid7_text()
        head.request_id = request_id_of(Headers(scope).request_id, head.call_id)
        admit_request(caller, Permission.WRITE_CHAT, scope, proxies)
        return caller

    def _call(self, scope: Scope, caller: Caller, head: ReplyHeaders) -> Call:
        """The call to make; raises ApiError."""
        parts, asked = self._parts, Headers(scope)
        request = read_upgrade(scope)
        if asked.idempotency_key is not None:
            message = "A session cannot be replayed: leave Idempotency-Key out."
            raise bad_request("invalid_idempotency_key", message)
        if caller.limits is not None:
            admit_models(caller.limits, (request.model,))
        if parts.guardrails is not None and parts.guardrails.look_at(caller):
            raise guarded()
        providers = caller.limits.providers if caller.limits else None
        plan = parts.router.plan(request, caller.account_id, providers, caller.own_keys)
        plan = self._writers.planned(plan, caller.own_keys)
        head.provider = plan.offers[0].provider
        if self.opened >= parts.settings.realtime.sessions_max:
            raise too_many_sessions()
        correlation_id = head.request_id
        if head.request_id.encode() == asked.request_id:
            # A caller's own id is told to nobody (P5).
            correlation_id = parts.pseudonyms.of_request(caller.account_id, head.request_id)
        return Call(
            call_id=head.call_id,
            correlation_id=correlation_id,
            caller=caller,
            request=request,
            plan=plan,
            holds=parts.settings.holds,
            app=parts.pseudonyms.of_app(app_of(asked.referer, asked.title)),
        )

    async def _hold(self, call: Call, head: ReplyHeaders) -> None:
        """Count the call against its caller's limits, and place its hold; raises ApiError."""
        parts, caller = self._parts, call.caller
        if (refusal := parts.cashier.refusal_of(caller)) is not None:
            raise refusal
        if parts.limits.book.any or caller.planned:
            call.admission = await parts.limits.admit(caller, call.tokens, head)
        await parts.cashier.place(call)

    async def _session(self, call: Call, socket: ClientSocket, head: ReplyHeaders) -> None:
        """Open the session upstream, answer the upgrade, and run it to its settlement."""
        self.opened += 1
        opening = Opening(self._parts, call)
        reason = "not_opened"
        opened: Opened | None = None
        try:
            try:
                opened = await opening.first()
            except UpstreamFailure as failure:
                await self._parts.cashier.void(call, failure.code)
                raise failure.error from None
            call.settle_with(opened.attempt.offer)
            head.provider = call.model.provider
            try:
                await socket.accept(head.listed())
            except ClientGoneError:
                opened.attempt.record(status=None, error="client_disconnected")
                await self._parts.cashier.void(call, "client_disconnected")
                raise
            offer = opened.attempt.offer
            writers = self._writers.stated(call.plan, offer, call.caller.own_keys)
            session = Session(self._parts, call, opened.attempt, opened.channel, socket, writers)
            reason = await session.run()
            if call.app and call.charged is not None:
                self._parts.pseudonyms.keep(call.caller.account_id, call.app)
        finally:
            self.opened -= 1
            self.ended[reason] += 1
            opening.let_go()
            if opened is not None:
                opened.channel.abort()

    async def _resolved(self, call: Call | None, reason: str) -> None:
        """No hold is left that nobody resolves (P2)."""
        if call is not None and call.unresolved:
            await self._parts.cashier.abandon(call, reason)
