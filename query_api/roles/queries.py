"""Roles and their permissions, in the shape that admins' clients know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.identity.permissions import ROLES, Permission, Role
from event_store.beside.user_roles import read_holders, read_role

if TYPE_CHECKING:
    from uuid import UUID

    from event_store.beside.user_roles import Holders
    from event_store.postgres.database import Connects


def role_of_user(database: Connects, user_id: UUID) -> Role | None:
    """A user's role; None where there is no such user."""
    with database.connect() as connection:
        return read_role(connection, user_id)


def users_of_role(database: Connects, role: Role, *, limit: int) -> Holders:
    """The users of a role, the oldest first, and how many there are."""
    with database.connect() as connection:
        return read_holders(connection, role, limit=limit)


def permissions_of(role: Role) -> list[dict[str, Any]]:
    """Every permission that there is, and whether the role has it."""
    return [
        {"resource": what, "action": kind, "allowed": each in ROLES[role]}
        for each in Permission
        for kind, _, what in (each.partition(":"),)
    ]
