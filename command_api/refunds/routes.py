"""POST /api/stripe/refund: an admin gives back what was paid, whole or in part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response

from command_api.refunds.schemas import decode_refund
from domain.identity.permissions import Permission
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import idempotency_key_of
from edge.replies import json_reply

if TYPE_CHECKING:
    from command_api.refunds.commands import Refunds

NO_STORE = {"cache-control": "no-store"}

router = APIRouter()
CreditsKeeper = Annotated[Caller, Depends(Needs(Permission.ADMIN_CREDITS).caller)]


@router.post("/api/stripe/refund")
async def refund(request: Request, caller: CreditsKeeper) -> Response:
    """Refund a payment or an invoice, and take its credits back; once for an Idempotency-Key."""
    asked = await read_json(request, decode_refund)
    refunds: Refunds = request.app.state.refunds
    made = await refunds.refund(caller, asked, idempotency_key_of(request.scope))
    return json_reply(made, headers=NO_STORE)
