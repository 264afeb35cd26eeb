"""`/user/auto-top-up`: an account that has too little is charged by its saved card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response

from command_api.topups.schemas import decode_top_ups
from domain.identity.permissions import Permission
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.replies import json_reply

if TYPE_CHECKING:
    from command_api.topups.commands import TopUpDesk

PATH = "/user/auto-top-up"
NO_STORE = {"cache-control": "no-store"}

router = APIRouter()
Reader = Annotated[Caller, Depends(Needs(Permission.READ_PAYMENTS).caller)]
Writer = Annotated[Caller, Depends(Needs(Permission.WRITE_PAYMENTS).caller)]


@router.get(PATH)
async def shown(request: Request, caller: Reader) -> Response:
    """What the caller's account wants, and what was charged in this month."""
    desk: TopUpDesk = request.app.state.top_ups
    return json_reply(await desk.shown(caller), headers=NO_STORE)


@router.put(PATH)
async def wanted(request: Request, caller: Writer) -> Response:
    """What it wants from now on, in US cents."""
    asked = await read_json(request, decode_top_ups)
    desk: TopUpDesk = request.app.state.top_ups
    return json_reply(await desk.set(caller, asked), headers=NO_STORE)
