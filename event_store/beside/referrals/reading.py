"""Reading codes and referrals, on a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg

    Connection = psycopg.Connection[Any]

CHAIN_MAX = 1_000
"""Longest way back from a user to the first who was brought by nobody."""
_CHAIN = """
WITH RECURSIVE chain (user_id, depth) AS (
  SELECT referrer, 1 FROM referral WHERE referee = %s
  UNION SELECT r.referrer, c.depth + 1 FROM referral r JOIN chain c ON r.referee = c.user_id
  WHERE c.depth < %s)
SELECT user_id::text FROM chain
"""


class StoredCode(NamedTuple):
    """A user's code."""

    code: str
    stream: UUID
    user_id: UUID


class StoredReferral(NamedTuple):
    """Who came by whose code, and what came of it; `bonus` of each side, nano-USD."""

    referee: UUID
    referrer: UUID
    state: str
    bonus: int
    claimed_at: datetime
    ended_at: datetime | None


_CODE = "SELECT code, stream, user_id FROM referral_code WHERE "
_REFERRAL = "SELECT referee, referrer, state, bonus, claimed_at, ended_at FROM referral WHERE "


def code_of_user(connection: Connection, user_id: UUID) -> StoredCode | None:
    """The user's code, if one was made."""
    row = connection.execute(f"{_CODE} user_id = %s".encode(), [user_id]).fetchone()
    return None if row is None else StoredCode(*row)


def owner_of_code(connection: Connection, code: str) -> StoredCode | None:
    """Whose a code is, in its one writing."""
    row = connection.execute(f"{_CODE} code = %s".encode(), [code]).fetchone()
    return None if row is None else StoredCode(*row)


def referral_of(connection: Connection, referee: UUID) -> StoredReferral | None:
    """By whose code a user came."""
    row = connection.execute(f"{_REFERRAL} referee = %s".encode(), [referee]).fetchone()
    return None if row is None else StoredReferral(*row)


def referrals_by(connection: Connection, referrer: UUID, limit: int) -> list[StoredReferral]:
    """Who came by a user's code, the first first."""
    rows = connection.execute(
        f"{_REFERRAL} referrer = %s ORDER BY position LIMIT %s".encode(), [referrer, limit]
    ).fetchall()
    return [StoredReferral(*row) for row in rows]


def chain_of(connection: Connection, user_id: UUID) -> frozenset[str]:
    """By whom a user came, by whom they came, and so on."""
    rows = connection.execute(_CHAIN, [user_id, CHAIN_MAX]).fetchall()
    return frozenset(each for (each,) in rows)


def origins_of(connection: Connection, user_id: UUID) -> frozenset[str]:
    """From where a user is known: as they claimed, made their code, or signed in."""
    rows = connection.execute(
        "SELECT origin FROM referral WHERE referee = %(user)s "
        "UNION SELECT origin FROM referral_code WHERE user_id = %(user)s "
        "UNION SELECT 'origin-' || origin FROM known_origin WHERE user_id = %(user)s",
        {"user": user_id},
    ).fetchall()
    return frozenset(each for (each,) in rows if each)


def has_purchased(connection: Connection, user_id: UUID) -> bool:
    """Whether a payment of the user, or to their own account, is completed."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM payment p WHERE p.user_id = %(user)s "
        "AND p.lot_id IS NOT NULL) OR EXISTS (SELECT FROM payment p JOIN user_secret u "
        "USING (account_id) WHERE u.user_id = %(user)s AND p.lot_id IS NOT NULL)",
        {"user": user_id},
    ).fetchone()
    return bool(row and row[0])
