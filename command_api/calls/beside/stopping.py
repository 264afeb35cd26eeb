"""How a call that is answered whole ends when its process stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from command_api.calls.attempts import WholeAttempt
    from command_api.calls.call import Call
    from command_api.calls.cashier import Cashier


async def stopped(cashier: Cashier, call: Call, made: WholeAttempt | None) -> None:
    """The process is stopping: what a provider answered is charged, all else is free."""
    if not call.unresolved:
        return
    if made is None:
        await cashier.abandon(call, "the gateway stopped before the provider answered")
        return
    usage, request_id = made.answer.usage, made.answer.request_id
    await cashier.settle(call, made.attempt, usage, request_id=request_id, reason="gateway_stopped")
