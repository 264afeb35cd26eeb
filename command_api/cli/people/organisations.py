"""The verbs about organisations: what their owners do over HTTP, an operator does here."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from command_api.cli.base import Home, Json, check_reason, opened_to_read, show
from command_api.cli.people.opening import people_of
from command_api.cli.users import ACTOR
from command_api.organisations.commands import Organisations
from command_api.organisations.projects import Projects
from domain.errors import InvalidCommandError
from domain.events.base import By
from domain.organisations.roles import MemberRole
from event_store.beside.organisations import (
    LISTED_MAX,
    read_members,
    read_organisations,
    read_owners,
    read_projects,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.identity.people import People

app = typer.Typer(no_args_is_help=True, help="Organisations, their members and projects.")

Organisation = Annotated[UUID, typer.Argument(help="Id of the organisation.")]
User = Annotated[str, typer.Argument(help="Id or address of the user.")]
Reason = Annotated[str, typer.Option(help="Why; stands in the audit for ever.")]


@contextmanager
def _commands(home: Path | None) -> Iterator[tuple[People, Organisations]]:
    with people_of(home) as (_, people):
        yield people, Organisations(people)


def _by(reason: str) -> By:
    check_reason(reason)
    return By(reason=reason)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Its name.")],
    owner: Annotated[str, typer.Option(help="Id or address of its owner.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make an organisation with an account of its own."""
    with _commands(home) as (people, commands):
        user_id, _ = people.users.find_user(owner)
        made = commands.create(name, By(), ACTOR, user_id)
        shown = commands.shown(made, user_id)
        told = {"organisation_id": shown["id"], "account_id": shown["account_id"]}
        show({**told, "owner": str(user_id)}, as_json=as_json)


@app.command("list")
def list_(
    after: Annotated[str, typer.Option(help="Begin behind this organisation's id.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=LISTED_MAX, help="At most so many.")] = 100,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print organisations, oldest first, one a line; personal ones are their users'."""
    with opened_to_read(home) as (_, database), database.connect() as connection:
        found = read_organisations(connection, after=after, limit=limit)
    for each in found:
        if as_json:
            show(each._asdict(), as_json=True)
        else:
            state = "  closed" if each.closed else ""
            sys.stdout.write(
                f"{each.organisation_id}  account {each.account_id}  members {each.members}  "
                f"projects {each.projects}{state}\n"
            )


@app.command("show")
def show_(organisation: Organisation, home: Home = None, as_json: Json = False) -> None:
    """Print an organisation: its account, members and projects."""
    with opened_to_read(home) as (_, database), database.connect() as connection:
        found = read_owners(connection, organisation)
        if not found:
            message = f"there is no organisation {organisation}, or it was closed"
            raise InvalidCommandError(message)
        members = read_members(connection, organisation)
        projects = read_projects(connection, organisation)
    roles = {str(each.user_id): str(each.role) for each in members}
    named = {str(each.project_id): each.name for each in projects if not each.archived}
    told = {"organisation_id": str(organisation), "account_id": str(found[0].account_id)}
    if as_json:
        show({**told, "members": roles, "projects": named}, as_json=True)
        return
    lists = ((f"{each} {name}" for each, name in found.items()) for found in (roles, named))
    members_line, projects_line = (", ".join(each) for each in lists)
    show({**told, "members": members_line, "projects": projects_line}, as_json=False)


@app.command("add")
def add(
    organisation: Organisation,
    user: User,
    role: Annotated[MemberRole, typer.Argument(help="What they are there.")],
    reason: Reason,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a user a member, without an invitation."""
    by = _by(reason)
    with _commands(home) as (people, commands):
        user_id, _ = people.users.find_user(user)
        commands.add(organisation, by, ACTOR, user_id, role)
        show({"user_id": str(user_id), "role": str(role)}, as_json=as_json)


@app.command("role")
def role_(
    organisation: Organisation,
    user: User,
    role: Annotated[MemberRole, typer.Argument(help="What they are from now on.")],
    reason: Reason,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give a member another role; running gateways go by it within a second."""
    by = _by(reason)
    with _commands(home) as (people, commands):
        user_id, _ = people.users.find_user(user)
        changed = commands.change_role(organisation, by, ACTOR, user_id, role)
        show({"user_id": str(user_id), "role": str(role), "changed": changed}, as_json=as_json)


@app.command("remove")
def remove(
    organisation: Organisation,
    user: User,
    reason: Reason,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take a member out; the keys they made there are revoked."""
    by = _by(reason)
    with _commands(home) as (people, commands):
        user_id, _ = people.users.find_user(user)
        commands.leave(organisation, by, ACTOR, user_id)
        show({"user_id": str(user_id), "status": "removed"}, as_json=as_json)


@app.command("transfer")
def transfer(
    organisation: Organisation,
    user: User,
    reason: Reason,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a member an owner, where those there are cannot; they stay owners."""
    by = _by(reason)
    with _commands(home) as (people, commands):
        user_id, _ = people.users.find_user(user)
        commands.hand_over(organisation, by, ACTOR, user_id)
        show({"user_id": str(user_id), "role": str(MemberRole.OWNER)}, as_json=as_json)


@app.command("close")
def close(
    organisation: Organisation, reason: Reason, home: Home = None, as_json: Json = False
) -> None:
    """Close an organisation for ever; its account stays in the books."""
    by = _by(reason)
    with _commands(home) as (_, commands):
        commands.close(organisation, by, ACTOR)
        show({"organisation_id": str(organisation), "status": "closed"}, as_json=as_json)


@app.command("project")
def project(
    organisation: Organisation,
    name: Annotated[str, typer.Argument(help="Its name.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a project; `gatewayz key create --project` makes its keys."""
    with _commands(home) as (_, commands):
        made = Projects(commands.store).create(organisation, By(), ACTOR, name)
        show({"project_id": str(made), "name": name}, as_json=as_json)


@app.command("archive")
def archive(
    organisation: Organisation,
    project_id: Annotated[UUID, typer.Argument(help="Id of the project.")],
    reason: Reason,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Archive a project for ever: its keys open nothing."""
    by = _by(reason)
    with _commands(home) as (_, commands):
        Projects(commands.store).archive(organisation, by, ACTOR, project_id)
        show({"project_id": str(project_id), "status": "archived"}, as_json=as_json)
