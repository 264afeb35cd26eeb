"""The verbs about roles; the first admin is made here, and nowhere else."""

from __future__ import annotations

import sys
from typing import Annotated
from uuid import UUID

import typer

from command_api.cli.base import Home, Json, check_reason, opened, opened_to_read, show
from command_api.cli.users import ACTOR
from command_api.composition import place_of_secret
from command_api.identity.known_users import show_user
from command_api.roles.commands import Actor, give_role
from domain.errors import UnknownUserError
from domain.identity.permissions import ROLES, Role
from domain.identity.roles import role_named
from event_store.beside.user_roles import ROLE_USERS_MAX, read_holders, read_role

app = typer.Typer(no_args_is_help=True, help="Roles.")

User = Annotated[str, typer.Argument(help="Id or address of the user.")]


@app.command("set")
def set_(
    user: User,
    role: Annotated[str, typer.Argument(help="user, developer, finance or admin.")],
    reason: Annotated[str, typer.Option(help="Why; stands in the audit for ever.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Give a user a role; running gateways go by it within a second."""
    check_reason(reason)
    with opened(home, create=False, prepare=False) as (settings, database):
        user_id = show_user(database, place_of_secret(settings), user)["user_id"]
        changed = give_role(database, UUID(user_id), role, actor=Actor(ACTOR), reason=reason)
    show(
        {
            "user_id": user_id,
            "role": role,
            "before": changed.from_role if changed else role,
            "changed": changed is not None,
        },
        as_json=as_json,
    )


@app.command("show")
def show_(user: User, home: Home = None, as_json: Json = False) -> None:
    """Print a user's role, and what it allows."""
    with opened_to_read(home) as (settings, database), database.connect() as connection:
        user_id = show_user(database, place_of_secret(settings), user)["user_id"]
        role = read_role(connection, UUID(user_id))
        if role is None:
            message = "no such user"
            raise UnknownUserError(message)
    allowed = sorted(ROLES[role])
    permissions = allowed if as_json else ", ".join(allowed)
    show({"user_id": user_id, "role": role, "permissions": permissions}, as_json=as_json)


@app.command("list")
def list_(
    role: Annotated[str, typer.Argument(help="user, developer, finance or admin.")] = Role.ADMIN,
    after: Annotated[str, typer.Option(help="Begin behind this user's id.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=ROLE_USERS_MAX, help="At most so many.")] = 100,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Print the users of a role, oldest first, one a line; without a role the admins."""
    with opened_to_read(home) as (_, database), database.connect() as connection:
        named = role_named(role)
        found = read_holders(connection, named, limit=limit, after=after)
    for user in found.users:
        if as_json:
            show({"user_id": user, "role": named}, as_json=True)
        else:
            sys.stdout.write(f"{user}  {named}\n")
