"""POST /admin/add_credits: an admin gives credits to the user of a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response

from command_api.credits.approval_routes import told
from command_api.credits.commands import balance_of, grant_of
from command_api.credits.schemas import BODY_BYTES_MAX, decode_credits
from domain.approvals.requests import Status
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
    from command_api.credits.approvals import Approvals
    from command_api.credits.commands import Credits, Owner
    from command_api.money.grants import Grant

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
    grant = grant_of(caller, owner, amount, reason=reason, key=key)
    approvals: Approvals = request.app.state.approvals
    if approvals.rule.wants(amount):
        return await _requested(request, approvals, caller, owner, grant)
    lot_id, first = await credits_.give(caller, grant)
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


async def _requested(
    request: Request, approvals: Approvals, caller: Caller, owner: Owner, grant: Grant
) -> Response:
    """What waits for a second admin; what one has approved is given, once."""
    found = await approvals.request(request, caller, grant)
    amount, values = format_usd(grant.amount), told(found)
    match values["status"]:
        case Status.PENDING:
            message, status = f"{amount} USD wait for a second admin.", 202
        case Status.APPROVED:
            message, status = f"{amount} USD were approved, and added.", 200
        case other:
            message = f"This request is {other}: ask anew, with another Idempotency-Key."
            raise ApiError(409, "approval_over", message)
    return json_reply({**values, "message": message, "user_id": str(owner.user_id)}, status=status)
