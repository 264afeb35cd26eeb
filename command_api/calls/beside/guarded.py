"""What guards are to one call on its way: its prompt before the hold, its whole answer after it.

A call whose caller no guard looks at has none of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from command_api.kept_replies.idempotency import StoredReply
from command_api.operations.responses.request import ResponsesRequest
from edge.asgi import JSON

if TYPE_CHECKING:
    from command_api.calls.attempts import WholeAttempt
    from command_api.calls.call import Call
    from command_api.calls.parts import CallParts
    from command_api.guardrails.guarding import Guarding
    from command_api.operations.request import Answer, InferenceRequest
    from command_api.operations.table import Route
    from edge.asgi import ReplyHeaders
    from edge.caller import Caller
    from edge.envelopes import Envelope

OK = 200


async def guarding_of(
    parts: CallParts, route: Route, caller: Caller, request: InferenceRequest
) -> Guarding | None:
    """What guards are to a request; None where none looks at it. Raises ApiError 400 or 503."""
    if parts.guardrails is None:
        return None
    limits = parts.settings.requests

    def read(raw: bytes) -> InferenceRequest:
        made = route.parse(raw, limits)
        if isinstance(made, ResponsesRequest) and isinstance(request, ResponsesRequest):
            # A chain goes on from what its caller wrote and read, and is looked at each time.
            made.own_items, made.previous_id = request.own_items, request.previous_id
        return made

    return await parts.guardrails.admit(caller, request, route.operation, read)


async def answer_guarded(
    parts: CallParts, call: Call, made: WholeAttempt, envelope: Envelope, head: ReplyHeaders
) -> Answer:
    """The answer as guards let it be told.

    Where one does not, what was made is charged, its key answers so from now on, and ApiError 400
    or 503 is raised.
    """
    guarding, answer = call.guarding, made.answer
    if guarding is None:
        return answer
    told = guarding.answered(answer)
    if guarding.refused is None and guarding.asking:
        await guarding.look_at_answer(last=True)
    error = guarding.refused
    if error is None:
        return told
    call.settle_with(made.attempt.offer)
    made.attempt.record(status=OK, error=error.code)
    call.let_go_body()
    if call.idempotency_key:
        body, kind = envelope.body(error, head.request_id), JSON.decode()
        provider = call.model.provider
        stored = StoredReply(UUID(call.id), envelope.status(error), kind, provider, body)
        call.kept_reply = await parts.idempotency.sealed(call.caller, stored)
    await parts.cashier.settle(
        call, made.attempt, answer.usage, request_id=answer.request_id, reason=error.code
    )
    raise error
