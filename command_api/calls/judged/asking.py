"""A guard asks a model as any caller does: the route of moderations, from within the process.

What differs: the caller was admitted already, so neither his key's scopes, models, providers and
addresses nor the queue are asked again, and the call is not one more under way beside the one it
is for; his own provider keys are not used; no guard looks at it; its events name the guarded call
as what they belong to; and it has only so much time.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import msgspec

from command_api.calls.route import OK, InferenceRoute
from command_api.guardrails.port import Takes, Verdicts
from command_api.operations.table import ROUTES
from command_api.shedding.queue import NO_TURN
from domain.guardrails.portions import BYTES_MIN
from domain.ledger.holds import BYTES_PER_TOKEN_BOUND, MESSAGE_OVERHEAD_TOKENS
from edge.asgi import WHOLE_BODY
from edge.errors import ApiError, internal_error
from providers.inference.port import Operation

if TYPE_CHECKING:
    from command_api.calls.call import Call
    from command_api.calls.parts import CallParts
    from command_api.guardrails.port import Moderated
    from command_api.identity.key_ring import KeyRing
    from command_api.shedding.queue import CallQueue, Turn
    from domain.overload.priorities import Priority
    from edge.asgi import Headers, Message, ReplyHeaders, Scope, Send
    from edge.caller import Caller

GUARDED_PREFIX = "guarded_"
"""Before the guarded call's id in the correlation of those that ask for it."""
ROUTE = next(each for each in ROUTES if each.operation is Operation.MODERATIONS)
OWN = frozenset({402, 403, 409, 429, 503})
"""What the caller is refused for himself, before a hold; 503 is the ledger's, which his own call
needs as well.
"""
GONE = "idempotent_reply_gone"
IMAGE = "image"


class _Admitted:
    """In the place of the ring of keys, and of the queue: who calls is known, and has his turn."""

    def __init__(self, caller: Caller) -> None:
        # With the house's key at the provider: one of the caller's own could be refused there, and
        # the guard with it.
        self._caller = msgspec.structs.replace(caller, scopes=None, limits=None, own_keys=())

    def cached(self, _: bytes) -> Caller:
        """The guarded call's caller."""
        return self._caller

    async def enter(self, _: Priority) -> Turn:
        """At once."""
        return NO_TURN


class ModerationRoute(InferenceRoute):
    """As the route of moderations, for one call of a guard."""

    def __init__(self, parts: CallParts, asked: Moderated) -> None:
        """`parts` are those of any call."""
        admitted = _Admitted(asked.caller)
        calls = parts.settings.calls
        deadline_s = min(asked.timeout_s, calls.deadline_s)
        calls = calls.model_copy(update={"deadline_s": deadline_s})
        super().__init__(
            parts._replace(
                settings=parts.settings.model_copy(update={"calls": calls}),
                queue=cast("CallQueue", admitted),  # Of it the route asks for turns, nothing else.
                guardrails=None,
            ),
            ROUTE,
        )
        self._keys = cast("KeyRing", admitted)  # The same of callers.
        # Idempotency keys of guards are none of the callers' own.
        self._scope_name = f"GUARD {ROUTE.path}"
        self._guarded = asked.guarded_call_id
        self.error: ApiError | None = None
        self.call_id = ""
        self.refused = self.held = False

    async def _placed(self, call: Call, head: ReplyHeaders, send: Send) -> bool:
        """Remember whether a refusal came before the hold."""
        call.timed = True
        try:
            placed = await super()._placed(call, head, send)
        except Exception as error:
            self.refused = getattr(error, "status", 0) in OWN
            raise
        self.held = True
        return placed

    async def _admitted(self, call: Call, head: ReplyHeaders) -> ApiError | None:
        """Count it, but not as one more under way: it is a part of one that is."""
        tokens = call.bound.input_tokens + call.bound.output_tokens
        try:
            limits = self._parts.limits
            call.admission = await limits.admit(call.caller, tokens, head, beside=True)
        except ApiError as error:
            return error
        return None

    def _correlation_of(self, caller: Caller, asked: Headers, head: ReplyHeaders) -> str:
        """The guarded call's id, which is our own."""
        del caller, asked, head
        return GUARDED_PREFIX + self._guarded

    async def _refuse(self, send: Send, error: ApiError, head: ReplyHeaders) -> None:
        """Nobody is told but the guard."""
        del send
        self.error, self.call_id = error, head.call_id


class Moderations:
    """Asks for all guards of a process (`guardrails/port`, `Judge`)."""

    def __init__(self, parts: CallParts) -> None:
        """With the parts of any call."""
        self._parts = parts

    def takes(self, model: str) -> Takes:
        """What the model takes, at the offer that takes least of a text."""
        offers = self._parts.registry.offers(model)
        contexts = [each.context_length for each in offers if each.context_length]
        bytes_max = None
        if contexts:
            tokens = min(contexts) - MESSAGE_OVERHEAD_TOKENS
            bytes_max = max(tokens * BYTES_PER_TOKEN_BOUND, BYTES_MIN)
        pictures = bool(offers) and all(IMAGE in e.facts.input_modalities for e in offers)
        inputs_max = self._parts.settings.requests.moderation_inputs_max
        return Takes(bytes_max, inputs_max, pictures)

    async def ask(self, asked: Moderated) -> Verdicts:
        """Call the model; whatever comes of it is an answer.

        A cancelled wait ends the call too, which settles or voids first.
        """
        body = msgspec.json.encode({"model": asked.model, "input": asked.input})
        answer = await self._call(asked, body, asked.idempotency_key)
        if answer.error is not None and answer.error.code == GONE:
            # It was answered under the same key too long ago: it is asked anew, and paid.
            answer = await self._call(asked, body, "")
        return answer

    async def _call(self, asked: Moderated, body: bytes, key: str) -> Verdicts:
        headers = [(b"idempotency-key", key.encode())] if key else []
        scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": ROUTE.path,
            "query_string": b"",
            "client": None,
            "headers": headers,
            WHOLE_BODY: body,
        }
        route, heard = ModerationRoute(self._parts, asked), _Heard()
        # A task of its own: what the route says of its request's trace is not the guarded call's.
        task = asyncio.get_running_loop().create_task(route(scope, heard.receive, heard.send))
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        if not task.cancelled() and task.exception() is None and heard.status == OK:
            return Verdicts(heard.call_id, b"".join(heard.parts))
        error = route.error or internal_error()
        return Verdicts(route.call_id, b"", error, refused=route.refused, held=route.held)


class _Heard:
    """What the route sends."""

    def __init__(self) -> None:
        self.status, self.call_id, self.parts = 0, "", list[bytes]()

    async def receive(self) -> Message:
        """Wait for ever: the body stands in the scope, and nobody hangs up."""
        never: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await never

    async def send(self, message: Message) -> None:
        """Keep it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.call_id = dict[bytes, Any](message["headers"])[b"x-gatewayz-call-id"].decode()
        else:
            self.parts.append(bytes(message.get("body", b"")))
