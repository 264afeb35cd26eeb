"""POST /v1/responses, where its body may ask for a response in the background.

The hold stands before the answer, and so does the row by which the response is found; then the call
goes on without its caller, who may leave at any time.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING

import msgspec

from command_api.background.run import response_id_of
from command_api.calls.route import InferenceRoute
from command_api.limits.gate import never_was
from command_api.operations.responses.request import ResponsesRequest
from edge.asgi import EVENT_STREAM, send_whole
from edge.errors import ApiError, gateway_stopping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from command_api.background.following import Background
    from command_api.background.runs import Runs
    from command_api.calls.call import Call
    from command_api.calls.parts import CallParts
    from command_api.kept_replies.idempotency import KnownKey
    from command_api.operations.table import Route
    from edge.asgi import Receive, ReplyHeaders, Scope, Send
    from edge.caller import Caller

logger = logging.getLogger("gatewayz.background")

OK = 200
LAST_WORDS_S = 1.0
"""How long a process that stops goes on telling a run's end, seconds."""
IN_PROGRESS = "idempotency_in_progress"
_RECEIVE: ContextVar[Receive] = ContextVar("receive")
"""Of the request that is being answered: by it is known that its caller leaves."""


class BackgroundRoute(InferenceRoute):
    """As any inference route, but for what runs in the background."""

    def __init__(self, parts: CallParts, route: Route, runs: Runs, background: Background) -> None:
        """Of one process."""
        super().__init__(parts, route)
        self._runs, self._background = runs, background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and know when its caller leaves."""
        _RECEIVE.set(receive)
        await super().__call__(scope, receive, send)

    async def _placed(self, call: Call, head: ReplyHeaders, send: Send) -> bool:
        """With room for it; a key whose response runs is answered with that response."""
        request = call.request
        if not (isinstance(request, ResponsesRequest) and request.background):
            return await super()._placed(call, head, send)
        placed = False
        refusal = await self._runs.reserve(call, len(request.raw))
        try:
            key = call.idempotency_key
            if refusal is not None and not (key and await self._parts.idempotency.find(key)):
                raise refusal
            placed = await super()._placed(call, head, send)
        except ApiError as error:
            if error.code != IN_PROGRESS or "call_id" not in error.extra:
                raise
            if not await self._joined(str(error.extra["call_id"]), call, request, head, send):
                raise
        finally:
            if not placed:
                self._runs.release(call)
        if placed and refusal is not None:
            await self._parts.cashier.void(call, refusal.code)
            raise refusal
        return placed

    async def _joined(
        self, call_id: str, call: Call, request: ResponsesRequest, head: ReplyHeaders, send: Send
    ) -> bool:
        """Answer with the response of the call that has the key; False where it has none."""
        try:
            found = await self._background.find(call.caller, response_id_of(call_id))
        except ApiError:
            return False
        never_was(call)
        head.call_id = call_id
        head.more.append((b"idempotent-replayed", b"true"))
        if request.streamed:
            await self._follow(call.caller, response_id_of(call_id), head, send)
        else:
            first = {**found.response, "status": "queued"}
            await send_whole(send, OK, msgspec.json.encode(first), head.listed())
        return True

    async def _replay(
        self, known: KnownKey, caller: Caller, head: ReplyHeaders, send: Send
    ) -> None:
        """The first reply; of a stream in the background its events, as long as it is stored."""
        reply = await self._parts.idempotency.replay(known.call_id, caller)
        if reply.body or reply.content_type != EVENT_STREAM.decode():
            await super()._replay(known, caller, head, send)
            return
        head.provider = reply.provider
        head.more.append((b"idempotent-replayed", b"true"))
        await self._follow(caller, response_id_of(str(known.call_id)), head, send)

    async def _follow(
        self, caller: Caller, response_id: str, head: ReplyHeaders, send: Send
    ) -> None:
        pieces = await self._background.follow(caller, response_id, -1)
        await _tell_live(pieces, head, _RECEIVE.get(), send)

    async def _answered(self, call: Call, head: ReplyHeaders, receive: Receive, send: Send) -> bool:
        request = call.request
        if not (isinstance(request, ResponsesRequest) and request.background):
            return await super()._answered(call, head, receive, send)
        try:
            run = await self._runs.begin(call, request, self._keep_name)
        except BaseException as error:
            self._runs.release(call)
            if isinstance(error, asyncio.CancelledError) and call.unresolved:
                await self._parts.cashier.abandon(call, "the gateway stopped before it began")
                raise gateway_stopping() from None
            if isinstance(error, ApiError) and call.unresolved:
                await self._parts.cashier.void(call, error.code)
            raise
        head.provider = call.model.provider
        try:
            if request.streamed:
                await _tell_live(run.feed.follow(-1), head, receive, send)
            else:
                await send_whole(send, OK, msgspec.json.encode(run.queued), head.listed())
        except asyncio.CancelledError:
            logger.info("the answer of call %s ends with the process", call.id)
        except Exception:
            # Whatever becomes of the answer, the call is its run's.
            logger.exception("call %s met a defect in its answer", call.id)
        return False


async def _tell_live(
    pieces: AsyncIterator[bytes], head: ReplyHeaders, receive: Receive, send: Send
) -> None:
    """Answer with events as they come, until they end or the caller leaves."""
    telling = asyncio.ensure_future(_tell(pieces, head, send))
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({telling, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if telling.done():
            telling.result()
    except asyncio.CancelledError:
        # The process stops: its runs are ended, and who follows them hears of it.
        await asyncio.wait({telling}, timeout=LAST_WORDS_S)
    finally:
        telling.cancel()
        leaving.cancel()
        await asyncio.gather(telling, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _tell(pieces: AsyncIterator[bytes], head: ReplyHeaders, send: Send) -> None:
    """Answer with events as they come."""
    headers = [(b"content-type", EVENT_STREAM), *head.listed()]
    await send({"type": "http.response.start", "status": OK, "headers": headers})
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
