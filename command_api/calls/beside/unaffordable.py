"""What is told of a call that costs more than there is, or than any may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from command_api.quotas.refusals import owing
from domain.pricing.money import ENTRY_NANO_USD_MAX, format_usd
from edge.errors import INSUFFICIENT_QUOTA, ApiError, bad_request

if TYPE_CHECKING:
    from command_api.calls.call import Call


def call_too_large(call: Call) -> ApiError:
    """A 400: whatever the account has, no one call may cost so much."""
    message = (
        f"This call could cost up to {format_usd(call.held)} USD, and no call may cost more than "
        f"{format_usd(ENTRY_NANO_USD_MAX)} USD. "
    )
    name = call.request.maximum_named
    message += f"Set a lower {name}, or send " if name else "Send "
    message += f"{call.request.cheaper}."
    return bad_request("call_too_large", message)


def insufficient_credits(call: Call, *, needed: int, available: int) -> ApiError:
    """A 402 that says what was needed, what is there or owed, and what could be afforded."""
    if available < 0:
        return owing(needed=needed, owed=-available)
    bound = call.bound
    affordable = call.model.price.affordable_output_tokens(
        input_tokens=bound.input_tokens,
        available_nano_usd=available,
        **bound.beside_tokens,
    )
    name = call.request.maximum_named
    affordable = affordable // call.request.choices if name else 0
    message = (
        f"This call could cost up to {format_usd(needed)} USD and {format_usd(available)} USD "
        "is available. "
    )
    if affordable:
        message += f"Set {name} to at most {affordable}, or add credits."
    else:
        message += "Add credits"
        message += f", or send {call.request.cheaper}." if call.request.cheaper else "."
    extra = {
        "needed_nano_usd": needed,
        "needed_usd": format_usd(needed),
        "available_nano_usd": available,
        "available_usd": format_usd(available),
        "max_tokens_affordable": affordable,
    }
    return ApiError(402, "insufficient_credits", message, kind=INSUFFICIENT_QUOTA, extra=extra)
