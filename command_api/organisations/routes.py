"""`/organisations`: made, named, handed over, closed; who is a member, and as what."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from command_api.organisations.desk import Desk, id_of, told
from command_api.organisations.schemas import (
    decode_appoint,
    decode_close,
    decode_hand_over,
    decode_named,
)
from domain.identity.api_keys import UnknownKeyError
from domain.identity.permissions import Permission
from domain.organisations.organisation import UnknownMemberError
from domain.organisations.roles import NotAMemberError
from edge.access import Needs
from edge.body import read_json
from edge.caller import Caller
from edge.replies import json_reply

PATH = "/organisations"
ONE = f"{PATH}/{{organisation_id}}"
MEMBERS = f"{ONE}/members"
KEYS = f"{ONE}/api-keys"

router = APIRouter()
Reader = Annotated[Caller, Depends(Needs(Permission.READ_ORGANISATIONS).caller)]
Writer = Annotated[Caller, Depends(Needs(Permission.WRITE_ORGANISATIONS).caller)]


@router.get(PATH)
async def organisations(desk: Desk, caller: Reader) -> Response:
    """The caller's organisations, the personal one first."""
    user = UUID(caller.user_id)
    found = await desk.run(desk.organisations.listed, user)
    return json_reply({"organisations": found})


@router.post(PATH)
async def create(request: Request, desk: Desk, caller: Writer) -> Response:
    """Make an organisation; the caller is its owner."""
    asked = await read_json(request, decode_named)
    user, by, actor = desk.acting(caller, request)
    made = await desk.run(desk.organisations.create, asked.name, by, actor, user)
    return json_reply(await desk.run(desk.organisations.shown, made, user))


@router.get(ONE)
async def organisation(organisation_id: str, desk: Desk, caller: Reader) -> Response:
    """One of the caller's organisations."""
    of = id_of(organisation_id, NotAMemberError)
    user = UUID(caller.user_id)
    return json_reply(await desk.run(desk.organisations.shown, of, user))


@router.put(ONE)
async def rename(organisation_id: str, request: Request, desk: Desk, caller: Writer) -> Response:
    """Give it another name."""
    of, asked = id_of(organisation_id, NotAMemberError), await read_json(request, decode_named)
    user, by, actor = desk.acting(caller, request)
    await desk.run(desk.organisations.rename, of, by, actor, asked.name)
    return json_reply(await desk.run(desk.organisations.shown, of, user))


@router.delete(ONE)
async def close(organisation_id: str, request: Request, desk: Desk, caller: Writer) -> Response:
    """Close it for ever: its keys open nothing from now on."""
    of = id_of(organisation_id, NotAMemberError)
    await read_json(request, decode_close)
    _, by, actor = desk.acting(caller, request)
    await desk.run(desk.organisations.close, of, by, actor)
    desk.forget(str(of))
    return json_reply({"status": "success", "message": "The organisation is closed."})


@router.post(f"{ONE}/transfer")
async def hand_over(organisation_id: str, request: Request, desk: Desk, caller: Writer) -> Response:
    """Make another member the owner; the owner who does it stays as an admin."""
    of, asked = id_of(organisation_id, NotAMemberError), await read_json(request, decode_hand_over)
    user, by, actor = desk.acting(caller, request)
    to = id_of(asked.user_id, UnknownMemberError)
    await desk.run(desk.organisations.hand_over, of, by, actor, to)
    _forget(desk, user, to)
    return json_reply({"members": await desk.run(desk.organisations.members, of, user)})


@router.get(MEMBERS)
async def members(organisation_id: str, desk: Desk, caller: Reader) -> Response:
    """Who is a member, as what, since when."""
    of = id_of(organisation_id, NotAMemberError)
    user = UUID(caller.user_id)
    found = await desk.run(desk.organisations.members, of, user)
    return json_reply({"members": found}, headers={"cache-control": "no-store"})


@router.put(f"{MEMBERS}/{{user_id}}")
async def appoint(
    organisation_id: str, user_id: str, request: Request, desk: Desk, caller: Writer
) -> Response:
    """Give a member another role; it counts at once for the keys they made here."""
    of, asked = id_of(organisation_id, NotAMemberError), await read_json(request, decode_appoint)
    member = id_of(user_id, UnknownMemberError)
    _, by, actor = desk.acting(caller, request)
    changed = await desk.run(desk.organisations.change_role, of, by, actor, member, asked.role)
    _forget(desk, member)
    return json_reply({"user_id": str(member), "role": asked.role, "changed": changed})


@router.delete(f"{MEMBERS}/{{user_id}}")
async def remove(
    organisation_id: str, user_id: str, request: Request, desk: Desk, caller: Writer
) -> Response:
    """Take a member out, or leave; the keys they made here are revoked."""
    of, member = id_of(organisation_id, NotAMemberError), id_of(user_id, UnknownMemberError)
    _, by, actor = desk.acting(caller, request)
    await desk.run(desk.organisations.leave, of, by, actor, member)
    _forget(desk, member)
    message = "You left." if str(member) == caller.user_id else "The member was removed."
    return json_reply({"status": "success", "message": message, "user_id": str(member)})


@router.get(KEYS)
async def keys(organisation_id: str, desk: Desk, caller: Reader) -> Response:
    """The keys of its projects, whoever made them, masked."""
    of = id_of(organisation_id, NotAMemberError)
    user = UUID(caller.user_id)
    found = await desk.run(desk.organisations.keys, of, user)
    return json_reply({"total_keys": len(found), "keys": found})


@router.delete(f"{KEYS}/{{key_id}}")
async def revoke(
    organisation_id: str, key_id: str, request: Request, desk: Desk, caller: Writer
) -> Response:
    """Revoke a key of a project for ever, whoever made it."""
    of, key = id_of(organisation_id, NotAMemberError), id_of(key_id, UnknownKeyError)
    user, _, actor = desk.acting(caller, request)
    if not await desk.run(desk.organisations.check_key, of, user, key):
        raise told(UnknownKeyError(key_id))
    await desk.run(desk.organisations.revoke_key, key, actor)
    _forget(desk, key)
    return json_reply({"status": "success", "message": "The key was revoked.", "key_id": str(key)})


def _forget(desk: Desk, *changed: object) -> None:
    for each in changed:
        desk.forget(str(each))
