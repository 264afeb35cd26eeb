"""Reading stored provider keys, and writing what is sealed of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    import psycopg
    from psycopg import Cursor
    from psycopg.rows import DictRow

LISTED_MAX = 1_000
GONE, FULL = "organisation_id", "sealed"
"""The column that stays empty, and so refuses a secret, where its owner went, or has too many."""
_WRITE = """
INSERT INTO provider_key_secret (provider_key_id, organisation_id, sealed)
SELECT %(id)s,
  CASE WHEN (EXISTS (
      SELECT FROM organisation WHERE organisation_id = %(of)s AND wrapped_key IS NOT NULL)
    OR EXISTS (SELECT FROM user_secret WHERE user_id = %(of)s AND wrapped_key IS NOT NULL))
    AND (%(project)s::uuid IS NULL
      OR EXISTS (SELECT FROM project WHERE project_id = %(project)s AND NOT archived))
    THEN %(of)s::uuid END,
  CASE WHEN (
      SELECT count(*) FROM provider_key_secret s
      WHERE s.organisation_id = %(of)s AND s.provider_key_id <> %(id)s) < %(most)s
    THEN %(sealed)s::bytea END
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

    The database refuses it, and so the events that it stands beside, where the project was
    archived, the data key is destroyed that it is sealed with, or there are too many (`refused`).
    Nothing that is raised here but by the database would undo them.
    """
    of, project, most = kept
    values = {"id": provider_key_id, "of": of, "project": project, "most": most, "sealed": sealed}
    cursor.execute(_WRITE, values)


def refused(error: Exception) -> str:
    """GONE or FULL for a save that was refused so; else empty."""
    diag = getattr(error.__cause__, "diag", None)
    column = getattr(diag, "column_name", None) or ""
    ours = getattr(diag, "table_name", None) == "provider_key_secret"
    return column if ours and column in {GONE, FULL} else ""
