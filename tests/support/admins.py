"""A user whom an operator made an admin, for the tests of admins' routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from command_api.roles.commands import Actor, give_role

if TYPE_CHECKING:
    import httpx

    from command_api.identity.users import NewUser
    from tests.support.harness import RunningGateway


def new_admin(gateway: RunningGateway, grant: int = 0) -> NewUser:
    """An admin with credits in nano-USD, or without."""
    user = gateway.user(grant)
    operator = Actor("operator:cli")
    give_role(gateway.database, UUID(user.user_id), "admin", actor=operator, reason="house")
    return user


def ask(gateway: RunningGateway, by: NewUser, path: str, **parameters: Any) -> httpx.Response:
    """What a GET gets."""
    with gateway.client(by) as client:
        return client.get(path, params=parameters)


def told(answer: httpx.Response) -> tuple[int, str]:
    """Status and code."""
    return answer.status_code, answer.json().get("code", "")
