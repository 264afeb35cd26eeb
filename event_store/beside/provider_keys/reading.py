"""Reading stored provider keys, and writing what is sealed of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from domain.organisations.projects import UnknownProjectError
from domain.provider_keys.keys import TooManyProviderKeysError

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg
    from psycopg import Cursor
    from psycopg.rows import DictRow

LISTED_MAX = 1_000
_ROOM = """
SELECT (EXISTS (
      SELECT FROM organisation WHERE organisation_id = %(of)s AND wrapped_key IS NOT NULL)
    OR EXISTS (SELECT FROM user_secret WHERE user_id = %(of)s AND wrapped_key IS NOT NULL))
    AND (%(project)s::uuid IS NULL
      OR EXISTS (SELECT FROM project WHERE project_id = %(project)s AND NOT archived)) AS lives,
  (SELECT count(*) FROM provider_key_secret s
    WHERE s.organisation_id = %(of)s AND s.provider_key_id <> %(id)s) AS others"""
_WRITE = """
INSERT INTO provider_key_secret (provider_key_id, organisation_id, sealed)
VALUES (%(id)s, %(of)s, %(sealed)s)
ON CONFLICT (provider_key_id) DO UPDATE SET sealed = excluded.sealed"""


class StoredProviderKey(NamedTuple):
    """The inline state of a key that was not removed."""

    provider_key_id: UUID
    scope_id: UUID
    account_id: UUID
    organisation_id: UUID
    project_id: UUID | None
    provider: str
    label: str
    hint: str
    enabled: bool
    fallback: bool
    created_at: datetime


_SELECT = (
    f"SELECT {', '.join(StoredProviderKey._fields)} FROM provider_key k WHERE NOT removed AND "
    "EXISTS (SELECT FROM provider_key_secret s WHERE s.provider_key_id = k.provider_key_id) AND "
)


def read_provider_keys(
    connection: psycopg.Connection[Any], scope_id: UUID
) -> list[StoredProviderKey]:
    """The keys of a project or user, by provider."""
    rows = connection.execute(
        f"{_SELECT} scope_id = %s ORDER BY provider LIMIT %s".encode(), [scope_id, LISTED_MAX]
    ).fetchall()
    return [StoredProviderKey(*row) for row in rows]


def read_provider_key(
    connection: psycopg.Connection[Any], provider_key_id: UUID
) -> StoredProviderKey | None:
    """One key, by its id."""
    row = connection.execute(
        f"{_SELECT} provider_key_id = %s".encode(), [provider_key_id]
    ).fetchone()
    return None if row is None else StoredProviderKey(*row)


def read_data_key(connection: psycopg.Connection[Any], organisation_id: UUID) -> bytes | None:
    """The wrapped data key of an organisation, or of a user for the personal one."""
    row = connection.execute(
        "SELECT wrapped_key FROM organisation WHERE organisation_id = %(of)s AND NOT closed "
        "UNION ALL SELECT wrapped_key FROM user_secret WHERE user_id = %(of)s",
        {"of": organisation_id},
    ).fetchone()
    return None if row is None or row[0] is None else bytes(row[0])


def read_sealed(connection: psycopg.Connection[Any], provider_key_id: UUID) -> bytes | None:
    """What is sealed of a key."""
    row = connection.execute(
        "SELECT sealed FROM provider_key_secret WHERE provider_key_id = %s", [provider_key_id]
    ).fetchone()
    return None if row is None else bytes(row[0])


class Kept(NamedTuple):
    """Whose secret is kept, and how many of them there may be with it."""

    organisation_id: UUID
    project_id: UUID | None
    most: int


def write_sealed(cursor: Cursor[DictRow], provider_key_id: UUID, kept: Kept, sealed: bytes) -> None:
    """Keep what is sealed of a key in the place of what was.

    Raises UnknownProjectError where the project was archived or the data key is destroyed that it
    is sealed with, and TooManyProviderKeysError: neither then stands, nor its events.
    """
    of, project, most = kept
    values = {"id": provider_key_id, "of": of, "project": project, "sealed": sealed}
    # Behind the lock of the append: nobody archives, closes or stores at this instant.
    row = cursor.execute(_ROOM.encode(), values).fetchone()
    assert row is not None, "a SELECT without FROM has its row"
    if not row["lives"]:
        message = "the project or organisation went meanwhile"
        raise UnknownProjectError(message)
    if row["others"] >= most:
        message = f"an organisation has at most {most} provider keys: remove one"
        raise TooManyProviderKeysError(message)
    cursor.execute(_WRITE.encode(), values)
