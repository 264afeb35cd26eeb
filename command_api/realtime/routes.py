"""What of the Realtime API is no WebSocket: each is refused by name, and nothing is charged."""

from __future__ import annotations

from fastapi import APIRouter

from command_api.realtime.refusals import upgrade_required, websockets_alone
from edge.access import OPEN

router = APIRouter(tags=["realtime"], dependencies=[OPEN])


@router.get("/v1/realtime", include_in_schema=False)
async def realtime(model: str = "") -> None:
    """A plain request of the WebSocket."""
    del model
    raise upgrade_required()


@router.get("/v1/realtime/{rest:path}", include_in_schema=False)
async def read_elsewhere(rest: str) -> None:
    """What lies beside sessions."""
    del rest
    raise websockets_alone()


@router.post("/v1/realtime/{rest:path}", include_in_schema=False)
async def made_elsewhere(rest: str) -> None:
    """Calls over WebRTC and SIP, client secrets, sessions of transcriptions and translations."""
    del rest
    raise websockets_alone()
