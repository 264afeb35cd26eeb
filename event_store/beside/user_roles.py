"""Who has which role, from the inline state; a user without a row has that of a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from domain.identity.permissions import Role
from domain.identity.roles import role_of

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    Connection = psycopg.Connection[Any]

ROLE_USERS_MAX = 1_000
"""Users of one page."""


class Holders(NamedTuple):
    """The users of a role: some of them, the oldest first, and how many there are."""

    users: list[str]
    total: int


def read_role(connection: Connection, user_id: UUID) -> Role | None:
    """A user's role; None where there is no such user."""
    row = connection.execute(
        "SELECT role FROM user_secret LEFT JOIN user_role USING (user_id) WHERE user_id = %s",
        [user_id],
    ).fetchone()
    return role_of(row[0]) if row else None


def count_admins(connection: Connection) -> int:
    """How many admins there are."""
    return _count(connection, Role.ADMIN)


def read_holders(connection: Connection, role: Role, *, limit: int, after: str = "") -> Holders:
    """The users of a role, in the order of their ids, from behind `after`."""
    if role is not Role.USER:
        rows = connection.execute(
            "SELECT user_id::text FROM user_role WHERE role = %s AND user_id::text > %s "
            "ORDER BY user_id LIMIT %s",
            [role, after, min(limit, ROLE_USERS_MAX)],
        ).fetchall()
        return Holders([user for (user,) in rows], _count(connection, role))
    rows = connection.execute(
        "SELECT user_id::text FROM user_secret u WHERE user_id::text > %s AND NOT EXISTS "
        "(SELECT FROM user_role r WHERE r.user_id = u.user_id AND role <> %s) "
        "ORDER BY user_id LIMIT %s",
        [after, role, min(limit, ROLE_USERS_MAX)],
    ).fetchall()
    everybody = connection.execute("SELECT count(*) FROM user_secret").fetchone()
    others = connection.execute("SELECT count(*) FROM user_role WHERE role <> %s", [role])
    total = _only(everybody) - _only(others.fetchone())
    return Holders([user for (user,) in rows], total)


def _count(connection: Connection, role: Role) -> int:
    row = connection.execute("SELECT count(*) FROM user_role WHERE role = %s", [role]).fetchone()
    return _only(row)


def _only(row: tuple[Any, ...] | None) -> int:
    assert row is not None
    return int(row[0])
