"""`/referral/…`: a user's own code, and the code of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response

from command_api.referrals.schemas import BODY_BYTES_MAX, decode_shown
from domain.identity.permissions import Permission
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import origin_of
from edge.replies import json_reply

if TYPE_CHECKING:
    from command_api.referrals.commands import Referrals

router = APIRouter()
Owner = Annotated[Caller, Depends(Needs(Permission.WRITE_PROFILE).caller)]
Asker = Annotated[Caller, Depends(Needs(Permission.READ_PROFILE).caller)]


def _referrals(request: Request) -> Referrals:
    found: Referrals = request.app.state.referrals
    return found


@router.get("/referral/code")
async def code(request: Request, caller: Owner) -> Response:
    """The caller's code, made at the first time, with a link to share."""
    made = _referrals(request)
    found, _ = await made.code(caller, origin_of(request))
    link = made.link(found)
    where = link or f"register with the code {found}"
    return json_reply(
        {
            "referral_code": found,
            "invite_link": link,
            "share_message": f"Come to Gatewayz, and we both get credits: {where}",
        }
    )


@router.post("/referral/generate")
async def generate(request: Request, caller: Owner) -> Response:
    """The same code, without a link; a user has one."""
    found, new = await _referrals(request).code(caller, origin_of(request))
    message = "The code was made." if new else "You have this code already."
    return json_reply({"referral_code": found, "message": message})


@router.post("/referral/validate")
async def validate(request: Request, caller: Asker) -> Response:
    """Whether the caller may claim a code now; nothing changes."""
    body = await read_json(request, decode_shown, bytes_max=BODY_BYTES_MAX)
    made = _referrals(request)
    return json_reply(await made.check(body.referral_code, caller, origin_of(request)))


@router.post("/referral/claim")
async def claim(request: Request, caller: Owner) -> Response:
    """The caller came by a code, and did not say so at the registration."""
    body = await read_json(request, decode_shown, bytes_max=BODY_BYTES_MAX)
    await _referrals(request).claim(body.referral_code, caller, origin_of(request))
    return json_reply({"success": True, "message": "You came by this code."})
