"""POST /admin/add_credits: an admin gives credits to the user of a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response

from command_api.credits.commands import balance_of
from command_api.credits.schemas import BODY_BYTES_MAX, decode_credits
from domain.identity.permissions import Permission
from domain.pricing.money import format_usd
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import idempotency_key_of
from edge.errors import ApiError
from edge.replies import json_reply, usd
from query_api.parts import Parts  # noqa: TC001 - FastAPI reads annotations at run time.

if TYPE_CHECKING:
    from command_api.credits.commands import Credits

NAMED_CHARACTERS_MAX = 512
"""Of what names the API key."""

router = APIRouter()
CreditsKeeper = Annotated[Caller, Depends(Needs(Permission.ADMIN_CREDITS).caller)]


@router.post("/admin/add_credits")
async def add_credits(request: Request, parts: Parts, caller: CreditsKeeper) -> Response:
    """Give credits, one for a USD, to the user of `api_key` (the key, or its id)."""
    body = await read_json(request, decode_credits, bytes_max=BODY_BYTES_MAX)
    amount, reason, key = body.amount, body.said, idempotency_key_of(request.scope)
    credits_: Credits = request.app.state.credits
    owner = await parts.account.run(credits_.owner_of, body.api_key[:NAMED_CHARACTERS_MAX])
    lot_id, first = await credits_.give(caller, owner, amount, reason=reason, key=key)
    try:
        available = await parts.account.run(balance_of, owner.account_id)
    except ApiError:  # The credits are given, whoever has no time to look.
        available = None
    given = f"{format_usd(amount)} USD"
    return json_reply(
        {
            "status": "success",
            "message": f"{given} were added." if first else f"{given} had been added already.",
            "new_balance": None if available is None else usd(available),
            "user_id": str(owner.user_id),
            "lot_id": lot_id,
            "repeated": not first,
        }
    )
