"""Makes the tables of projections and registers them; run by migrations, as the owner."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from event_store.errors import OutdatedLedgerError
from event_store.locks import Lock
from event_store.postgres.migrate import migrate
from projections.all import PROJECTIONS
from projections.engine.rebuild import RebuildError, rebuild
from projections.engine.runner import FOLLOWER
from projections.engine.schema import create_indexes, create_tables, show_version
from projections.engine.sinks.port import POSTGRES, REDIS, SinkUnavailableError
from projections.engine.sinks.postgres import or_postgres

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

    from event_store.postgres.database import Database
    from projections.engine.projection import Projection
    from projections.engine.sinks.port import Sink

    Connection = psycopg.Connection[Any]

logger = logging.getLogger("gatewayz.projections")


def migrate_all(
    database: Database,
    sinks: Mapping[str, Sink] | None = None,
    *,
    host: str = FOLLOWER,
    partitions: int = 1,
    move: bool = True,
) -> list[str]:
    """Apply missing migrations, then install the projections; returns the names of both."""
    applied = migrate(database)
    return applied + install(database, sinks, host=host, partitions=partitions, move=move)


def install(
    database: Database,
    sinks: Mapping[str, Sink] | None = None,
    *,
    host: str = FOLLOWER,
    partitions: int = 1,
    move: bool = True,
) -> list[str]:
    """Bring every projection to its present revision; returns the names of those that changed.

    A new one starts from the beginning of the log under `host`, with `partitions`. One whose
    fold or tables changed is rebuilt beside the live one; with `move`, so is one that these
    `sinks` keep elsewhere than it is now. One that cannot be rebuilt stays as it is, and is tried
    again the next time: no read model keeps the calls from being served.
    """
    known = or_postgres(sinks)
    changed = []
    with database.connect_as_owner() as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", [Lock.INSTALL])
        registered = {
            name: (revision, sink)
            for name, revision, sink in connection.execute(
                "SELECT name, revision, sink FROM projection"
            ).fetchall()
        }
        for projection in PROJECTIONS:
            sink = REDIS if projection.in_redis and REDIS in known else POSTGRES
            revision, kept_in = registered.get(projection.name, (0, sink))
            if not move:
                sink = kept_in
            if (revision, kept_in) == (projection.revision, sink):
                continue
            if projection.name not in registered:
                _register(connection, projection, sink, host=host, partitions=partitions)
            elif not _rebuilt(database, projection, known, sink):
                continue
            changed.append(projection.name)
    return changed


def _rebuilt(
    database: Database, projection: Projection, sinks: Mapping[str, Sink], kept_in: str
) -> bool:
    try:
        rebuild(database, projection, sinks, kept_in=kept_in, park=True)
    except (RebuildError, SinkUnavailableError) as error:
        logger.error("projection %s is not brought up to date: %s", projection.name, error)  # noqa: TRY400
        return False
    return True


def require_projections(database: Database) -> None:
    """Raise OutdatedLedgerError unless every projection is of this version's revision.

    The rows of another revision cannot be compared with what this one folds.
    """
    with database.connect() as connection:
        registered = dict(connection.execute("SELECT name, revision FROM projection").fetchall())
    for projection in PROJECTIONS:
        if registered.get(projection.name) != projection.revision:
            missing = f"the projection {projection.name}"
            raise OutdatedLedgerError(missing)


def _register(
    connection: Connection, projection: Projection, sink: str, *, host: str, partitions: int
) -> None:
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '5s'")
        connection.execute(
            "INSERT INTO projection (name, version, revision, sink) VALUES (%s, 1, %s, %s)",
            [projection.name, projection.revision, sink],
        )
        connection.execute(
            "INSERT INTO projection_progress (name, version, partition, host) "
            "SELECT %s, 1, p, %s FROM generate_series(0, %s) p",
            [projection.name, host, partitions - 1],
        )
        if sink == POSTGRES:
            create_tables(connection, projection, 1)
            create_indexes(connection, projection, 1)
            show_version(connection, projection, 1)
