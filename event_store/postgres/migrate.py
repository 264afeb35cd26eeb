"""Numbered SQL migrations, one change each, run by yoyo under one lock.

Concurrent starts are safe: an advisory lock lets one migrate while the others wait, so no
two sessions ever create the same table at once.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

from event_store.errors import MigrationRefusedError, NoLedgerError, OutdatedLedgerError
from event_store.locks import Lock
from event_store.postgres.database import APPLICATION_ROLE, Database

if TYPE_CHECKING:
    import psycopg

MIGRATIONS = Path(__file__).parents[1] / "migrations"
MIGRATION_TABLE = "_yoyo_migration"
MIGRATION_LOCK_TIMEOUT_S = 60


def yoyo_url(conninfo: str) -> str:
    """The libpq connection string as the URL that yoyo takes."""
    parts = {key: str(value) for key, value in conninfo_to_dict(conninfo).items()}
    user, password = (
        quote(parts.pop("user", ""), safe=""),
        quote(parts.pop("password", ""), safe=""),
    )
    name = quote(parts.pop("dbname", user), safe="")
    host = parts.pop("host", "")
    port = parts.pop("port", "")
    network = "" if host.startswith("/") else host + (f":{port}" if port else "")
    if host.startswith("/"):
        parts["host"] = host
    login = f"{user}:{password}@" if user else ""
    query = f"?{urlencode(parts)}" if parts else ""
    return f"postgresql+psycopg://{login}{network}/{name}{query}"


def migrate(database: Database) -> list[str]:
    """Apply what is missing, as the owner; returns the names of the migrations applied.

    Raises MigrationRefusedError, or psycopg.Error.
    """
    with database.connect_as_owner() as connection:
        connection.execute(f"SET statement_timeout = '{MIGRATION_LOCK_TIMEOUT_S}s'")
        connection.execute("SELECT pg_advisory_lock(%s)", [Lock.MIGRATION])
        _require_rights(connection)
        applied = _apply(database.owner)
        # Who only reads must see that nothing is missing.
        connection.execute(f"GRANT SELECT ON {MIGRATION_TABLE} TO {APPLICATION_ROLE}")
        connection.execute(f"GRANT USAGE ON SCHEMA public TO {APPLICATION_ROLE}")
        connection.execute(f"GRANT {APPLICATION_ROLE} TO CURRENT_USER")
    return applied


def require_ledger(database: Database) -> None:
    """See that the log and all migrations are there; raises NoLedgerError or OutdatedLedgerError.

    Changes nothing.
    """
    with database.connect_to_look() as connection:
        found = connection.execute(
            "SELECT current_database(), to_regclass('events') IS NOT NULL AND "
            "to_regclass(%s) IS NOT NULL AND "
            "EXISTS (SELECT FROM pg_roles WHERE rolname = %s)",
            [MIGRATION_TABLE, APPLICATION_ROLE],
        ).fetchone()
        name, there = found or ("", False)
        if not there:
            where = f"the database {name}"
            raise NoLedgerError(where)
        connection.execute(f"SET ROLE {APPLICATION_ROLE}")
        applied: set[str] = set()
        # Versions before this one did not let the application see what was applied.
        if connection.execute(
            "SELECT has_table_privilege(%s, 'SELECT')", [MIGRATION_TABLE]
        ).fetchone() == (True,):
            rows = connection.execute(f"SELECT migration_id FROM {MIGRATION_TABLE}").fetchall()
            applied = {row[0] for row in rows}
    for name in sorted(path.stem for path in MIGRATIONS.glob("*.sql")):
        if name not in applied:
            missing = f"the migration {name}"
            raise OutdatedLedgerError(missing)


def _require_rights(connection: psycopg.Connection[Any]) -> None:
    """Asked first, as yoyo goes on without its own tables and fails by their absence."""
    row = connection.execute(
        "SELECT has_schema_privilege('public', 'CREATE'), current_user"
    ).fetchone()
    if row is not None and not row[0]:
        message = f"the database login {row[1]} may not create tables: give one that may, for "
        message += "the migrations alone in GATEWAYZ_MIGRATIONS_DATABASE_URL"
        raise MigrationRefusedError(message)


def _apply(owner: str) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from yoyo import get_backend, read_migrations

        backend = get_backend(yoyo_url(owner), migration_table=MIGRATION_TABLE)
        try:
            migrations = backend.to_apply(read_migrations(str(MIGRATIONS)))
            backend.ensure_internal_schema_updated()
            for migration in migrations:
                # yoyo's own way marks a migration in a second transaction: whoever was killed
                # between the two could never start again.
                with backend.transaction():
                    migration.process_steps(backend, "apply")
                    backend.log_migration(migration, "apply")
                    backend.mark_one(migration, log=False)
            return [migration.id for migration in migrations]
        finally:
            backend.connection.close()
