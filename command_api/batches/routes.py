"""/v1/batches, as in OpenAI's API: create, retrieve, list, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Request, Response

from command_api.batches.asked import decode_asked
from command_api.files import routes as file_routes
from command_api.files.lists import limit_of
from domain.identity.permissions import Permission
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.clients import idempotency_key_of
from edge.replies import json_reply

if TYPE_CHECKING:
    from command_api.batches.desk import BatchDesk

ONE = "/v1/batches/{batch_id}"
LIMIT, LIMIT_MAX = 20, 100

router = APIRouter()
ROUTERS = (file_routes.router, router)
"""Batches, and the files that they read and write."""
User = Annotated[Caller, Depends(Needs(Permission.WRITE_CHAT).caller)]


def _desk(request: Request) -> BatchDesk:
    found: BatchDesk = request.app.state.batches
    return found


@router.post("/v1/batches")
async def create(request: Request, caller: User) -> Response:
    """Run a file of requests, each as a call of its own, within a day."""
    key = idempotency_key_of(request.scope)
    asked = await read_json(request, decode_asked)
    return json_reply(await _desk(request).create(caller, asked, key))


@router.get("/v1/batches")
async def listed(
    request: Request,
    caller: User,
    after: str | None = None,
    limit: str | None = None,
) -> Response:
    """The account's batches, the newest first; `limit` is 20, at most 100."""
    wanted = limit_of(limit, usual=LIMIT, most=LIMIT_MAX)
    return json_reply(await _desk(request).listed(caller, after, wanted))


@router.get(ONE)
async def retrieve(batch_id: str, request: Request, caller: User) -> Response:
    """A batch as it stands."""
    return json_reply(await _desk(request).retrieve(caller, batch_id))


@router.post(ONE + "/cancel")
async def cancel(batch_id: str, request: Request, caller: User) -> Response:
    """Let no more of its requests begin; those under way end, and are charged."""
    return json_reply(await _desk(request).cancel(caller, batch_id))
