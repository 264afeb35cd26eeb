"""A text's vector goes the way of any call: the embeddings route, asked from within the process.

Its caller pays for it, with the key that asks; its events name the call that it is made for. One
that comes too late is settled all the same, and its caller's call goes on without it.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import msgspec

from command_api.calls.beside.unaffordable import insufficient_credits
from command_api.calls.route import OK, InferenceRoute
from command_api.kept_replies.semantic.meant import Vector
from command_api.kept_replies.semantic.vectors import ANSWER_BYTES_MAX, read_vector
from command_api.operations.table import ROUTES
from edge.asgi import WHOLE_BODY
from providers.inference.port import Operation

if TYPE_CHECKING:
    from command_api.calls.call import Call
    from command_api.calls.parts import CallParts
    from command_api.identity.key_ring import KeyRing
    from edge.asgi import Headers, Message, ReplyHeaders, Send
    from edge.caller import Caller

UNDER_WAY_MAX = 200
"""Most vectors that a process asks for at once; a call beyond goes on without."""
FAILED, LATE, BUSY, NO_VECTOR = "embedding_failed", "embedding_late", "busy", "embedding_unusable"
(_ROUTE,) = (each for each in ROUTES if each.operation is Operation.EMBEDDINGS)
_CODE = re.compile(r"[a-z_]{1,64}")


class _Known:
    """The caller who was let in already."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def cached(self, authorization: bytes) -> Caller:
        """Who it is."""
        del authorization
        return self._caller


class VectorRoute(InferenceRoute):
    """As the route of embeddings, for one text of a call's."""

    def __init__(self, parts: CallParts, caller: Caller, call_id: str, held: int) -> None:
        """Whence the caller may call was asked when that call came.

        `held` is what that call is to hold, nano-USD: without room for it there is no vector.
        """
        super().__init__(parts, _ROUTE)
        limits = caller.limits and replace(caller.limits, networks=(), hosts=())
        # What a text means is not shared with others: its key said that of its answers.
        cache = caller.cache and replace(caller.cache, shared=False)
        known = _Known(msgspec.structs.replace(caller, limits=limits, cache=cache))
        self._keys = cast("KeyRing", known)  # Of it the route asks for callers, nothing else.
        self._made_for, self._held = call_id, held

    async def _placed(self, call: Call, head: ReplyHeaders, send: Send) -> bool:
        """As of any call, unless its hold leaves too little for the call that it is made for.

        The answer of the append tells, so that nobody is asked once more.
        """
        placed = await super()._placed(call, head, send)
        if placed and call.available < self._held:
            await self._parts.cashier.void(call, "insufficient_credits")
            needed, available = self._held, call.available
            raise insufficient_credits(call, needed=needed, available=available)
        return placed

    def _correlation_of(self, caller: Caller, asked: Headers, head: ReplyHeaders) -> str:
        """The call that the vector is made for."""
        del caller, asked, head
        return self._made_for


class TextVectors:
    """Makes vectors; one for each process."""

    def __init__(self, parts: CallParts) -> None:
        """With the parts of any call."""
        settings = parts.settings.kept_replies
        self._parts, self._wait_s = parts, settings.semantic_cache_wait_s
        self._model, self._dimensions = (
            settings.semantic_cache_model,
            settings.semantic_cache_dimensions,
        )
        self._under_way = set[asyncio.Task[Vector]]()

    async def vector_of(self, caller: Caller, text: str, call_id: str, held: int) -> Vector:
        """The vector of a text, for a call of the caller's; it does not raise for any refusal."""
        if len(self._under_way) >= UNDER_WAY_MAX:
            return Vector(reason=BUSY)
        task = asyncio.get_running_loop().create_task(self._ask(caller, text, call_id, held))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        done, _ = await asyncio.wait({task}, timeout=self._wait_s)
        return task.result() if done else Vector(reason=LATE)

    async def stop(self) -> None:
        """End those under way, each by the rule of a gateway that stops."""
        tasks = [*self._under_way]
        for each in tasks:
            each.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _ask(self, caller: Caller, text: str, call_id: str, held: int) -> Vector:
        body: dict[str, Any] = {"model": self._model, "input": text, "encoding_format": "float"}
        if self._dimensions:
            body["dimensions"] = self._dimensions
        scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": _ROUTE.path,
            "query_string": b"",
            "client": None,
            "headers": [],
            WHOLE_BODY: msgspec.json.encode(body),
        }
        heard = _Heard()
        route = VectorRoute(self._parts, caller, call_id, held)
        await route(scope, heard.receive, heard.send)
        return heard.vector()


class _Heard:
    """What the route sends."""

    def __init__(self) -> None:
        self._status, self._call_id, self._body = 0, "", bytearray()

    async def receive(self) -> Message:
        """Wait for ever: the body stands in the scope, and nobody hangs up."""
        never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await never

    async def send(self, message: Message) -> None:
        """Keep what can be a vector."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._call_id = dict(message["headers"]).get(b"x-gatewayz-call-id", b"").decode()
        elif len(self._body) <= ANSWER_BYTES_MAX:
            self._body += message.get("body", b"")[: ANSWER_BYTES_MAX + 1]

    def vector(self) -> Vector:
        """What it comes to."""
        if self._status != OK:
            return Vector(reason=_code_of(bytes(self._body)))
        packed = read_vector(bytes(self._body))
        reason = NO_VECTOR if packed is None else ""
        return Vector(packed or b"", self._call_id, reason)


def _code_of(body: bytes) -> str:
    """The code of a refusal, as a header may say it."""
    try:
        code = msgspec.json.decode(body)["error"]["code"]
    except (msgspec.MsgspecError, KeyError, TypeError):
        return FAILED
    return code if isinstance(code, str) and _CODE.fullmatch(code) else FAILED
