"""POST /organisations/{id}/gifts: credits from one member to another, or from the organisation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response

from command_api.gifts.schemas import decode_gift
from domain.identity.permissions import Permission
from domain.pricing.money import format_usd
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import idempotency_key_of
from edge.replies import json_reply

if TYPE_CHECKING:
    from command_api.gifts.commands import Gifts

router = APIRouter()
Writer = Annotated[Caller, Depends(Needs(Permission.WRITE_ORGANISATIONS).caller)]


@router.post("/organisations/{organisation_id}/gifts")
async def give(organisation_id: str, request: Request, caller: Writer) -> Response:
    """Give a member credits of the organisation's, or of one's own: lots stay as they are."""
    gift = await read_json(request, decode_gift)
    gifts: Gifts = request.app.state.gifts
    key = idempotency_key_of(request.scope)
    done = await gifts.give(caller, organisation_id, gift, key)
    return json_reply(
        {
            "status": "success",
            "transfer_id": str(done.debit_id),
            "user_id": gift.user_id,
            "from": gift.source,
            "amount": format_usd(done.taken_nano_usd),
            "amount_nano_usd": done.taken_nano_usd,
            "repeated": not done.first,
        }
    )
