"""`/user/profile` and `/user/account`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from command_api.profile.schemas import decode_change, decode_leave
from domain.identity.permissions import Permission
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import origin_of
from edge.replies import json_reply, timestamp, usd

if TYPE_CHECKING:
    from command_api.profile.commands import Profiles

router = APIRouter()
Reader = Annotated[Caller, Depends(Needs(Permission.READ_PROFILE).caller)]
Writer = Annotated[Caller, Depends(Needs(Permission.WRITE_PROFILE).caller)]


def _profiles(request: Request) -> Profiles:
    found: Profiles = request.app.state.profiles
    return found


def _shown(profile: dict[str, Any]) -> Response:
    body = {**profile, "credits": usd(profile["credits_nano_usd"])}
    return json_reply(body, headers={"cache-control": "no-store"})


@router.get("/user/profile")
async def profile(request: Request, caller: Reader) -> Response:
    """What is known of the caller."""
    return _shown(await _profiles(request).shown(caller))


@router.put("/user/profile")
async def change_profile(request: Request, caller: Writer) -> Response:
    """Change the name, the address, preferences or settings; what is absent stays."""
    wanted = await read_json(request, decode_change)
    return _shown(await _profiles(request).change(caller, wanted, origin_of(request)))


@router.delete("/user/account")
async def delete_account(request: Request, caller: Writer) -> Response:
    """Leave: all keys are revoked, and nobody reads the personal data any more."""
    await read_json(request, decode_leave)
    await _profiles(request).delete(caller)
    body = {"status": "success", "message": "The account is deleted.", "user_id": caller.user_id}
    return json_reply({**body, "timestamp": timestamp()})
