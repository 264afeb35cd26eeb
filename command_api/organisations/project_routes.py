"""Invitations to organisations, and their projects."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response

from command_api.organisations.desk import Desk, id_of
from command_api.organisations.routes import ONE, Reader, Writer
from command_api.organisations.schemas import decode_archive, decode_invite, decode_named
from domain.organisations.organisation import UnknownInvitationError
from domain.organisations.projects import UnknownProjectError
from domain.organisations.roles import NotAMemberError
from edge.body import read_json
from edge.replies import json_reply

INVITATIONS = f"{ONE}/invitations"
OWN = "/user/invitations"
PROJECTS = f"{ONE}/projects"
PROJECT = f"{PROJECTS}/{{project_id}}"
PRIVATE = {"cache-control": "no-store"}

router = APIRouter()


@router.get(INVITATIONS)
async def invitations(organisation_id: str, desk: Desk, caller: Reader) -> Response:
    """The open invitations of an organisation."""
    of = id_of(organisation_id, NotAMemberError)
    user = UUID(caller.user_id)
    found = await desk.run(desk.invitations.of_organisation, of, user)
    return json_reply({"invitations": found}, headers=PRIVATE)


@router.post(INVITATIONS)
async def invite(organisation_id: str, request: Request, desk: Desk, caller: Writer) -> Response:
    """Invite an address; its owner accepts after verifying it."""
    of, asked = id_of(organisation_id, NotAMemberError), await read_json(request, decode_invite)
    _, by, actor = desk.acting(caller, request)
    made = await desk.run(desk.invitations.invite, of, by, actor, asked.email, asked.role)
    return json_reply(made, headers=PRIVATE)


@router.delete(f"{INVITATIONS}/{{invitation_id}}")
async def withdraw(
    organisation_id: str, invitation_id: str, request: Request, desk: Desk, caller: Writer
) -> Response:
    """Take an invitation back."""
    of = id_of(organisation_id, NotAMemberError)
    invitation = id_of(invitation_id, UnknownInvitationError)
    _, by, actor = desk.acting(caller, request)
    await desk.run(desk.invitations.withdraw, of, invitation, by, actor)
    return json_reply({"status": "success", "message": "The invitation was withdrawn."})


@router.get(OWN)
async def own_invitations(desk: Desk, caller: Reader) -> Response:
    """The open invitations for the caller's verified address."""
    user = UUID(caller.user_id)
    return json_reply({"invitations": await desk.run(desk.invitations.of_user, user)})


@router.post(f"{OWN}/{{invitation_id}}/accept")
async def accept(invitation_id: str, request: Request, desk: Desk, caller: Writer) -> Response:
    """Become a member."""
    invitation = id_of(invitation_id, UnknownInvitationError)
    user, by, actor = desk.acting(caller, request)
    of = await desk.run(desk.invitations.accept, invitation, by, actor)
    desk.forget(str(user))
    return json_reply(await desk.run(desk.organisations.shown, of, user))


@router.post(f"{OWN}/{{invitation_id}}/decline")
async def decline(invitation_id: str, request: Request, desk: Desk, caller: Writer) -> Response:
    """Refuse to become one."""
    invitation = id_of(invitation_id, UnknownInvitationError)
    _, by, actor = desk.acting(caller, request)
    await desk.run(desk.invitations.decline, invitation, by, actor)
    return json_reply({"status": "success", "message": "The invitation was declined."})


@router.get(PROJECTS)
async def projects(organisation_id: str, desk: Desk, caller: Reader) -> Response:
    """The projects of an organisation, archived ones too."""
    of = id_of(organisation_id, NotAMemberError)
    user = UUID(caller.user_id)
    return json_reply({"projects": await desk.run(desk.projects.listed, of, user)})


@router.post(PROJECTS)
async def create(organisation_id: str, request: Request, desk: Desk, caller: Writer) -> Response:
    """Make a project; its keys are made with POST /user/api-keys and its id."""
    of, asked = id_of(organisation_id, NotAMemberError), await read_json(request, decode_named)
    user, by, actor = desk.acting(caller, request)
    made = await desk.run(desk.projects.create, of, by, actor, asked.name)
    return json_reply(await desk.run(desk.projects.shown, of, user, made))


@router.get(PROJECT)
async def project(organisation_id: str, project_id: str, desk: Desk, caller: Reader) -> Response:
    """One project."""
    of, one = id_of(organisation_id, NotAMemberError), id_of(project_id, UnknownProjectError)
    user = UUID(caller.user_id)
    return json_reply(await desk.run(desk.projects.shown, of, user, one))


@router.put(PROJECT)
async def rename(
    organisation_id: str, project_id: str, request: Request, desk: Desk, caller: Writer
) -> Response:
    """Give a project another name."""
    of, one = id_of(organisation_id, NotAMemberError), id_of(project_id, UnknownProjectError)
    asked = await read_json(request, decode_named)
    user, by, actor = desk.acting(caller, request)
    await desk.run(desk.projects.rename, of, by, actor, one, asked.name)
    return json_reply(await desk.run(desk.projects.shown, of, user, one))


@router.delete(PROJECT)
async def archive(
    organisation_id: str, project_id: str, request: Request, desk: Desk, caller: Writer
) -> Response:
    """Archive a project for ever: its keys open nothing from now on."""
    of, one = id_of(organisation_id, NotAMemberError), id_of(project_id, UnknownProjectError)
    await read_json(request, decode_archive)
    _, by, actor = desk.acting(caller, request)
    await desk.run(desk.projects.archive, of, by, actor, one)
    desk.forget(str(one))
    return json_reply({"status": "success", "message": "The project is archived."})
