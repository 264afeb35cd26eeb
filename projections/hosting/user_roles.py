"""Compares the table of users' roles with the log: who may do what an admin may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from domain.identity.roles import UserRoles


def role_differences(connection: psycopg.Connection[Any], roles: UserRoles) -> Iterator[str]:
    """Every user whose role differs."""
    rows = connection.execute("SELECT user_id::text, role, position FROM user_role").fetchall()
    stored = {user: (role, position) for user, role, position in rows}
    for user in sorted(stored.keys() | roles.by_user.keys()):
        here, logged = stored.get(user), roles.by_user.get(user)
        if here != logged:
            yield f"user {user}: role and position are {here!r}, the log says {logged!r}"
