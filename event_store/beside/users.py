"""Who is known: users with their account, role and balance, read from the inline state.

Addresses and names are not here: they stand encrypted in the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    Connection = psycopg.Connection[Any]

USERS_MAX = 1_000
"""Users of one page."""
_LAPSED = (
    "(SELECT coalesce(sum(l.available), 0)::bigint FROM credit_lot l "
    "WHERE l.account_id = a.account_id AND l.expires_at <= clock_timestamp())"
)
_USERS = f"""
SELECT u.user_id, u.account_id, coalesce(a.granted, 0),
  coalesce(a.available, 0) - {_LAPSED}, coalesce(a.held, 0), coalesce(a.settled, 0),
  (SELECT count(*) FROM api_key k WHERE k.user_id = u.user_id AND NOT k.revoked
    AND NOT k.replaced AND NOT k.deleted AND k.active
    AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())),
  u.wrapped_key IS NULL, coalesce(r.role, 'user'), u.email_verified,
  (SELECT booked_at FROM events e WHERE e.originator_id = u.user_id AND e.originator_version = 1)
FROM user_secret u LEFT JOIN credit_account a USING (account_id)
LEFT JOIN user_role r USING (user_id)
"""


class UserNow(NamedTuple):
    """A user as the inline state has them; money in nano-USD, without lots that lapsed."""

    user_id: UUID
    account_id: UUID
    granted: int
    available: int
    held: int
    settled: int
    active_keys: int
    left: bool
    """Whether they left: the data key is destroyed, and no key opens."""
    role: str
    email_verified: bool
    registered_at: datetime | None


class UserCounts(NamedTuple):
    """How many users there are; those of roles include some that left."""

    total: int
    left: int
    admins: int
    developers: int
    available: int
    """To all accounts together, nano-USD; with lots that lapsed and are not booked."""


def read_users(
    connection: Connection, *, after: UUID | None, limit: int, left: bool = True
) -> list[UserNow]:
    """Users in the order of their ids, which is that of their making, from behind `after`.

    Without `left` those who left are passed over.
    """
    rows = connection.execute(
        _USERS + "WHERE (%(after)s::uuid IS NULL OR u.user_id > %(after)s) "
        "AND (%(left)s OR u.wrapped_key IS NOT NULL) ORDER BY u.user_id LIMIT %(limit)s",
        {"after": after, "left": left, "limit": min(limit, USERS_MAX)},
    ).fetchall()
    return [UserNow(*row) for row in rows]


def read_user(
    connection: Connection, *, user_id: UUID | None = None, email_hash: bytes | None = None
) -> UserNow | None:
    """One user, by id, or by the hash of an address; None where there is none."""
    row = connection.execute(
        _USERS + "WHERE u.user_id = %s OR u.email_hash = %s LIMIT 1", [user_id, email_hash]
    ).fetchone()
    return None if row is None else UserNow(*row)


def count_users(connection: Connection) -> UserCounts:
    """All of them counted: a pass over users and accounts, which a statement's time-out bounds."""
    row = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE wrapped_key IS NULL), "
        "(SELECT count(*) FROM user_role WHERE role = 'admin'), "
        "(SELECT count(*) FROM user_role WHERE role = 'developer'), "
        "(SELECT coalesce(sum(available), 0) FROM credit_account) FROM user_secret"
    ).fetchone()
    assert row is not None
    return UserCounts(*map(int, row))


def account_of(connection: Connection, user_id: UUID) -> UUID | None:
    """A user's own account; None for nobody's."""
    row = connection.execute(
        "SELECT account_id FROM user_secret WHERE user_id = %s", [user_id]
    ).fetchone()
    return None if row is None else row[0]


def read_available(connection: Connection, account_id: UUID) -> int:
    """What an account can spend, nano-USD; nought for one without credits."""
    row = connection.execute(
        f"SELECT a.available - {_LAPSED} FROM credit_account a WHERE a.account_id = %s",
        [account_id],
    ).fetchone()
    return 0 if row is None else int(row[0])
