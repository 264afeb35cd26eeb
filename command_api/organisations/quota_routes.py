"""Quotas of a project: shown with what is used of them, set, removed."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response

from command_api.organisations.desk import Desk, id_of
from command_api.organisations.project_routes import PROJECT
from command_api.organisations.routes import (  # noqa: TC001 - FastAPI reads annotations.
    Reader,
    Writer,
)
from command_api.organisations.schemas import decode_of_quota, decode_set_quota
from domain.organisations.projects import UnknownProjectError
from domain.organisations.roles import NotAMemberError
from edge.body import read_json
from edge.replies import json_reply

QUOTAS = f"{PROJECT}/quotas"

router = APIRouter()


@router.get(QUOTAS)
async def quotas(organisation_id: str, project_id: str, desk: Desk, caller: Reader) -> Response:
    """The quotas of a project, with their present windows."""
    of, one = id_of(organisation_id, NotAMemberError), id_of(project_id, UnknownProjectError)
    user = UUID(caller.user_id)
    return json_reply({"quotas": await desk.run(desk.quotas.listed, of, user, one)})


@router.put(QUOTAS)
async def set_quota(
    organisation_id: str, project_id: str, request: Request, desk: Desk, caller: Writer
) -> Response:
    """Limit what the keys of a project may use together; set again, the last limit counts."""
    of, one = id_of(organisation_id, NotAMemberError), id_of(project_id, UnknownProjectError)
    asked = await read_json(request, decode_set_quota)
    user, _, actor = desk.acting(caller, request)
    await desk.run(desk.quotas.set, of, user, one, actor, asked)
    return json_reply({"quotas": await desk.run(desk.quotas.listed, of, user, one)})


@router.delete(QUOTAS)
async def remove_quota(
    organisation_id: str, project_id: str, request: Request, desk: Desk, caller: Writer
) -> Response:
    """Limit no further call by a quota."""
    of, one = id_of(organisation_id, NotAMemberError), id_of(project_id, UnknownProjectError)
    asked = await read_json(request, decode_of_quota)
    user, _, actor = desk.acting(caller, request)
    await desk.run(desk.quotas.remove, of, user, one, actor, asked)
    return json_reply({"quotas": await desk.run(desk.quotas.listed, of, user, one)})
