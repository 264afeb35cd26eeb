"""The verb for a user who lost every second factor."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from command_api.cli.base import Home, Json, opened, show
from command_api.cli.users import ACTOR
from command_api.composition import place_of_secret
from command_api.identity.known_users import find_user
from command_api.second_factor.operator import reset_second_factors


def reset(
    user: Annotated[str, typer.Argument(help="Id or address of the user.")],
    reason: Annotated[str, typer.Option(help="Why; stands in the audit for ever.")],
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take away authenticator, recovery codes and passkeys; the password stays."""
    with opened(home, create=False, prepare=False) as (settings, database):
        user_id = find_user(database, place_of_secret(settings), user)
        reset_second_factors(database, UUID(user_id), actor=ACTOR, reason=reason)
    show({"user_id": user_id, "reset": True}, as_json=as_json)
