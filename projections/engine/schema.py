"""The SQL that makes, shows and drops the tables of one version of a projection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from event_store.postgres.database import APPLICATION_ROLE, READER_ROLE
from projections.engine.tables import Merge

if TYPE_CHECKING:
    import psycopg

    from projections.engine.projection import Projection
    from projections.engine.tables import Table

    Connection = psycopg.Connection[Any]

FILLFACTOR = 70
"""Room on each page for rows that change, so that an update need not touch the indexes."""


def create_tables(connection: Connection, projection: Projection, version: int) -> None:
    """Make the tables of a version, with their keys; the application may read and write them."""
    for table in projection.tables:
        stored = table.stored_as(version)
        columns = ", ".join(
            f"{each.name} {each.sql}" + (" NOT NULL" if each.merge in _NEVER_NULL else "")
            for each in table.columns
        )
        keys = ", ".join(each.name for each in table.keys)
        room = "" if table.appended else f" WITH (fillfactor = {FILLFACTOR})"
        connection.execute(f"DROP TABLE IF EXISTS {stored}")
        connection.execute(f"CREATE TABLE {stored} ({columns}, PRIMARY KEY ({keys})){room}")
        connection.execute(
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON {stored} TO {APPLICATION_ROLE}"
        )


_NEVER_NULL = (Merge.KEY, Merge.SUM)


def create_indexes(connection: Connection, projection: Projection, version: int) -> None:
    """Make the other indexes; after a rebuild has filled the tables, which is faster."""
    for table in projection.tables:
        for index in table.indexes:
            columns, where, condition = index.partition(" WHERE ")
            connection.execute(
                f"CREATE INDEX ON {table.stored_as(version)} ({columns}){where}{condition}"
            )


def show_version(connection: Connection, projection: Projection, version: int) -> None:
    """Let the views that readers select from show a version."""
    for table in projection.tables:
        replace_view(connection, table, version)


def replace_view(connection: Connection, table: Table, version: int) -> None:
    """Replace one view; where its columns changed, drop it and make it anew."""
    shown = connection.execute(
        "SELECT array_agg(attname || ' ' || format_type(atttypid, atttypmod) ORDER BY attnum) "
        "FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
        [table.view],
    ).fetchone()
    wanted = [f"{each.name} {_SQL_NAMES.get(each.sql, each.sql)}" for each in table.columns]
    if shown and shown[0] is not None and shown[0] != wanted:
        connection.execute(f"DROP VIEW {table.view}")
    connection.execute(
        f"CREATE OR REPLACE VIEW {table.view} AS SELECT {', '.join(table.names)} "
        f"FROM {table.stored_as(version)}"
    )
    connection.execute(f"GRANT SELECT ON {table.view} TO {APPLICATION_ROLE}, {READER_ROLE}")


_SQL_NAMES = {"timestamptz": "timestamp with time zone"}


def drop_views(connection: Connection, projection: Projection) -> None:
    """Take the views away, when the rows move out of PostgreSQL."""
    for table in projection.tables:
        connection.execute(f"DROP VIEW IF EXISTS {table.view}")


def drop_tables(connection: Connection, projection: Projection, version: int) -> None:
    """Drop the tables of a version that no view shows."""
    for table in projection.tables:
        connection.execute(f"DROP TABLE IF EXISTS {table.stored_as(version)}")
